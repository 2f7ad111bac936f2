"""One tree of faults. Expected results (refused, lost, not found) are values, never exceptions.

Every error carries a stable `code`, a `hint` (the safe next step; never a destructive command), whether a retry
may help, and the exit code of the command line (docs/cli.md).
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_UNEXPECTED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_LOST = 4
EXIT_NOT_FOUND = 5
EXIT_EXHAUSTED = 6
EXIT_CORRUPT = 7
EXIT_QUEUED = 9
EXIT_RETRY = 75
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130


class SharedStateError(Exception):
    """Root of every fault raised by this library.

    `code` is stable API; `hint` is the safe next step for a person; `retryable` says whether the same call may
    succeed later.
    """

    code = "unexpected"
    exit_code = EXIT_UNEXPECTED
    retryable = False
    hint = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class InvalidInput(SharedStateError, ValueError):
    """An argument is outside its documented range; nothing was read or written."""

    code = "invalid_input"
    exit_code = EXIT_USAGE


class InvalidId(InvalidInput):
    """An id of a task or owner breaks the rules of `sharedstate.ids`."""

    code = "invalid_id"
    hint = "ids have 1-200 characters, without control, bidi, surrogate or line separator characters"


class BadSettings(SharedStateError, ValueError):
    """A setting is unknown, malformed, out of range or contradicts another."""

    code = "bad_settings"
    exit_code = EXIT_CONFIG
    hint = "see `claims config show --origin` for every value and where it comes from"


class StoreError(SharedStateError, OSError):
    """The store could not do what was asked; the old state is intact."""

    code = "store_error"
    exit_code = EXIT_RETRY
    retryable = True


class StoreUnavailable(StoreError):
    """The far side or the disk refused (ENOSPC, EIO, EROFS, EMFILE, EACCES, no connection); nothing is acknowledged."""

    code = "store_unavailable"
    hint = "check space, permissions and the device, then try again; `claims doctor` names what is wrong"


class OutcomeUnknown(StoreUnavailable):
    """An answer was lost, and it could not be found out in time: the change was made wholly or not at all."""

    code = "outcome_unknown"
    hint = "read the state again before acting, once the store can be reached"


class StoreBusy(StoreUnavailable, TimeoutError):
    """A lock was not free within the allowed wait; nothing was changed."""

    code = "store_busy"
    hint = "try again; if it stays busy, `claims doctor` names the process that holds the lock"


class DurabilityUnknown(StoreError):
    """The new state is visible, but the disk did not confirm it: a power cut may undo it. Do not retry blindly."""

    code = "durability_unknown"
    retryable = False
    exit_code = EXIT_UNEXPECTED
    hint = "read the state again before acting; check the device"


class UnsafeStore(StoreError):
    """The state root or a file in it is unsafe: a planted link, a FIFO, a foreign owner, a network file system."""

    code = "unsafe_store"
    exit_code = EXIT_CONFIG
    retryable = False
    hint = "look at the named path; sharedstate follows no links and shares no root between users"


class ForkedStore(SharedStateError, RuntimeError):
    """A store object was used in a process forked after it was opened; open a new one there."""

    code = "forked_store"
    hint = "call SharedState.open() in the child"


class Corrupt(SharedStateError, ValueError):
    """A record cannot be read as what it claims to be. Its bytes are kept, its task is blocked, others go on."""

    code = "corrupt"
    exit_code = EXIT_CORRUPT
    hint = "`claims doctor` names the file and where its bytes are; `claims doctor --fix` restores the last good state"


class NewerFormat(Corrupt):
    """A record was written by a newer major format; this version neither reads nor overwrites it."""

    code = "newer_format"
    hint = "upgrade sharedstate on this machine"


class ClaimLost(SharedStateError, RuntimeError):
    """The claim held by this body of work now belongs to somebody else or has ended; stop working on the task."""

    code = "claim_lost"
    exit_code = EXIT_LOST
    hint = "stop; do not write results of this attempt"


class NoRight(SharedStateError, RuntimeError):
    """The lane that was chosen lacks the right to do this; nothing was done, and the denial stands in the trail."""

    code = "no_right"
    exit_code = EXIT_REFUSED
    hint = "`claims lanes` shows the rights of each lane; leave this to a lane that has the right"


class ClaimRefused(SharedStateError, RuntimeError):
    """A `hold` could not begin because the claim was refused; `reason` is the refusal's code."""

    code = "claim_refused"
    exit_code = EXIT_REFUSED

    def __init__(self, message: str, *, reason: str, exit_code: int = EXIT_REFUSED) -> None:
        super().__init__(message)
        self.reason = reason
        self.exit_code = exit_code

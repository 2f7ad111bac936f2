"""The store port: records with an atomic update, an append-only journal, heartbeats. Everything else is derived.

A store never decides. It hands a `Snapshot` to a pure `decide` function and carries out the `Decision`: all of it
or nothing. The same contract suite (`sharedstate.testing.contracts`) runs against every store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from sharedstate.clock import Instant
from sharedstate.errors import InvalidInput
from sharedstate.values import Value

Document = dict[str, Any]
T = TypeVar("T")
LOADED_ENTRIES_MAX: Final = 1000
TRIAL_PREFIX: Final = "selftest-"
Durability = Literal["full", "relaxed"]
SCHEMA: Final = 1


class Mark(Enum):
    """What a decision does to the record, other than writing a new value."""

    KEEP = "keep"
    DELETE = "delete"
    BEAT = "beat"


KEEP: Final = Mark.KEEP
DELETE: Final = Mark.DELETE
BEAT: Final = Mark.BEAT


class Beat(Value):
    """The last sign of life of one ownership: which fence, and when. Losing one may only make a claim look older."""

    fence: int
    seen: Instant


class Snapshot(Value):
    """What a decision may know: the record (or None), its revision (0 when absent), its last beat, the clock.

    All of it is read inside the transaction; `now` is taken after the lock is held.
    """

    value: Document | None
    revision: int
    beat: Beat | None
    now: Instant


class Decision(Value, Generic[T]):
    """What shall happen, as data.

    `write`: a new document, or `KEEP`, `DELETE`, or `BEAT` (refresh the beat of fence `live`, write no record).
    `live`: fence of the ownership that is alive after this decision; None means that nobody holds the record. Used
    with a new document or `BEAT`; a fence that was not live before starts with a beat at `now`.
    `events`: journal entries of this transition; they are appended in the same transition as the write, or
    repaired to it.
    `prompt`: return only once the entries stand in the journal, also those of an earlier transition of this record
    whose author died. Else an entry that cannot be written now (the journal is busy, the disk full) may come later, for
    the record is the truth. Where a prompt one cannot be written, `StoreError` is raised (`DurabilityUnknown` when the
    record has changed): the same decision taken again must be harmless.
    """

    result: T
    write: Document | Mark = KEEP
    live: int | None = None
    events: Sequence[Document] = ()
    prompt: bool = False


class Versioned(Value):
    """A record as read: `value` without the store's own envelope, its `revision` (1, 2, 3 …), its last `beat`.

    `live` is the fence of the living ownership, None when nobody holds the record.
    """

    key: str
    value: Document
    revision: int
    beat: Beat | None = None
    live: int | None = None


class Unreadable(Value):
    """A record that a scan could not read: file or key `name`, and why. Its bytes stay where they are."""

    name: str
    reason: str


class Entry(Value):
    """One journal entry: `sequence` (1, 2, 3 … per journal), wall time in Unix milliseconds, the document.

    `record` says which transition it belongs to: `collection/key@revision`, empty for a plain append.
    """

    sequence: int
    at_ms: int
    value: Document
    record: str = ""


class Store(Protocol):
    """The port behind which files, memory, Redis, PostgreSQL or a git ref stand.

    Synchronous; safe for threads, not for forks.
    """

    def now(self) -> Instant:
        """The store's own clock: the host's for files, server time elsewhere."""
        ...

    def get(self, collection: str, key: str) -> Versioned | None:
        """The current record, never blocked by a writer. Raises `Corrupt`, `StoreUnavailable`."""
        ...

    def transact(
        self,
        collection: str,
        key: str,
        decide: Callable[[Snapshot], Decision[T]],
        *,
        journal: str = "events",
        durability: Durability = "full",
        derived: bool = False,
    ) -> T:
        """Run `decide` atomically with regard to every other writer of this record and carry its decision out.

        `decide` may run several times, must be pure, and must not call the store's writing side. Returns its
        result once the decision is as durable as asked. A `derived` record can be made anew from others: an unreadable
        one counts as absent (its bytes are kept) instead of blocking. Raises `StoreBusy`, `StoreUnavailable`
        (`OutcomeUnknown`, one of its kind: perhaps it was changed), `Corrupt`, `DurabilityUnknown`.
        """
        ...

    def scan(self, collection: str, *, live_only: bool = False) -> Iterator[Versioned | Unreadable]:
        """Every record (or only those with a live ownership), in no order, never blocked by a writer.

        A record changed during the scan is seen old or new; one bad record does not stop the rest.
        """
        ...

    def append(self, journal: str, value: Document) -> int:
        """Append one entry; returns its sequence number. Entries are durable when this returns."""
        ...

    def read(self, journal: str, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        """Entries with a sequence above `after`, in order, at most `limit`."""
        ...

    def watch(self, journal: str, *, after: int, timeout_s: float) -> bool:
        """Wait until the journal may hold entries above `after`, or the time is over.

        A hint, True when something is there.
        """
        ...

    def upkeep(self) -> list[str]:
        """Finish what crashes left behind and remove old litter; one line for each thing done.

        Never waits for a lock.
        """
        ...

    def close(self) -> None:
        """Give back descriptors and connections; using the store afterwards opens them again."""
        ...


def is_optimistic(store: Store) -> bool:
    """Whether `transact` decides without waiting for the lock of a record: a look before it saves nothing.

    A store says so by a class attribute `optimistic`; without one it is taken to lock the record.
    """
    return getattr(store, "optimistic", False) is True


class Portable(Store, Protocol):
    """A store that can tell all it holds, and take in what another store held: what `claims store copy` needs."""

    def collections(self) -> list[str]:
        """The collections that hold a record, sorted. Raises `StoreUnavailable`."""
        ...

    def journals(self) -> list[str]:
        """The journals that hold an entry, sorted. Raises `StoreUnavailable`."""
        ...

    def load_entries(self, journal: str, entries: Sequence[Entry]) -> int:
        """Append entries of another store as they are: sequence, moment, transition. Durable on return.

        They must go on exactly where the journal ends: `InvalidInput` otherwise, and nothing is appended. All or none
        of one call; at most 1,000. Returns the last sequence.
        """
        ...


class Provable(Portable, Protocol):
    """A store that gives a trial room of its own, and forgets it afterwards: what `claims selftest --url` needs.

    All that a trial writes stands in one collection and one journal of its name, which begins with `selftest-`.
    """

    def trial_url(self, url: str, name: str) -> str:
        """Where the trial `name` of the store at `url` works: `url` itself, or another namespace there."""
        ...

    def trials(self) -> list[str]:
        """The names of trials of which something is there, sorted. Raises `StoreUnavailable`."""
        ...

    def forget_trial(self, name: str) -> None:
        """Remove all that the trial `name` has written. `InvalidInput` for any name that is not a trial's."""
        ...


def check_trial(name: str) -> str:
    """The name of a trial as given, or `InvalidInput`: only what begins with `selftest-` may ever be forgotten."""
    if not name.startswith(TRIAL_PREFIX) or not name.removeprefix(TRIAL_PREFIX).replace("-", "").isalnum():
        raise InvalidInput(f"{name[:60]!a} is not the name of a trial: {TRIAL_PREFIX}…")
    return name


def check_continues(journal: str, last: int, entries: Sequence[Entry]) -> None:
    """`InvalidInput` unless `entries` go on, without a gap, where a journal that ends at `last` does."""
    if not 1 <= len(entries) <= LOADED_ENTRIES_MAX:
        raise InvalidInput(f"journal {journal}: 1 to {LOADED_ENTRIES_MAX} entries are loaded at once")
    told = [entry.sequence for entry in entries]
    if told != list(range(last + 1, last + 1 + len(told))):
        raise InvalidInput(f"journal {journal}: ends at {last}; entries {told[0]} to {told[-1]} do not go on there")

"""Expected results of decisions about tasks, as values. Reason codes are API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sharedstate.values import Value

# Why a claim is refused
TASK_IGNORED: Final = "task_ignored"
EXISTING_OWNER_ACTIVE: Final = "existing_owner_active"
TASK_ALREADY_COMPLETE: Final = "task_already_complete"
MAX_RETRIES_EXCEEDED: Final = "max_retries_exceeded"
TASK_ALREADY_CLAIMED: Final = "task_already_claimed"  # by the local ledger (shared store away), or by oneself (`anew`)
SCOPE_CONFLICT: Final = "scope_conflict"

# Why a renew or release is not accepted
TASK_NOT_FOUND: Final = "task_not_found"
OWNER_MISMATCH: Final = "owner_mismatch"
ATTEMPT_TOKEN_MISMATCH: Final = "attempt_token_mismatch"
TASK_ALREADY_FAILED: Final = "task_already_failed"
TASK_ABANDONED: Final = "task_abandoned"

# Why a claim was taken over
OWNER_STALE: Final = "owner_stale"
OWNER_DEAD: Final = "owner_dead"
COORDINATOR_PRIORITY: Final = "coordinator_priority"
FORCED: Final = "forced"

# Whether a task may be tried again
NO_PREVIOUS_ATTEMPTS: Final = "no_previous_attempts"
IGNORED: Final = "ignored"
ALREADY_COMPLETE: Final = "already_complete"
CURRENTLY_OWNED: Final = "currently_owned_by_active_agent"
ELIGIBLE_FOR_RETRY: Final = "eligible_for_retry"


class Holder(Value):
    """Who holds a task: `age_ms` since its last sign of life, `ttl_ms` after which it counts as stale."""

    owner: str
    fence: int
    age_ms: int
    ttl_ms: int
    host: str = ""


class Claimed(Value, hidden=("token",)):
    """The claim is yours.

    `outcome`: `claimed` (fresh attempt), `reclaimed` (same owner, new token, old token dead), `taken_over` (with
    `reason` and `previous_owner`), `already_owned` (same owner and token: nothing changed but the heartbeat). Check
    `fence` on every write you make on behalf of the task. `token` is the secret that renews and releases; it never
    leaves this machine's owner. `expires_ms` is Unix milliseconds: when the claim counts as stale unless renewed.
    `degraded`: made by the local ledger alone.
    """

    task: str
    owner: str
    fence: int
    outcome: str
    attempts: int
    retries: int
    ttl_ms: int
    expires_ms: int
    token: str = ""
    reason: str | None = None
    previous_owner: str | None = None
    degraded: bool = False
    scope: tuple[str, ...] = ()
    meta: Mapping[str, str] = {}


class Refused(Value):
    """The claim is not yours; the record was not touched. `holder` says who has it, where somebody has."""

    task: str
    reason: str
    detail: str
    holder: Holder | None = None
    conflict: str | None = None


class Kept(Value):
    """The claim is still yours until `expires_ms` (Unix milliseconds)."""

    task: str
    owner: str
    fence: int
    ttl_ms: int
    expires_ms: int
    degraded: bool = False


class Lost(Value):
    """The claim is not yours any more: stop. `holder` names the new owner, where there is one."""

    task: str
    reason: str
    detail: str
    holder: Holder | None = None


class Unverifiable(Value):
    """The store could not be asked; go on, but do not believe in the claim beyond its ttl."""

    task: str
    detail: str


class Released(Value):
    """The attempt has ended as `status`. `repeated`: it had ended so before, nothing changed."""

    task: str
    owner: str
    fence: int
    status: str
    repeated: bool = False


class RetryCheck(Value):
    """Whether a task may be claimed now, and why (or why not). `retries_left` >= 0."""

    task: str
    eligible: bool
    reason: str
    attempts: int
    retries: int
    retries_left: int


class Swept(Value):
    """A sweep ended this attempt: why (`owner_stale`, `owner_dead`), whose it was, how old its last sign of life."""

    task: str
    owner: str
    fence: int
    reason: str
    age_ms: int


class Changed(Value):
    """An administrative change (ignore, unignore, reopen, archive): whether it changed anything, and the status now."""

    task: str
    changed: bool
    status: str
    detail: str = ""

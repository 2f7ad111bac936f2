"""Pure decisions about one entry of an older tool's ledger: take it, keep what is here, or leave everything as it is.

What happened here wins over what is imported; among imported ledgers shared task state wins over local claims, and a
later moment over an earlier one. A fence never goes back, and the same entry again changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sharedstate.clock import Instant
from sharedstate.store import Beat, Decision
from sharedstate.tasks.model import (
    CLAIMED,
    COMPLETE,
    HISTORY_ENTRIES_MAX,
    NEW,
    PRIORITY_DEFAULT,
    Document,
    Ignored,
    Lease,
    TaskState,
)
from sharedstate.tasks.policy import transition
from sharedstate.values import Value

SHARED: Final = "shared-task-states"
CLAIMS: Final = "task-claims"
LEDGERS: Final = (SHARED, CLAIMS)
TAKEN: Final = "taken"
REFUSED: Final = "refused"
UNCHANGED: Final = "unchanged"
MARK: Final = "imported"
# A record with an ownership counts as live under this number. No attempt has it, so the beat that a store starts for
# a new ownership counts for nothing, and an imported claim is exactly as old as its last heartbeat elsewhere.
LIVE_WITHOUT_BEAT: Final = 0


class Foreign(Value):
    """One entry of another tool's ledger in our words.

    `fingerprint` is a hash of the whole entry, `moment_ms` the latest moment it names (Unix milliseconds, 0 when
    none). `seen_ms` is the owner's last sign of life, 0 when there is none: it then counts as stale. `digest`
    fingerprints the token, empty when there was none: then nobody can renew, and the same owner reclaims. `kept`
    holds fields that mean nothing here. A status of `claimed` has an owner.
    """

    task: str
    ledger: str
    fingerprint: str
    moment_ms: int
    status: str
    owner: str | None = None
    digest: str = ""
    seen_ms: int = 0
    created_ms: int = 0
    ttl_ms: int
    host: str = ""
    priority: int = PRIORITY_DEFAULT
    meta: Mapping[str, str] = {}
    attempts: int = 0
    retries: int = 0
    last_error: str | None = None
    ignore_reason: str | None = None
    history: tuple[Document, ...] = ()
    kept: Mapping[str, Any] = {}


class Imported(Value):
    """What became of an entry: `taken`, `refused` or `unchanged`, and why; the task's fence, status and owner
    afterwards.

    `digest`: fingerprint of the token of the live attempt, empty when there is none.
    """

    task: str
    outcome: str
    detail: str
    fence: int
    status: str
    owner: str | None = None
    digest: str = ""


def decide_import(
    state: TaskState | None,
    entry: Foreign,
    now: Instant,
    *,
    beat: Beat | None = None,
    fence_floor: int = 0,
    skew_ms: int = 0,
) -> Decision[Imported]:
    """Whether `entry` becomes the state of its task. `fence_floor`: a fence that this machine has seen for the task
    elsewhere.

    A sign of life beyond `skew_ms` in the future counts as seen now.
    """
    known = state or TaskState(task=entry.task, created_ms=entry.created_ms or now.at_ms)
    mark = _marks(known).get(entry.ledger)
    if mark is not None and mark.get("fingerprint") == entry.fingerprint:
        return _leave(known, UNCHANGED, "imported before")
    if not _is_blank(known) and not _is_only_imported(known, beat):
        return _leave(known, REFUSED, f"what happened here is newer: {_described(known)}")
    if mark is not None and entry.moment_ms <= _moment_of(mark):
        return _leave(known, REFUSED, "differs from what was imported before, and is not newer")
    if entry.ledger == CLAIMS and SHARED in _marks(known):
        return _join(known, entry, now)
    return _take(known, entry, now, fence_floor=fence_floor, skew_ms=skew_ms)


def _take(known: TaskState, entry: Foreign, now: Instant, *, fence_floor: int, skew_ms: int) -> Decision[Imported]:
    lease = _lease(known, entry, now, skew_ms=skew_ms)
    taken = known.replace(
        status=entry.status,
        fence=_fence(known, lease, entry, fence_floor=fence_floor),
        lease=lease,
        attempts=entry.attempts,
        retries=entry.retries,
        last_error=None if entry.status == COMPLETE else entry.last_error,
        ignored=_ignored(known, entry, now),
        history=entry.history[-HISTORY_ENTRIES_MAX + 1 :],
        extra=_marked(known, entry),
    )
    previous = known.owner if known.owner != taken.owner else None
    return _written(taken, entry, now, detail=f"as {taken.status}", previous=previous)


def _join(known: TaskState, entry: Foreign, now: Instant) -> Decision[Imported]:
    """A local claim beside the shared task state of the same import: it may add what the shared ledger does not
    say.
    """
    if entry.owner is None or known.owner != entry.owner or known.lease is None:
        return _leave(known, REFUSED, f"the imported shared task state wins: {_described(known)}")
    lease = known.lease.replace(
        host=known.lease.host or entry.host,
        meta={**entry.meta, **known.lease.meta},
        priority=entry.priority if known.lease.priority == PRIORITY_DEFAULT else known.lease.priority,
    )
    joined = known.replace(lease=lease, extra=_marked(known, entry))
    return _written(joined, entry, now, detail="joined to the imported shared task state", previous=None)


def _written(
    state: TaskState, entry: Foreign, now: Instant, *, detail: str, previous: str | None
) -> Decision[Imported]:
    reason = None if state.ignored is None else state.ignored.reason
    facts = {"source": entry.ledger, "detail": detail, "previous_owner": previous, "ignore_reason": reason}
    decision = transition(state, "imported", now, result=_result(state, TAKEN, detail), facts=facts)
    return decision.replace(live=LIVE_WITHOUT_BEAT) if state.status == CLAIMED else decision


def _leave(state: TaskState, outcome: str, detail: str) -> Decision[Imported]:
    return Decision(result=_result(state, outcome, detail))


def _result(state: TaskState, outcome: str, detail: str) -> Imported:
    digest = state.lease.digest if state.lease is not None and state.status == CLAIMED else ""
    return Imported(
        task=state.task,
        outcome=outcome,
        detail=detail,
        fence=state.fence,
        status=state.status,
        owner=state.owner,
        digest=digest,
    )


def _lease(known: TaskState, entry: Foreign, now: Instant, *, skew_ms: int) -> Lease | None:
    if entry.owner is None or entry.status == NEW:
        return None
    before = known.lease if known.lease is not None and known.lease.owner == entry.owner else None
    began_ms = entry.seen_ms if entry.seen_ms <= now.at_ms + skew_ms else now.at_ms
    return Lease(
        owner=entry.owner,
        digest=entry.digest,
        ttl_ms=entry.ttl_ms,
        began=Instant(at_ms=began_ms, boot_ms=0, boot_id=""),
        host=entry.host or (before.host if before else ""),
        priority=before.priority if before and entry.priority == PRIORITY_DEFAULT else entry.priority,
        meta=entry.meta or (before.meta if before else {}),
    )


def _fence(known: TaskState, lease: Lease | None, entry: Foreign, *, fence_floor: int) -> int:
    """Above everything known, unless the very ownership that has the fence goes on or nobody has the task."""
    least = max(known.fence, fence_floor)
    if lease is None:
        return max(least, entry.attempts)
    before = known.lease
    same = before is not None and (before.owner, before.digest) == (lease.owner, lease.digest)
    if same and known.fence >= max(1, fence_floor):
        return known.fence
    return max(least + 1, entry.attempts)


def _ignored(known: TaskState, entry: Foreign, now: Instant) -> Ignored | None:
    if entry.ledger == CLAIMS:
        return known.ignored
    if entry.ignore_reason is None:
        return None
    at_ms = entry.moment_ms if 0 < entry.moment_ms <= now.at_ms else now.at_ms
    return Ignored(reason=entry.ignore_reason, by=MARK, at_ms=at_ms)


def _marked(known: TaskState, entry: Foreign) -> dict[str, Any]:
    mark: Document = {"fingerprint": entry.fingerprint, "moment_ms": entry.moment_ms}
    if entry.kept:
        mark["kept"] = dict(entry.kept)
    return {**known.extra, MARK: {**_marks(known), entry.ledger: mark}}


def _marks(state: TaskState) -> dict[str, Document]:
    marks = state.extra.get(MARK)
    if not isinstance(marks, dict):
        return {}
    return {ledger: mark for ledger, mark in marks.items() if isinstance(mark, dict)}


def _moment_of(mark: Document) -> int:
    moment_ms = mark.get("moment_ms")
    return moment_ms if isinstance(moment_ms, int) else 0


def _is_blank(state: TaskState) -> bool:
    return state.fence == 0 and state.attempts == 0 and state.lease is None and state.ignored is None


def _is_only_imported(state: TaskState, beat: Beat | None) -> bool:
    """Whether nothing has happened since the last import: neither a transition nor a renewal."""
    renewed = beat is not None and beat.fence == state.fence and state.fence > LIVE_WITHOUT_BEAT
    return not renewed and bool(state.history) and state.history[-1].get("event") == "imported"


def _described(state: TaskState) -> str:
    holder = f" by {state.owner}" if state.owner is not None else ""
    ignored = ", ignored" if state.ignored is not None else ""
    return f"{state.status}{holder}{ignored}, fence {state.fence}"

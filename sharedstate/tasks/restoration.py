"""Pure: a task as last known when its record cannot be read, from the journal and from fences seen elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sharedstate.clock import Instant, iso_of_ms
from sharedstate.store import Decision, Entry
from sharedstate.tasks.model import (
    ABANDONED,
    CLAIMED,
    HISTORY_ENTRIES_MAX,
    STATUSES,
    Document,
    Ignored,
    Lease,
    TaskState,
)
from sharedstate.tasks.policy import brief, transition
from sharedstate.values import Value

_TTL_MS_DEFAULT: Final = 300_000
_NOT_IN_HISTORY: Final = frozenset(("type", "task", "attempt", "retries"))
_OWNERSHIPS: Final = frozenset(("claimed", "reclaimed", "taken_over", "imported"))


class Holding(Value):
    """What a machine's own ledger knows of a claim: owner, fence, fingerprint of its token."""

    owner: str
    fence: int
    digest: str


def restore(
    task: str,
    entries: Sequence[Entry],
    *,
    record: str,
    now: Instant,
    fences: Sequence[int],
    complete: bool,
    base: TaskState | None = None,
    holding: Holding | None = None,
) -> Decision[TaskState]:
    """The record anew, from `entries` (all journal entries about the task, in order) or, without any, from `base`.

    `record` is the record's name in the journal (`tasks/T-1`): only its own transitions say what state it was in. A
    live attempt becomes abandoned: who held it must claim again. The fence is above all `fences` and all in the
    entries, by one more, because the very last transition may be missing from the journal. Where the journal is not
    `complete`, or nothing is known, it is also above the seconds of wall time, which no fence counted up by ones has
    reached.
    """
    own = [entry for entry in entries if entry.record.rpartition("@")[0] == record and "fence" in entry.value]
    state = _replayed(task, own) if own else base or TaskState(task=task, created_ms=now.at_ms)
    told = (_fence(entry.value, name) for entry in entries for name in ("fence", "previous_fence"))
    floor = max((state.fence, *fences, *told))
    if not complete or not (own or base):
        floor = max(floor, now.at_ms // 1000)
    lease = state.lease
    if lease is not None and holding is not None and (holding.owner, holding.fence) == (lease.owner, state.fence):
        lease = lease.replace(digest=holding.digest)
    was_live = state.status == CLAIMED
    restored = state.replace(
        status=ABANDONED if was_live else state.status,
        fence=floor + 1,
        lease=lease,
        last_error="its record became unreadable" if was_live else state.last_error,
    )
    detail = f"from {len(own)} journal entries" if own else "from the archive" if base else "only a fence was known"
    facts = {"detail": detail, "reason": "record_unreadable"}
    return transition(restored, "restored", now, result=restored, facts=facts)


def _replayed(task: str, entries: Sequence[Entry]) -> TaskState:
    state = TaskState(task=task, created_ms=entries[0].at_ms)
    for entry in entries:
        state = _after(state, entry)
    history = tuple(_history_of(entry) for entry in entries[-HISTORY_ENTRIES_MAX:])
    return state.replace(history=history, updated_ms=entries[-1].at_ms)


def _after(state: TaskState, entry: Entry) -> TaskState:
    said = entry.value
    status = said.get("status")
    return state.replace(
        status=status if status in STATUSES else state.status,
        fence=max(state.fence, _fence(said, "fence")),
        attempts=_count(said.get("attempt"), state.attempts),
        retries=_count(said.get("retries"), state.retries),
        lease=_lease_after(state.lease, entry),
        last_error=_error_after(state.last_error, said),
        ignored=_ignored_after(state.ignored, entry),
    )


def _lease_after(lease: Lease | None, entry: Entry) -> Lease | None:
    said, owner = entry.value, entry.value.get("owner")
    if said.get("type") not in _OWNERSHIPS or not isinstance(owner, str):
        return lease
    scope = said.get("scope")
    return Lease(
        owner=owner,
        digest="",
        ttl_ms=max(1, _count(said.get("ttl_ms"), _TTL_MS_DEFAULT)),
        began=Instant(at_ms=entry.at_ms, boot_ms=0, boot_id=""),
        scope=tuple(path for path in scope if isinstance(path, str)) if isinstance(scope, list) else (),
    )


def _error_after(before: str | None, said: Document) -> str | None:
    if said.get("type") != "released":
        return before
    error = said.get("error")
    return error if isinstance(error, str) else None


def _ignored_after(ignored: Ignored | None, entry: Entry) -> Ignored | None:
    said, kind = entry.value, entry.value.get("type")
    if kind == "unignored":
        return None
    reason = said.get("reason") if kind == "ignored" else said.get("ignore_reason") if kind == "imported" else None
    if not isinstance(reason, str):
        return ignored
    by = said.get("by")
    return Ignored(reason=reason, by=by if isinstance(by, str) else str(kind), at_ms=entry.at_ms)


def _history_of(entry: Entry) -> Document:
    told = brief({name: value for name, value in entry.value.items() if name not in _NOT_IN_HISTORY})
    return {"at": iso_of_ms(entry.at_ms), "event": entry.value.get("type", "note"), **told}


def _fence(said: Document, name: str) -> int:
    return _count(said.get(name), 0)


def _count(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default

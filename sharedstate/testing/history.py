"""Did two ever own one task at once? Pure checks over recorded histories, by races, the simulator and the demo.

`violations_in_journal` reads the journal's events; `violations_in_operations` reads what clients saw themselves, with
real starts and ends, so it also finds what a journal that lies would hide. Both return violations as values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from sharedstate.store import Document, Entry
from sharedstate.values import Value

_BEGINS: Final = frozenset(("claimed", "reclaimed", "taken_over"))
_ENDS: Final = frozenset(("released", "swept"))
_RESTORES: Final = frozenset(("imported", "restored"))  # a record written as a whole
Kind = Literal["two_owners", "fence", "zombie", "order"]


class Violation(Value):
    """One broken promise: `kind`, the task, where it happened (journal sequence or index of the operation), and why."""

    kind: Kind
    task: str
    at: int
    reason: str


class Operation(Value):
    """What one client did to one task and was told, with its real times.

    `kind`: `claim` (a fresh one), `takeover`, `reclaim`, `renew`, `release`, `write` (any other write under a fence),
    `sweep` (ends the holding of `fence`, whoever calls it). `ok`: the store accepted it. `start` and `end` are
    comparable moments (steps, nanoseconds) before the call and after the answer; `end` is None when the client died
    before it heard: then the operation may or may not have happened.
    """

    task: str
    owner: str
    kind: Literal["claim", "takeover", "reclaim", "renew", "release", "write", "sweep"]
    ok: bool
    fence: int
    start: int
    end: int | None


class _Holding(Value):
    owner: str
    fence: int


def violations_in_journal(entries: Iterable[Entry | Document]) -> list[Violation]:
    """Check the events of a journal, in its order; documents without sequence count from 1.

    A fresh claim needs a free task; a takeover that names an owner takes from that one; every beginning has a fence
    above all before it; only the holder, under its fence, is released or swept.
    """
    found: list[Violation] = []
    holders: dict[str, _Holding | None] = {}
    highest: dict[str, int] = {}
    for index, entry in enumerate(entries, start=1):
        at, event = (entry.sequence, entry.value) if isinstance(entry, Entry) else (index, entry)
        kind, task = event.get("type"), str(event.get("task", ""))
        if kind in _BEGINS:
            holder = holders.get(task)
            reasons = _beginning(event, holder, highest.get(task, 0))
            found += [Violation(kind=why, task=task, at=at, reason=text) for why, text in reasons]
            highest[task] = max(highest.get(task, 0), _fence(event))
            holders[task] = _Holding(owner=str(event.get("owner")), fence=_fence(event))
        elif kind in _ENDS:
            reasons = _ending(event, holders.get(task))
            found += [Violation(kind=why, task=task, at=at, reason=text) for why, text in reasons]
            highest[task] = max(highest.get(task, 0), _fence(event))
            holders[task] = None
        elif kind == "conflict" and event.get("status") != "claimed":
            holder = holders.get(task)  # a claim taken back before it began: it met another's scope, or an error
            if holder is not None and holder.fence == _fence(event):
                holders[task] = None
        elif kind in _RESTORES:
            live = event.get("status") == "claimed"
            holders[task] = _Holding(owner=str(event.get("owner")), fence=_fence(event)) if live else None
            highest[task] = max(highest.get(task, 0), _fence(event))
    return found


def violations_in_operations(operations: Iterable[Operation]) -> list[Violation]:
    """Check what clients saw: fences of one task follow real time, no fence is given twice, stale fences write nothing,
    and a fresh claim never succeeds while another owner certainly holds the task."""
    by_task: dict[str, list[tuple[int, Operation]]] = {}
    for index, operation in enumerate(operations):
        by_task.setdefault(operation.task, []).append((index, operation))
    found: list[Violation] = []
    for task, known in by_task.items():
        found += _fences_given_twice(task, known)
        found += _late_fences(task, known)
        found += _second_owners(task, known)
    return sorted(found, key=lambda violation: violation.at)


def _fence(event: Document) -> int:
    fence: Any = event.get("fence", 0)
    return fence if isinstance(fence, int) else 0


def _beginning(event: Document, holder: _Holding | None, highest: int) -> list[tuple[Kind, str]]:
    reasons: list[tuple[Kind, str]] = []
    kind, owner, fence = event["type"], str(event.get("owner")), _fence(event)
    if fence <= highest:
        reasons.append(("fence", f"{kind} by {owner} has fence {fence}, but {highest} was given before"))
    if kind == "claimed" and holder is not None:
        reasons.append(("two_owners", f"claimed by {owner} while {holder.owner} holds it with fence {holder.fence}"))
    if kind == "reclaimed" and holder is not None and holder.owner != owner:
        reasons.append(("two_owners", f"reclaimed by {owner} while {holder.owner} holds it with fence {holder.fence}"))
    previous = event.get("previous_owner")
    if kind == "taken_over" and holder is not None and previous is not None and previous != holder.owner:
        reasons.append(("order", f"taken over from {previous}, but {holder.owner} holds it"))
    return reasons


def _ending(event: Document, holder: _Holding | None) -> list[tuple[Kind, str]]:
    kind, owner, fence = event["type"], event.get("owner"), _fence(event)
    if holder is None:
        return [("zombie", f"{kind} for {owner} with fence {fence}, but nobody holds it")]
    wrong_fence = "fence" in event and fence < holder.fence
    wrong_owner = kind == "released" and owner is not None and owner != holder.owner
    if wrong_fence or wrong_owner:
        return [("zombie", f"{kind} for {owner} with fence {fence}; {holder.owner} holds it with fence {holder.fence}")]
    return []


_Known = list[tuple[int, Operation]]


def _begins(operation: Operation) -> bool:
    return operation.ok and operation.end is not None and operation.kind in ("claim", "takeover", "reclaim")


def _fences_given_twice(task: str, known: _Known) -> list[Violation]:
    found: list[Violation] = []
    given: dict[int, Operation] = {}
    for index, operation in known:
        if not _begins(operation):
            continue
        first = given.setdefault(operation.fence, operation)
        if first is not operation:
            reason = f"fence {operation.fence} was given to {first.owner} and to {operation.owner}"
            found.append(Violation(kind="fence", task=task, at=index, reason=reason))
    return found


def _late_fences(task: str, known: _Known) -> list[Violation]:
    """What began after a newer fence had been acknowledged must not succeed under an older one."""
    found: list[Violation] = []
    acknowledged = sorted((op.end, op.fence) for _, op in known if _begins(op) and op.end is not None)
    highest, position = 0, 0
    for index, operation in sorted(known, key=lambda item: item[1].start):
        while position < len(acknowledged) and acknowledged[position][0] < operation.start:
            highest = max(highest, acknowledged[position][1])
            position += 1
        if not operation.ok or operation.end is None:
            continue
        if operation.kind in ("claim", "takeover", "reclaim"):
            if operation.fence <= highest:
                reason = f"{operation.kind} by {operation.owner} got fence {operation.fence} after {highest}"
                found.append(Violation(kind="fence", task=task, at=index, reason=reason))
        elif operation.kind != "sweep" and operation.fence < highest:
            reason = f"{operation.kind} by {operation.owner} under fence {operation.fence} after {highest} was given"
            found.append(Violation(kind="zombie", task=task, at=index, reason=reason))
    return found


def _second_owners(task: str, known: _Known) -> list[Violation]:
    """A fresh claim must not succeed entirely within the time in which another certainly held the task."""
    found: list[Violation] = []
    ended: dict[int, int] = {}
    for _, operation in known:
        if operation.kind in ("release", "sweep") and (operation.ok or operation.end is None):
            ended[operation.fence] = min(ended.get(operation.fence, operation.start), operation.start)
    holdings = [operation for _, operation in known if _begins(operation)]
    unheard = [operation for _, operation in known if operation.end is None]
    for index, operation in known:
        if operation.kind != "claim" or not _begins(operation) or operation.end is None:
            continue
        for holding in holdings:
            over = _superseded(holding, holdings, unheard, ended)
            if (
                holding.owner != operation.owner
                and holding.end is not None
                and holding.end < operation.start
                and (over is None or operation.end < over)
            ):
                reason = f"claimed by {operation.owner} while {holding.owner} held it with fence {holding.fence}"
                found.append(Violation(kind="two_owners", task=task, at=index, reason=reason))
                break
    return found


def _superseded(
    holding: Operation, holdings: list[Operation], unheard: list[Operation], ended: dict[int, int]
) -> int | None:
    """The first moment at which this holding may have been over, by its own release or somebody's takeover."""
    moments = [ended[holding.fence]] if holding.fence in ended else []
    moments += [
        other.start for other in holdings if other.fence > holding.fence and other.kind in ("takeover", "reclaim")
    ]
    # Who died before it heard may have taken it over at any time after it asked.
    moments += [max(other.start, holding.end or 0) for other in unheard if other.kind not in ("renew", "write")]
    return min(moments) if moments else None

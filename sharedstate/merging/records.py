"""Merging two documents that came from one: field by field, ownership as a whole.

Rules, in this order. A field that only one side changed is as that side has it. Who owns a task, under which fence,
with which status, is one thing and never mixed: the higher fence wins, then the status that is further, then the later
change; work that one side completed stays complete. A fence is never below that of any side. Counters and moments take
the greater, histories are united. Of two other values one is kept in place, the other under `conflicts`, so that
nothing is lost. Which side is called ours makes no difference to the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from sharedstate import jsonio
from sharedstate.values import Value

Document = dict[str, Any]
CONFLICTS: Final = "conflicts"
OWNERSHIP: Final = "ownership"
ENVELOPE: Final = ("schema", "id", "revision", "live", "last_events")
_OWNERSHIP: Final = ("status", "lease", "last_error")
_COUNTERS: Final = frozenset(("fence", "attempts", "retries"))
_RANKS: Final = {"complete": 4, "failed": 3, "abandoned": 2, "claimed": 1}
_MISSING: Final = object()


class _Losses:
    """What does not stay in its place. A loss that one side has noted before is decided: its value stays there."""

    def __init__(self, ours: Document, theirs: Document) -> None:
        self.new: list[Document] = []
        self.prefer_ours = _order(ours) >= _order(theirs)
        self._noted = [{jsonio.text_of(item) for item in _list(side.get(CONFLICTS))} for side in (ours, theirs)]

    def choose(self, at: str, one: Any, other: Any, *, prefer_ours: bool) -> Any:
        """Which of two values stays; the other is noted."""
        for stays, goes, noted in ((one, other, self._noted[0]), (other, one, self._noted[1])):
            if jsonio.text_of({"at": at, "value": goes}) in noted:
                return stays
        stays, goes = (one, other) if prefer_ours else (other, one)
        self.new.append({"at": at, "value": goes})
        return stays


class Merged(Value):
    """A merged document, and the paths at which both sides had said something else."""

    value: Document
    conflicts: tuple[str, ...]


def merge_documents(base: Document | None, ours: Document, theirs: Document) -> Merged:
    """Merge two documents without their envelopes. `base` is None when there is no common ancestor. Pure."""
    before = base or {}
    lost = _Losses(ours, theirs)
    merged: Document = {}
    owned = _is_task(ours) and _is_task(theirs)
    if owned:
        merged = _ownership(before, ours, theirs, lost)
    for name in sorted(set(ours) | set(theirs)):
        if name in merged or name == CONFLICTS or (owned and name in _OWNERSHIP):
            continue
        told = [side.get(name, _MISSING) for side in (before, ours, theirs)]
        value = _field(name, told, (name,), lost)
        if value is not _MISSING:
            merged[name] = value
    kept = _noted(ours.get(CONFLICTS, _MISSING), theirs.get(CONFLICTS, _MISSING), lost.new)
    if kept is not _MISSING:
        merged[CONFLICTS] = kept
    return Merged(value=merged, conflicts=tuple(sorted({str(item["at"]) for item in lost.new})))


def _noted(one: Any, other: Any, new: list[Document]) -> Any:
    """What stands under `conflicts`. Once noted, a conflict stays until a person takes it out on both sides.

    Somebody else's value of that name is not lost either: it becomes one of the noted.
    """
    if not new and _alike(one, other):
        return one
    return _united([*_items(one), *_items(other), *new]) or _MISSING


def _items(value: Any) -> list[Any]:
    if value is _MISSING:
        return []
    return value if isinstance(value, list) else [{"at": CONFLICTS, "value": value}]


def _is_task(document: Document) -> bool:
    return type(document.get("fence")) is int and isinstance(document.get("status"), str)


def _ownership(base: Document, ours: Document, theirs: Document, lost: _Losses) -> Document:
    """The fields of ownership from one side, counters from all."""
    groups: list[Document] = [
        {name: side[name] for name in ("fence", *_OWNERSHIP) if name in side} for side in (base, ours, theirs)
    ]
    was, one, other = groups
    if _same(one, other) or _same(other, was):
        winner = one
    elif _same(one, was):
        winner = other
    else:
        further = _claim_order(was, one) >= _claim_order(was, other)
        winner = lost.choose(OWNERSHIP, one, other, prefer_ours=further)
    found: Document = {name: winner[name] for name in _OWNERSHIP if name in winner}
    for name in sorted(_COUNTERS):
        numbers = [side[name] for side in (base, ours, theirs) if type(side.get(name)) is int]
        if numbers:
            found[name] = max(numbers)
    return found


def _claim_order(was: Document, group: Document) -> tuple[Any, ...]:
    newly_complete = group.get("status") == "complete" and was.get("status") != "complete"
    return (newly_complete, group["fence"], _RANKS.get(group["status"], 0), jsonio.text_of(group))


def _order(document: Document) -> tuple[Any, ...]:
    fence, updated = document.get("fence"), document.get("updated_at")
    rest = {name: value for name, value in document.items() if name != CONFLICTS}
    return (fence if type(fence) is int else -1, updated if isinstance(updated, str) else "", jsonio.text_of(rest))


def _field(name: str, told: list[Any], path: tuple[str, ...], lost: _Losses) -> Any:
    """One field of base, ours and theirs: the value that stays."""
    was, one, other = told
    if name in _COUNTERS and len(path) == 1:
        numbers = [value for value in told if type(value) is int]
        if len(numbers) == len([value for value in told if value is not _MISSING]):
            return max(numbers)
    if _alike(one, other) or _alike(other, was):
        return one
    if _alike(one, was):
        return other
    if one is _MISSING or other is _MISSING:  # removed here, changed there: what was changed stays
        return other if one is _MISSING else one
    if isinstance(one, dict) and isinstance(other, dict):
        return _object(was if isinstance(was, dict) else {}, one, other, path, lost)
    if name == "history" and isinstance(one, list) and isinstance(other, list):
        return _histories(_list(was), one, other)
    if name.endswith("_at") and isinstance(one, str) and isinstance(other, str):
        return min(one, other) if name == "created_at" else max(one, other)
    return lost.choose(".".join(path), one, other, prefer_ours=lost.prefer_ours)


def _object(was: Document, one: Document, other: Document, path: tuple[str, ...], lost: _Losses) -> Document:
    merged: Document = {}
    for name in sorted(set(one) | set(other)):
        told = [side.get(name, _MISSING) for side in (was, one, other)]
        value = _field(name, told, (*path, name), lost)
        if value is not _MISSING:
            merged[name] = value
    return merged


def _histories(was: list[Any], one: list[Any], other: list[Any]) -> list[Any]:
    """Both histories in one, oldest first; what both have stands once."""
    return merge_runs(one, other, order=lambda item: (_moment(item), jsonio.text_of(item)))


def merge_runs(one: list[Any], other: list[Any], *, order: Callable[[Any], Any]) -> list[Any]:
    """Two runs in one: each keeps its own order where they do not share entries, and what both have stands once."""
    if _within(other, one):
        return list(one)
    if _within(one, other):
        return list(other)
    counted: dict[str, list[int]] = {}
    for at, run in enumerate((one, other)):
        for item in run:
            counted.setdefault(jsonio.text_of(item), [0, 0])[at] += 1
    by_text = {jsonio.text_of(item): item for item in (*one, *other)}
    every = [by_text[text] for text, counts in counted.items() for _ in range(max(counts))]
    return sorted(every, key=order)


def _within(part: list[Any], whole: list[Any]) -> bool:
    rest = iter([jsonio.text_of(item) for item in whole])
    return all(jsonio.text_of(item) in rest for item in part)


def _moment(item: Any) -> str:
    return str(item.get("at", "")) if isinstance(item, dict) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _united(items: Iterable[Any]) -> list[Any]:
    by_text = {jsonio.text_of(item): item for item in items}
    return [by_text[text] for text in sorted(by_text)]


def _alike(one: Any, other: Any) -> bool:
    if one is _MISSING or other is _MISSING:
        return one is other
    return _same(one, other)


def _same(one: Any, other: Any) -> bool:
    """Equal with the types of all values: 1, 1.0 and true are three."""
    return jsonio.text_of(one) == jsonio.text_of(other)

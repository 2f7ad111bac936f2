"""Counters, derived from the journal: a pure fold over events, so that they can always be counted anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sharedstate.values import Value

# Which field tells the kinds of an event apart.
_KINDS = {"taken_over": "reason", "swept": "reason", "conflict": "reason", "released": "status"}
_KINDS_MAX = 200


class Counters(Value):
    """How often each type of event happened, and by which reason or outcome (`swept/owner_stale`), sorted by name."""

    events: int
    by_type: Mapping[str, int]
    by_reason: Mapping[str, int]


def fold(entries: Iterable[Mapping[str, Any]]) -> Counters:
    """Count the documents of a journal, unknown types included; at most 200 kinds are told apart."""
    count = 0
    by_type: dict[str, int] = {}
    by_reason: dict[str, int] = {}
    for entry in entries:
        count += 1
        kind = entry.get("type")
        if not isinstance(kind, str):
            continue
        _count(by_type, kind)
        told = entry.get(_KINDS.get(kind, ""))
        if isinstance(told, str):
            _count(by_reason, f"{kind}/{told}")
    return Counters(events=count, by_type=dict(sorted(by_type.items())), by_reason=dict(sorted(by_reason.items())))


def _count(counts: dict[str, int], name: str) -> None:
    if name in counts or len(counts) < _KINDS_MAX:
        counts[name] = counts.get(name, 0) + 1

"""One request budget for all processes of this machine, kept in the machine-local store. Exhausted means parked.

GitHub counts points per minute (a read 1, a write 5), new content per minute and hour, and asks for a pause between
writes that notify people. Windows are sums over buckets, rounded so that they allow rather too little than too much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from sharedstate.store import KEEP, Decision, Document, Snapshot, Store
from sharedstate.sync.board import Parked
from sharedstate.values import Value

COLLECTION: Final = "github-budget"
READ_POINTS: Final = 1
WRITE_POINTS: Final = 5
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
_FINE_MS: Final = 2_000  # bucket of the windows of a minute
_COARSE_MS: Final = 60_000  # bucket of the window of an hour
Kind = Literal["read", "write", "create", "notify"]


class Limits(Value):
    """What a credential may spend. Defaults are what GitHub documents; `spacing_ms` lies between notifying writes."""

    points_per_minute: int = 900
    creations_per_minute: int = 80
    creations_per_hour: int = 500
    spacing_ms: int = 3_000


class Spent(Value):
    """What was spent lately: points and creations by start of bucket (Unix milliseconds), the last notifying write.

    `until_ms`: GitHub itself has asked for silence until then.
    """

    points: Mapping[int, int] = {}
    creations: Mapping[int, int] = {}
    creations_of_hour: Mapping[int, int] = {}
    notified_ms: int = 0
    until_ms: int = 0


def spend(spent: Spent, *, kind: Kind, limits: Limits, now_ms: int) -> tuple[Spent, Parked | None]:
    """What is spent after one request of this kind, or the same and how long it has to wait. Pure.

    `create` makes new content, `notify` makes new content that people are told of.
    """
    spent = _rolled(spent, now_ms)
    cost = READ_POINTS if kind == "read" else WRITE_POINTS
    creates = kind in ("create", "notify")
    waits = [
        (spent.until_ms, "GitHub has asked to wait"),
        (_free_ms(spent.points, limits.points_per_minute, cost, MINUTE_MS, _FINE_MS), "points of this minute"),
    ]
    if creates:
        minute, hour = spent.creations, spent.creations_of_hour
        waits.append(
            (_free_ms(minute, limits.creations_per_minute, 1, MINUTE_MS, _FINE_MS), "creations of this minute")
        )
        waits.append((_free_ms(hour, limits.creations_per_hour, 1, HOUR_MS, _COARSE_MS), "creations of this hour"))
    if kind == "notify":
        waits.append((spent.notified_ms + limits.spacing_ms, SPACING))
    until_ms, reason = max(waits)
    if until_ms > now_ms:
        alone = max(waits[:WHOLE])[0] <= now_ms
        return spent, Parked(until_ms=until_ms, reason=f"request budget: {reason}", alone=alone)
    fine, coarse = now_ms - now_ms % _FINE_MS, now_ms - now_ms % _COARSE_MS
    return spent.replace(
        points=_added(spent.points, fine, cost),
        creations=_added(spent.creations, fine, int(creates)),
        creations_of_hour=_added(spent.creations_of_hour, coarse, int(creates)),
        notified_ms=now_ms if kind == "notify" else spent.notified_ms,
    ), None


SPACING: Final = "pause between writes that notify people"
WHOLE: Final = 2  # so many of the reasons to wait, the first ones, hold up every request and not new content alone


class Budget:
    """The budget of one credential, shared by all processes of this machine through the local store."""

    def __init__(self, store: Store, *, credential: str, limits: Limits) -> None:
        self._store = store
        self._key = credential
        self._limits = limits

    def take(self, kind: Kind, *, now_ms: int) -> Parked | None:
        """Spend one request, or say how long it has to wait."""

        def decide(snapshot: Snapshot) -> Decision[Parked | None]:
            after, parked = spend(_load(snapshot.value), kind=kind, limits=self._limits, now_ms=now_ms)
            return Decision(result=parked, write=KEEP if parked is not None else _dump(after))

        return self._store.transact(COLLECTION, self._key, decide, durability="relaxed")

    def wait(self, kind: Kind, *, now_ms: int) -> Parked | None:
        """How long such a request would have to wait now, None if not at all. Spends nothing."""
        found = self._store.get(COLLECTION, self._key)
        return spend(_load(None if found is None else found.value), kind=kind, limits=self._limits, now_ms=now_ms)[1]

    def note(self, parked: Parked) -> None:
        """GitHub has asked to wait: every process of this machine does."""

        def decide(snapshot: Snapshot) -> Decision[None]:
            spent = _load(snapshot.value)
            if spent.until_ms >= parked.until_ms:
                return Decision(result=None)
            return Decision(result=None, write=_dump(spent.replace(until_ms=parked.until_ms)))

        self._store.transact(COLLECTION, self._key, decide, durability="relaxed")


def _rolled(spent: Spent, now_ms: int) -> Spent:
    """Without what lies behind every window, and without what a clock set back has left in the future."""

    def within(buckets: Mapping[int, int], window_ms: int, bucket_ms: int) -> dict[int, int]:
        oldest = now_ms - window_ms - bucket_ms
        return {start: count for start, count in buckets.items() if oldest < start <= now_ms + bucket_ms}

    return spent.replace(
        points=within(spent.points, MINUTE_MS, _FINE_MS),
        creations=within(spent.creations, MINUTE_MS, _FINE_MS),
        creations_of_hour=within(spent.creations_of_hour, HOUR_MS, _COARSE_MS),
        notified_ms=spent.notified_ms if spent.notified_ms <= now_ms else 0,
        until_ms=spent.until_ms if spent.until_ms <= now_ms + 6 * HOUR_MS else 0,
    )


def _free_ms(buckets: Mapping[int, int], allowed: int, cost: int, window_ms: int, bucket_ms: int) -> int:
    """When `cost` fits into the window again: 0 for now. At least one request always fits into an empty window."""
    over = sum(buckets.values()) + min(cost, allowed) - allowed
    for start in sorted(buckets):
        if over <= 0:
            return 0
        over -= buckets[start]
        if over <= 0:
            return start + bucket_ms + window_ms
    return 0


def _added(buckets: Mapping[int, int], start: int, count: int) -> Mapping[int, int]:
    return {**buckets, start: buckets.get(start, 0) + count} if count else buckets


def _dump(spent: Spent) -> Document:
    document: Document = {"notified_ms": spent.notified_ms, "until_ms": spent.until_ms}
    for name in ("points", "creations", "creations_of_hour"):
        document[name] = {str(start): count for start, count in getattr(spent, name).items()}
    return document


def _load(document: Document | None) -> Spent:
    held: dict[str, Any] = document or {}
    windows = {
        name: {int(start): int(count) for start, count in held.get(name, {}).items()}
        for name in ("points", "creations", "creations_of_hour")
    }
    return Spent(**windows, notified_ms=int(held.get("notified_ms", 0)), until_ms=int(held.get("until_ms", 0)))

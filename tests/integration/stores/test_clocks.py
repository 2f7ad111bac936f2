"""Clocks that are off by an hour: what that does to claims, on every store, is what its documentation says.

Where a server tells the time, and on one machine, it does nothing. Machines that share nothing but a git remote have no
common clock: a claim may be taken over early there, is told as lost then, and is never immortal.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from sharedstate.clock import Instant
from sharedstate.connect import SharedState
from sharedstate.host import Host
from sharedstate.tasks.outcomes import Claimed, Kept, Lost, Refused, Released
from sharedstate.values import Value
from tests.integration.stores.conftest import Counted
from tests.integration.stores.places import PLACES, Place

HOUR_MS = 3_600_000
TTL_MS = 1_500
NO_COMMON_CLOCK = {"git"}
OFFSETS = ((HOUR_MS, 0), (-HOUR_MS, 0), (0, HOUR_MS), (0, -HOUR_MS))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Pair(Value):
    """Two machines that want one task; whether the clock of the one that has it is `ahead` of the other's."""

    task: str
    holder: SharedState
    other: SharedState
    ahead: bool


class OffHost(Host):
    """A machine whose wall clock is off: one of its own, or this one, whose clock was stepped between two processes."""

    def __init__(self, off_ms: int, *, own: bool = True) -> None:
        super().__init__()
        self._off_ms = off_ms
        self._own = own

    def boot_id(self) -> str:
        """Another boot than any other machine's."""
        return f"boot-{self._off_ms}" if self._own else super().boot_id()

    def now(self) -> Instant:
        """The true moment, shifted."""
        true = super().now()
        return Instant(at_ms=true.at_ms + self._off_ms, boot_ms=true.boot_ms, boot_id=self.boot_id())


def opened(place: Place, name: str, off_ms: int) -> SharedState:
    """The state as a machine with such a clock opens it. Files are shared on one machine only."""
    host = OffHost(off_ms, own=place.name != "files")
    return place.open(name, host=host, stale_threshold_ms=TTL_MS, heartbeat_interval_ms=TTL_MS // 5)


def taken_over(state: SharedState, task: str, *, within_ms: int) -> tuple[int, int]:
    """Ask for a task until it is taken over; the fence, and how many milliseconds that took. Not for too long."""
    begun_s = time.monotonic()
    while True:
        taken = state.claims.claim(task)
        waited_ms = round((time.monotonic() - begun_s) * 1000)
        if isinstance(taken, Claimed):
            return taken.fence, waited_ms
        assert waited_ms < within_ms, "an immortal claim"
        time.sleep(0.1)


@contextmanager
def pairs_on(place: Place) -> Generator[list[Pair]]:
    """A holder and another machine for each way in which their clocks may differ, each with a task of their own."""
    with ExitStack() as ends:
        yield [
            Pair(
                task=f"T-{number}",
                holder=ends.enter_context(opened(place, f"holder-{number}", held_off_ms)),
                other=ends.enter_context(opened(place, f"other-{number}", other_off_ms)),
                ahead=held_off_ms > other_off_ms,
            )
            for number, (held_off_ms, other_off_ms) in enumerate(OFFSETS)
        ]


@pytest.fixture
def pairs(place: Place) -> Iterator[list[Pair]]:
    with pairs_on(place) as made:
        yield made


@pytest.mark.parametrize("place", sorted(PLACES.keys() - NO_COMMON_CLOCK), indirect=True)
def test_a_host_clock_that_is_off_by_an_hour_neither_kills_nor_immortalises_a_claim(
    pairs: list[Pair], counted: Counted
) -> None:
    check_common_clock(pairs)
    counted(6 * len(pairs))


def check_common_clock(pairs: list[Pair]) -> None:
    """No early takeover, no immortal claim."""
    fences: list[int] = []
    for pair in pairs:
        claimed = pair.holder.claims.claim(pair.task)
        assert isinstance(claimed, Claimed)
        fences.append(claimed.fence)
        assert isinstance(pair.other.claims.claim(pair.task), Refused), "an early takeover"
        assert isinstance(pair.holder.claims.renew(pair.task), Kept)
        assert not any(ended.task == pair.task for ended in pair.other.claims.sweep().swept)
    time.sleep(TTL_MS / 1000 + 0.3)
    for pair, before in zip(pairs, fences, strict=True):
        fence, _ = taken_over(pair.other, pair.task, within_ms=TTL_MS)
        assert fence > before
        assert isinstance(pair.other.claims.release(pair.task), Released)


@pytest.mark.parametrize("place", sorted(NO_COMMON_CLOCK), indirect=True)
def test_without_a_common_clock_a_wrong_one_takes_claims_early_or_keeps_them_for_one_ttl_more(
    pairs: list[Pair], counted: Counted
) -> None:
    for pair in pairs:
        claimed = pair.holder.claims.claim(pair.task)
        assert isinstance(claimed, Claimed)
        if pair.ahead:  # from the future: counts as seen now, from the first look on
            assert isinstance(pair.other.claims.claim(pair.task), Refused)
            fence, waited_ms = taken_over(pair.other, pair.task, within_ms=4 * TTL_MS)
            assert waited_ms >= TTL_MS - 500, "taken over before one ttl had passed since it was first seen"
        else:  # looks an hour old
            fence, _ = taken_over(pair.other, pair.task, within_ms=TTL_MS)
        assert isinstance(pair.holder.claims.renew(pair.task), Lost), "who lost it is told"
        assert fence > claimed.fence
        assert isinstance(pair.other.claims.release(pair.task), Released)
    counted(5 * len(pairs))

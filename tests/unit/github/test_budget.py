"""The request budget: never more than the limits, never a wait for nothing, one for all processes of a machine."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from sharedstate.sync.board import Parked
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.budget import Budget, Kind, Limits, Spent, spend

NOW_MS = 1_772_323_200_000
KINDS: tuple[Kind, ...] = get_args(Kind)
COSTS = {"read": 1, "write": 5, "create": 5, "notify": 5}
OPEN = Limits(spacing_ms=0)


def spent_until_parked(kind: Kind, limits: Limits) -> tuple[int, Parked]:
    spent = Spent()
    for count in range(10_000):
        spent, parked = spend(spent, kind=kind, limits=limits, now_ms=NOW_MS)
        if parked is not None:
            return count, parked
    raise AssertionError("no limit was met")


def test_a_minute_holds_900_points() -> None:
    assert spent_until_parked("read", OPEN)[0] == 900
    assert spent_until_parked("write", OPEN)[0] == 180


def test_a_minute_holds_80_creations_and_an_hour_500() -> None:
    assert spent_until_parked("create", OPEN)[0] == 80
    count, parked = spent_until_parked("create", OPEN.replace(creations_per_minute=10_000, points_per_minute=10**6))
    assert count == 500
    assert parked.until_ms - NOW_MS > 3_500_000


def test_writes_that_notify_keep_their_distance_and_others_do_not() -> None:
    spent, parked = spend(Spent(), kind="notify", limits=Limits(), now_ms=NOW_MS)
    assert parked is None
    spent, parked = spend(spent, kind="notify", limits=Limits(), now_ms=NOW_MS + 2_999)
    assert parked is not None
    assert parked.until_ms == NOW_MS + 3_000
    assert spend(spent, kind="write", limits=Limits(), now_ms=NOW_MS + 1)[1] is None
    assert spend(spent, kind="notify", limits=Limits(), now_ms=NOW_MS + 3_000)[1] is None


def test_waiting_as_long_as_asked_is_enough() -> None:
    limits = Limits(points_per_minute=20, creations_per_minute=2, creations_per_hour=5, spacing_ms=3_000)
    spent, now_ms, done = Spent(), NOW_MS, 0
    for _ in range(200):
        spent, parked = spend(spent, kind="notify", limits=limits, now_ms=now_ms)
        if parked is None:
            done += 1
            continue
        assert parked.until_ms > now_ms
        now_ms = parked.until_ms
        spent, parked = spend(spent, kind="notify", limits=limits, now_ms=now_ms)
        assert parked is None
        done += 1
    assert done >= 100


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 20_000)), max_size=120))
def test_no_window_ever_holds_more_than_the_limits(calls: list[tuple[Kind, int]]) -> None:
    limits = Limits(points_per_minute=30, creations_per_minute=3, creations_per_hour=8, spacing_ms=3_000)
    spent, now_ms, allowed = Spent(), NOW_MS, list[tuple[int, Kind]]()
    for kind, passed_ms in calls:
        now_ms += passed_ms
        spent, parked = spend(spent, kind=kind, limits=limits, now_ms=now_ms)
        if parked is None:
            allowed.append((now_ms, kind))
    for at_ms, _ in allowed:
        minute = [kind for moment, kind in allowed if at_ms <= moment < at_ms + 60_000]
        hour = [kind for moment, kind in allowed if at_ms <= moment < at_ms + 3_600_000]
        assert sum(COSTS[kind] for kind in minute) <= 30
        assert sum(kind in ("create", "notify") for kind in minute) <= 3
        assert sum(kind in ("create", "notify") for kind in hour) <= 8


def test_a_clock_set_back_does_not_park_for_good() -> None:
    spent = Spent()
    for _ in range(900):
        spent, _ = spend(spent, kind="read", limits=Limits(), now_ms=NOW_MS + 10**9)
    spent = spent.replace(notified_ms=NOW_MS + 10**9, until_ms=NOW_MS + 10**9)
    assert spend(spent, kind="notify", limits=Limits(), now_ms=NOW_MS)[1] is None


def test_only_new_content_waits_where_only_its_pace_is_reached() -> None:
    spent, refused = spend(Spent(), kind="notify", limits=Limits(), now_ms=NOW_MS)
    assert refused is None
    _, turn = spend(spent, kind="notify", limits=Limits(), now_ms=NOW_MS)
    assert turn is not None
    assert turn.alone
    assert spend(spent, kind="write", limits=Limits(), now_ms=NOW_MS)[1] is None
    for whole in (spent.replace(until_ms=NOW_MS + 1), spent.replace(points={NOW_MS - NOW_MS % 2000: 900})):
        _, parked = spend(whole, kind="notify", limits=Limits(), now_ms=NOW_MS)
        assert parked is not None
        assert not parked.alone


def test_asking_how_long_to_wait_spends_nothing() -> None:
    budget = Budget(MemoryStore(), credential="k", limits=OPEN.replace(creations_per_minute=1))
    for _ in range(3):
        assert budget.wait("create", now_ms=NOW_MS) is None
    assert budget.take("create", now_ms=NOW_MS) is None
    assert budget.wait("create", now_ms=NOW_MS) == budget.take("create", now_ms=NOW_MS) is not None


def test_all_processes_share_one_budget_and_one_silence() -> None:
    store = MemoryStore()
    one, other = (Budget(store, credential="k", limits=OPEN.replace(points_per_minute=3)) for _ in range(2))
    stranger = Budget(store, credential="another", limits=OPEN)
    answers = [budget.take("read", now_ms=NOW_MS) for budget in (one, other, one, other)]
    assert [answer is None for answer in answers] == [True, True, True, False]
    other.note(Parked(until_ms=NOW_MS + 600_000, reason="secondary rate limit"))
    other.note(Parked(until_ms=NOW_MS + 5, reason="an older answer"))
    asked = one.take("read", now_ms=NOW_MS + 300_000)
    assert asked is not None
    assert asked.until_ms == NOW_MS + 600_000
    assert stranger.take("read", now_ms=NOW_MS) is None
    assert one.take("read", now_ms=NOW_MS + 600_000) is None

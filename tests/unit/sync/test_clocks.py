"""Clocks that disagree: pauses are those of this machine, whatever the store or a step of the clock says."""

from __future__ import annotations

import pytest

from sharedstate.sync.board import Failed, Parked
from sharedstate.testing.board import Trouble
from sharedstate.testing.clock import WALL_MS_AT_START, FakeHost, FakeMachine
from sharedstate.testing.memory import MemoryStore
from tests.unit.sync.stage import HOUR_S, MINUTE_S, Machine, Stage

NO_ANSWER = Failed(kind="transient", detail="no answer")
HOUR_MS = round(HOUR_S * 1000)
OTHER_CLOCKS = pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS], ids=["ahead", "behind"])


class TwoClocks(Stage):
    """A board and this machine on one clock, and a shared store on another."""

    def __init__(self, ahead_ms: int) -> None:
        super().__init__()
        self.far = FakeMachine(seed=1, wall_ms=WALL_MS_AT_START + ahead_ms)
        self.here: Machine = self.join("here2", store=MemoryStore(FakeHost(machine=self.far)))

    def pass_s(self, seconds: float) -> None:
        """Let time pass, for everybody."""
        super().pass_s(seconds)
        self.far.advance(seconds)


def fail_five_times(stage: Stage) -> None:
    stage.break_next(Trouble(answer=NO_ANSWER), verb="list", times=5)
    for _ in range(5):
        stage.here.sync()


@OTHER_CLOCKS
def test_the_pause_after_failures_is_a_minute_whatever_the_clock_of_the_shared_store(ahead_ms: int) -> None:
    stage = TwoClocks(ahead_ms)
    fail_five_times(stage)
    stage.pass_s(MINUTE_S - 1)
    assert stage.here.sync().skipped_until_ms == stage.machine.now().at_ms + 1_000
    stage.pass_s(1)
    assert stage.here.sync().skipped_until_ms == 0


@OTHER_CLOCKS
def test_what_a_rate_limit_holds_up_goes_on_when_it_is_over(ahead_ms: int) -> None:
    stage = TwoClocks(ahead_ms)
    for number in (2, 3):
        stage.board.open_issue(f"GH-{number}")
        stage.here.claim(f"GH-{number}")
    until_ms = stage.machine.now().at_ms + 90_000
    stage.break_next(Trouble(answer=Parked(until_ms=until_ms, reason="limit")), verb="write")
    assert stage.here.sync().parked_until_ms == until_ms
    stage.pass_s(90)
    assert sorted(stage.here.sync().pushed) == ["GH-2", "GH-3"]


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S], ids=["ahead", "back"])
def test_a_step_of_the_wall_clock_neither_ends_a_pause_nor_keeps_it(step_s: float) -> None:
    stage = Stage()
    fail_five_times(stage)
    stage.machine.step_wall(step_s)
    stage.pass_s(MINUTE_S - 1)
    assert stage.here.sync().skipped_until_ms == stage.machine.now().at_ms + 1_000
    stage.pass_s(1)
    assert stage.here.sync().skipped_until_ms == 0


def test_a_pause_from_the_future_of_another_boot_is_over() -> None:
    stage = Stage()
    fail_five_times(stage)
    stage.machine.reboot()
    stage.machine.step_wall(-HOUR_S)
    assert stage.here.sync().skipped_until_ms == 0

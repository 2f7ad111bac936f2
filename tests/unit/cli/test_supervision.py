"""What `claims run` does between start and end, in which order; program, signals and time belong to the test."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable
from typing import cast

import pytest

from sharedstate.errors import StoreUnavailable
from sharedstate.tasks.outcomes import Claimed
from sharedstate_cli.running.program import Change, Continued, Ended, Program, Stopped
from sharedstate_cli.running.signals import Signals
from sharedstate_cli.running.supervision import Supervision
from tests.unit.claims.world import World

Step = int | Change | Callable[[], object]


class Script:
    """Plays the program and the signals, one step a second; what is done to the program is noted."""

    pid = 0

    def __init__(self, world: World, steps: Iterable[Step]) -> None:
        self._world = world
        self._steps = deque(steps)
        self._change: Change | None = None
        self.done: list[str] = []

    def wait(self, timeout_ms: int) -> list[int]:
        """The next step."""
        self._world.host.advance(1)
        step = self._steps.popleft() if self._steps else Ended(code=0)
        if isinstance(step, Stopped | Continued | Ended):
            self._change = step
        elif isinstance(step, int):
            return [step]
        else:
            step()
        return []

    def change(self) -> Change | None:
        """What the step has changed, once."""
        change, self._change = self._change, None
        return change

    def send(self, number: int) -> None:
        """Noted."""
        self.done.append(signal.Signals(number).name)

    def end(self, number: int) -> None:
        """Noted."""
        self.done.append(f"end {signal.Signals(number).name}")


@pytest.fixture
def world() -> World:
    return World()


def play(world: World, *steps: Step, grace_ms: int = 5000) -> tuple[Supervision, Script, list[str]]:
    claims = world.state().claims
    claimed = claims.claim("T", bind=True)
    assert isinstance(claimed, Claimed)
    script = Script(world, steps)
    notes: list[str] = []
    supervision = Supervision(
        claims,
        claimed,
        program=cast("Program", script),
        signals=cast("Signals", script),
        terminal=None,
        grace_ms=grace_ms,
        note=notes.append,
    )
    supervision.run()
    return supervision, script, notes


def rob(world: World) -> Callable[[], object]:
    return lambda: world.state(owner="here/other").claims.claim("T", force_reason="needed")


def seconds(world: World, count: int) -> Callable[[], object]:
    return lambda: world.host.advance(count)


def test_the_claim_is_verified_before_a_stopped_program_goes_on(world: World) -> None:
    stopped = Stopped(signal=signal.SIGTSTP)
    supervision, script, _ = play(world, stopped, rob(world), signal.SIGCONT)
    assert supervision.lost is not None
    assert script.done == ["end SIGTERM", "SIGCONT", "end SIGKILL"]


def test_a_stopped_program_is_not_kept_alive(world: World) -> None:
    steps = (Stopped(signal=signal.SIGSTOP), seconds(world, 31), lambda: fresh.append(world.state().tasks.get("T")))
    fresh: list[object] = []
    supervision, _, _ = play(world, *steps)
    assert supervision.lost is None
    assert getattr(fresh[0], "stale", None) is True


def test_a_program_that_somebody_else_continued_is_verified_at_once(world: World) -> None:
    supervision, script, _ = play(world, Stopped(signal=signal.SIGSTOP), rob(world), Continued(), lambda: None)
    assert supervision.lost is not None
    assert script.done[0] == "end SIGTERM"


def test_a_signal_to_end_wakes_a_stopped_program(world: World) -> None:
    supervision, script, _ = play(world, Stopped(signal=signal.SIGTSTP), signal.SIGTERM)
    assert supervision.interrupted
    assert script.done == ["SIGTERM", "SIGCONT"]


def test_a_lost_program_gets_its_grace_and_is_then_killed(world: World) -> None:
    wait = seconds(world, 10)
    supervision, script, notes = play(world, rob(world), wait, lambda: None, lambda: None, wait, grace_ms=5000)
    assert supervision.lost is not None
    assert script.done == ["end SIGTERM", "end SIGKILL", "end SIGKILL"]
    assert len(notes) == 1


def test_a_claim_that_cannot_be_verified_is_told_once_and_the_program_goes_on(world: World) -> None:
    def away() -> None:
        world.shared.outage = StoreUnavailable("away")

    def back() -> None:
        world.shared.outage = None

    wait = seconds(world, 10)
    supervision, script, notes = play(world, away, wait, wait, wait, back, wait)
    assert (supervision.lost, script.done) == (None, [])
    assert len(notes) == 1
    assert "cannot be verified" in notes[0]


def test_it_renews_in_time_for_as_long_as_it_takes(world: World) -> None:
    supervision, script, notes = play(world, *[seconds(world, 9)] * 20)
    assert (supervision.lost, script.done, notes) == (None, [], [])
    view = world.state().tasks.get("T")
    assert view is not None
    assert view.state.owner == "here/one"
    assert not view.stale

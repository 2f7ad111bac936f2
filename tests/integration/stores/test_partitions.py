"""Two machines with networks of their own; a cable is pulled and put in again: the other goes on, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.stores.cables import Machine, why_not
from tests.integration.stores.grounds import SERVED, Ground
from tests.integration.stores.race import StoreRace, check_race, steps_of

SECONDS = {"git": 9.0, "postgres": 5.0, "redis": 5.0}
OUTAGE_S = 1.2
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "network namespaces can be made"),
]


class PartedRace(StoreRace):
    """Racers on several machines, by turns cut off."""

    def __init__(self, ground: Ground, machines: list[Machine], *, seconds: float) -> None:
        super().__init__(ground.straight, seed=17, seconds=seconds)
        self._machines = machines
        self._urls = [ground.url(machine.address[1]).replace("127.0.0.1", machine.address[0]) for machine in machines]
        self.outages: list[tuple[int, int, int]] = []  # which machine, from, until

    def machine_of(self, owner: str) -> int:
        """The number of the machine that a racer runs on."""
        return int(owner.rpartition("-")[2]) % len(self._machines)

    def prefix(self, owner: str) -> list[str]:
        """In the network of his machine."""
        return self._machines[self.machine_of(owner)].prefix

    def words(self, history: str, owner: str, seconds: str) -> list[str]:
        """By the way that begins there."""
        words = super().words(history, owner, seconds)
        return [self._urls[self.machine_of(owner)] if word == self.place.url else word for word in words]

    def disturb(self, left_s: float) -> None:
        """Pull a cable for a while, or kill somebody."""
        if self.random.random() < 0.25:
            return self.kill(left_s)
        number = self.random.randrange(len(self._machines))
        self._machines[number].unplug()
        begun_ns = time.monotonic_ns()
        time.sleep(self.random.uniform(0.5, 1.5) * OUTAGE_S)
        self.outages.append((number, begun_ns, time.monotonic_ns()))
        self._machines[number].plug()
        self.done["unplugged"] += 1
        return time.sleep(0.5)


@pytest.mark.parametrize("name", SERVED)
def test_machines_that_are_cut_off_lose_and_double_nothing_while_the_others_go_on(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with ExitStack() as ends:
        ground = ends.enter_context(Ground(name, tmp_path))
        machines = [ends.enter_context(Machine(ground.server.port)) for _ in range(2)]
        race = PartedRace(ground, machines, seconds=SECONDS[name])
        ends.callback(race.end)
        race.run()
        with race.open("judge/agent") as judge:
            done = check_race(race, judge)
        assert race.done["unplugged"] >= 2, race.done
        assert done["write"] >= 5, done
        assert went_on(race) >= 1, "nobody wrote while the other machine was away"
    record_property("operations", (name, done["all"]))


def went_on(race: PartedRace) -> int:
    """How many writes were acknowledged by machines while the other one was cut off."""
    found = 0
    for history in race.histories:
        owner = _owner_of(history)
        for step in steps_of([history]):
            if step.fate != "told" or not step.mark:
                continue
            found += any(
                race.machine_of(owner) != number and begun < step.start and step.end < ended
                for number, begun, ended in race.outages
            )
    return found


def _owner_of(history: Path) -> str:
    """Every mark of a history begins with its owner."""
    marks = [step.mark for step in steps_of([history]) if step.mark]
    return marks[0].rsplit("-", 2)[0] if marks else "nobody-0"

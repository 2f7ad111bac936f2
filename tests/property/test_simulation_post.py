"""The outbox over the real store on a simulated disk, step by step, in seeded orders and under every kind of fault.

A failing run prints its seed; `PostWorld(seed, faults=…).run(steps_max=…)` plays it again, in any process.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from sharedstate.testing.simulation import Faults
from tests.property.post_world import PostWorld

MIXES = {
    "orders": Faults(),
    "clocks": Faults(wall_step=2e-3),
    "deaths": Faults(crash=2e-3),
    "pauses": Faults(pause=3e-3, crash=5e-4),
    "cuts": Faults(power_cut=1e-3),
    "errors": Faults(error=2e-3, short_write=2e-3),
    "everything": Faults(
        crash=1e-3, error=1e-3, power_cut=3e-4, short_write=1e-3, torn_write=1e-3, wall_step=1e-4, pause=1e-3
    ),
}
STEPS = 20_000
SEEDS = 5


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Hundreds of expected warnings say that a message is dead or a note is late."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mix", MIXES)
def test_nothing_accepted_is_lost_doubled_or_overtaken(mix: str, seed: int) -> None:
    world = PostWorld(seed, faults=MIXES[mix]).run(steps_max=STEPS)
    assert world.simulation.steps >= STEPS


def test_the_processes_meet_everything_that_can_happen_to_them() -> None:
    seen: Counter[str] = Counter()
    for seed in range(4):
        world = PostWorld(seed, faults=MIXES["deaths"]).run(steps_max=STEPS)
        seen += world.seen
        seen["lost answers"] += sum(world.far.lost_answers.values())
        seen["twice"] += sum(count > 1 for count in world.far.taken.values())
    assert min(seen[kind] for kind in ("Sent", "Queued", "Refused", "flushed", "lost answers", "twice")) >= 3, seen

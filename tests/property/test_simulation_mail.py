"""Messages over the real store on a simulated disk, step by step, in seeded orders and under every kind of fault.

A failing run prints its seed; `MailWorld(seed, faults=…).run(steps_max=…)` plays it again, in any process.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from sharedstate.testing.simulation import Faults
from tests.property.mail_world import run

MIXES = {
    "orders": Faults(),
    "deaths": Faults(crash=3e-3),
    "cuts": Faults(power_cut=1e-3),
    "errors": Faults(error=3e-3, short_write=2e-3),
    "everything": Faults(
        crash=1e-3, error=1e-3, power_cut=3e-4, short_write=1e-3, torn_write=1e-3, wall_step=1e-4, pause=1e-3
    ),
}
STEPS = 20_000
SEEDS = 6


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Hundreds of expected warnings say that a journal entry is late."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mix", MIXES)
def test_nothing_is_lost_doubled_or_renumbered(mix: str, seed: int) -> None:
    world = run(seed, MIXES[mix], steps_max=STEPS)
    assert world.simulation.steps >= STEPS


def test_the_agents_meet_everything_that_can_happen_to_them() -> None:
    seen: Counter[str] = Counter()
    for seed in range(3):
        seen += run(seed, MIXES["deaths"], steps_max=STEPS).seen
    assert min(seen[kind] for kind in ("received", "duplicate", "look", "ack")) >= 20, seen

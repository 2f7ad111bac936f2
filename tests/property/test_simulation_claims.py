"""Agents over the whole library on a simulated disk, step by step, in seeded orders and under every kind of fault.

A failing run prints its seed; `ClaimsWorld(seed, faults=…).run(steps_max=…)` plays it again, in any process.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from sharedstate.testing.simulation import Faults
from tests.property.claims_world import ClaimsWorld

MIXES = {
    "orders": Faults(),
    "deaths": Faults(crash=3e-3),
    "cuts": Faults(power_cut=1e-3),
    "pauses": Faults(pause=2e-3, wall_step=2e-3, crash=5e-4),
    "errors": Faults(error=3e-3, short_write=2e-3),
    "everything": Faults(
        crash=1e-3, error=1e-3, power_cut=3e-4, short_write=1e-3, torn_write=1e-3, wall_step=1e-4, pause=1e-3
    ),
}
STEPS = 20_000
SEEDS = 6
# Each was a bug: a late entry of a zombie's scope, a transition told twice, a root that vanished with its name.
FOUND = [("pauses", 106), ("cuts", 120), ("everything", 9)]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Hundreds of expected warnings say that a journal entry is late."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mix", MIXES)
def test_nobody_is_accepted_while_another_may_believe(mix: str, seed: int) -> None:
    world = ClaimsWorld(seed, faults=MIXES[mix]).run(steps_max=STEPS)
    assert world.simulation.steps >= STEPS


@pytest.mark.parametrize("mix, seed", FOUND)
def test_what_was_found_once_stays_away(mix: str, seed: int) -> None:
    ClaimsWorld(seed, faults=MIXES[mix]).run(steps_max=STEPS)


def test_the_agents_meet_everything_that_can_happen_to_them() -> None:
    seen: Counter[str] = Counter()
    for seed in range(3):
        seen += ClaimsWorld(seed, faults=MIXES["pauses"]).run(steps_max=STEPS).seen
    assert set(seen) >= {"claimed", "taken_over", "reclaimed", "already_owned", "swept", "Lost"}
    assert min(seen[outcome] for outcome in ("claimed", "taken_over", "swept", "Lost")) >= 10


def test_a_seed_replays_in_every_process() -> None:
    code = (
        "import logging; logging.disable(logging.WARNING)\n"
        "from tests.property.claims_world import ClaimsWorld\n"
        "from tests.property.test_simulation_claims import MIXES\n"
        "print(ClaimsWorld(5, faults=MIXES['everything']).run(steps_max=8_000).simulation.trace)"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": str(number), "PYTHONPATH": ":".join(path for path in sys.path if path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number in (1, 2)
    }
    assert len(told) == 1, "texts hash differently in every process; nothing may depend on it"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_nobody_is_accepted_for_minutes() -> None:
    deadline_s, seed = time.monotonic() + 300, int(time.time())
    while time.monotonic() < deadline_s:
        for faults in MIXES.values():
            ClaimsWorld(seed, faults=faults).run(steps_max=STEPS)
        seed += 1

"""Several clients over one file store, step by step, under every kind of fault; and planted bugs, which must be caught.

What must hold stands in `store_world`: records are whole (old or new), what was acknowledged survives, no update is
lost, errors are true, fences grow, nobody holds what another holds, the journal is complete and has no gaps.
A failing run prints its seed; `World(seed, faults=…).run(steps_max=…)` plays it again.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from sharedstate.host import Host
from sharedstate.store import Document
from sharedstate.testing.interposed import InterposedHost
from sharedstate.testing.simulation import Faults
from tests.property.store_world import World

MIXES = {
    "orders": Faults(),
    "deaths": Faults(crash=3e-3),
    "cuts": Faults(power_cut=1e-3),
    "deaths-and-cuts": Faults(crash=3e-3, power_cut=3e-4),
    "errors": Faults(error=3e-3, short_write=2e-3),
    "errors-and-deaths": Faults(error=1e-3, short_write=2e-3, crash=1e-3),
    "torn-writes": Faults(torn_write=1e-2, crash=1e-3),
    "clocks": Faults(wall_step=3e-3, pause=1e-3),
    "everything": Faults(
        crash=1e-3, error=1e-3, power_cut=3e-4, short_write=1e-3, torn_write=1e-3, wall_step=1e-4, pause=1e-4
    ),
}
SEEDS = 6
STEPS = 20_000  # times mixes and seeds: 1.08 million steps in each run of the tests


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of expected warnings say that a journal entry is late."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mix", MIXES)
def test_all_promises_hold_in_every_order_and_under_every_fault(mix: str, seed: int) -> None:
    world = World(seed, faults=MIXES[mix]).run(steps_max=STEPS)
    assert world.simulation.steps >= STEPS


@pytest.mark.slow
def test_a_store_whose_makers_die_and_lose_power_again_and_again_comes_into_being() -> None:
    for seed in range(1_000):
        World(seed, faults=Faults(crash=1.5e-2, power_cut=4e-3)).run(steps_max=400)


def test_the_mix_of_everything_plays_every_kind_of_fault() -> None:
    played: Counter[str] = Counter()
    for seed in range(3):
        played += Counter(World(seed, faults=MIXES["everything"]).run(steps_max=STEPS).simulation.counts)
    assert set(played) >= {"crash", "power_cut", "error", "short_write", "torn_write", "wall_step", "pause", "restart"}


def test_the_same_seed_plays_the_same_run_over_the_real_store() -> None:
    first, again = (World(3, faults=MIXES["everything"]).run(steps_max=5_000) for _ in range(2))
    assert first.simulation.trace == again.simulation.trace
    assert first.operations == again.operations
    assert first.simulation.disk.tree() == again.simulation.disk.tree()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_all_promises_hold_for_minutes() -> None:
    started_s, first = time.monotonic(), int(time.time())
    for seed in itertools.count(first):
        for faults in MIXES.values():
            World(seed, faults=faults).run(steps_max=5 * STEPS)
        if time.monotonic() - started_s > 600:
            return


# Planted bugs: the tests above must be able to fail


class _WithoutFileSync(InterposedHost):
    """Says that a file is on disk, and has done nothing."""

    def fsync(self, fd: int) -> None:
        if self.inner.fstat(fd).is_dir:
            self.inner.fsync(fd)

    def fdatasync(self, fd: int) -> None:
        del fd


class _WithoutDirectorySync(InterposedHost):
    """Syncs files, and not the directories that name them."""

    def fsync(self, fd: int) -> None:
        if not self.inner.fstat(fd).is_dir:
            self.inner.fsync(fd)


class _WithoutJournalSync(InterposedHost):
    """Syncs records, and not the journal."""

    def fdatasync(self, fd: int) -> None:
        del fd


class _WithoutLock(InterposedHost):
    """Hands every lock to everybody."""

    def try_lock(self, fd: int) -> bool:
        return self.inner.fstat(fd).is_file

    def unlock(self, fd: int) -> None:
        del fd


class _LockLetGoAtOnce(InterposedHost):
    """Lets go of a lock as soon as it is taken."""

    def try_lock(self, fd: int) -> bool:
        held = self.inner.try_lock(fd)
        if held:
            self.inner.unlock(fd)
        return held


def _fence_starts_again(before: Document, after: Document) -> None:
    """A claim of a free task gets fence 1, as if nobody had ever had it."""
    if before.get("owner") is None and after["owner"] is not None:
        after["fence"] = 1


def _caught(mix: str, **planted: Callable[..., object]) -> str:
    """What the first run that fails says; fails itself when a dozen runs find nothing."""
    for seed in range(12):
        try:
            World(seed, faults=MIXES[mix], **planted).run(steps_max=STEPS)  # type: ignore[arg-type]  # reason: two kinds
        except AssertionError as error:
            return str(error)
    pytest.fail("the planted bug was not caught")


@pytest.mark.parametrize(
    "bug,mix,sign",
    [
        (_WithoutFileSync, "cuts", "Corrupt|acknowledged|gone|torn"),
        (_WithoutDirectorySync, "cuts", "acknowledged|gone|changed"),
        (_WithoutJournalSync, "cuts", "gone|missing"),
        (_WithoutLock, "orders", "told|missing|twice|acknowledged|gap|wrong"),
        (_LockLetGoAtOnce, "orders", "told|missing|twice|acknowledged|gap|wrong"),
    ],
)
def test_a_planted_bug_below_the_store_is_caught(bug: type[InterposedHost], mix: str, sign: str) -> None:
    def wrap(host: Host) -> Host:
        return bug(host)

    message = _caught(mix, wrap=wrap)
    assert any(word in message for word in sign.split("|")), message


def test_a_planted_fence_reset_is_caught() -> None:
    assert "fence" in _caught("orders", spoil=_fence_starts_again)


def test_a_planted_write_without_an_owner_check_is_caught() -> None:
    def keeps_owner(before: Document, after: Document) -> None:
        """A zombie goes on writing: another's task gets its mark, under the fence it had."""
        if before.get("owner") not in (None, after["owner"]):
            after["fence"] = before["fence"]

    assert "fence" in _caught("orders", spoil=keeps_owner)

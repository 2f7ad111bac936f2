"""Whatever dies, stands still or breaks: what all clients did and heard is one history. On every store.

Processes claim, renew, release, sweep, write, read and append at random, each as a machine of its own. They are killed
and stopped; servers are killed and started; connections are reset, cut at any byte, held back, silenced. Each client
notes what it did and heard; the notes, the records and the journal are then judged together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from sharedstate.host import Host
from sharedstate.testing.memory import MemoryStore
from tests.integration.stores.grounds import SERVED, Ground
from tests.integration.stores.places import Place, new_place
from tests.integration.stores.race import TROUBLES, StoreRace, ThreadRace, check_race

Recorded = Callable[[str, object], None]
STORES = ("files", "git", "memory", "postgres", "redis")
SHORT_S = {"git": 10.0, "memory": 2.0, "postgres": 5.0, "redis": 5.0}
LONG_S = 150.0


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def new_race(store: str, folder: Path, ends: ExitStack, *, seed: int, seconds: float) -> StoreRace:
    """A race on an empty state of a store, not yet begun."""
    folder = folder / f"{store}-{uuid4().hex[:12]}"
    folder.mkdir()
    if store == "memory":
        place = Place(name=store, url=f"file://{folder}/unused", folder=str(folder))
        return ThreadRace(place, seed=seed, seconds=seconds, store=MemoryStore(Host()))
    if store not in SERVED:
        return StoreRace(new_place(store, folder), seed=seed, seconds=seconds)
    ground = ends.enter_context(Ground(store, folder))
    return StoreRace(ground.place, seed=seed, seconds=seconds, ground=ground)


def run(store: str, folder: Path, ends: ExitStack, *, seed: int, seconds: float) -> Counter[str]:
    """Run a race and judge it; what was done."""
    race = new_race(store, folder, ends, seed=seed, seconds=seconds)
    ends.callback(race.end)
    race.run()
    with race.open("judge/agent") as judge:
        done = check_race(race, judge)
    return done + race.done


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(0.0, id="short", marks=[pytest.mark.slow, pytest.mark.timeout(240)]),
        pytest.param(LONG_S, id="long", marks=pytest.mark.soak),
    ],
)
def test_what_all_clients_did_and_heard_is_one_history(
    store: str, seconds: float, tmp_path: Path, ends: ExitStack, record_property: Recorded
) -> None:
    done = run(store, tmp_path, ends, seed=11, seconds=seconds or SHORT_S.get(store, 4.0))
    record_property("operations", (store, done["all"]))
    # Only a race in which all of this happened proves anything.
    least = 1 if store == "git" else 5
    assert min(done[kind] for kind in ("claim", "renew", "release", "write", "look")) >= least, done
    if store == "memory":
        return
    assert done["killed"] >= 2, done
    assert done["stopped"] >= 1, done
    if seconds or store != "redis":  # an operation takes 0.2 ms there: the few kills of a short race may all miss it
        assert done["unheard"] >= 1, "nobody died in the middle"
    if store in SERVED:
        assert min(done[trouble] for trouble in TROUBLES) >= 1, done

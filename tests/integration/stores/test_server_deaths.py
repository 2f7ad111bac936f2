"""Servers are killed and restarted under load: what was acknowledged is there afterwards, once, and clients go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from sharedstate.errors import OutcomeUnknown, StoreUnavailable
from sharedstate.testing.contracts.steps import got
from sharedstate.testing.contracts.workers import counts
from tests.integration.git.ground import REF
from tests.integration.stores.crew import Crew
from tests.integration.stores.grounds import SERVED, Ground

COUNT = 320
DEATHS = 2
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.parametrize("name", SERVED)
def test_a_server_that_is_killed_or_restarted_loses_nothing_acknowledged_and_its_clients_go_on(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Four processes count while the server is killed, and ended as its operator would: each count is told and kept."""
    longest_s = 0.0
    with Ground(name, tmp_path) as ground:
        count = COUNT // (3 * ground.straight.pace) if name == "git" else COUNT
        with Crew(ground.straight, "count_up", size=4, count=count) as crew:
            crew.start()
            for end in (ground.server.kill, ground.server.halt):
                for owner in crew.owners:
                    crew.listen(owner, count // (DEATHS + 3))
                gone_s = time.monotonic()
                end()
                time.sleep(0.05)
                ground.server.start()
                longest_s = max(longest_s, time.monotonic() - gone_s)
            said = list(chain.from_iterable(crew.finish().values()))
        told = sorted(one for one in said if isinstance(one, int))
        doubtful = said.count({"error": OutcomeUnknown.code})
        if longest_s < 1.5 and name != "git":
            assert len(told) == 4 * count, "a restart of less than two seconds is waited out"
        with ground.straight.open() as state:
            total = got(state.store, "counters", "k").value["count"]
            assert [entry.value["count"] for entry in state.store.read("events")] == list(range(1, total + 1))
        assert len(set(told)) == len(told), "a count was told twice"
        assert set(told) <= set(range(1, total + 1)), "an acknowledged count is lost"
        assert total - len(told) <= doubtful, "a count was made although it had failed"
    record_property("operations", (name, len(told)))


@pytest.mark.parametrize("name", SERVED)
def test_a_server_that_is_gone_is_told_soon_without_doubt_and_found_again(name: str, tmp_path: Path) -> None:
    with Ground(name, tmp_path) as ground, ground.straight.open(git_deadline_ms=3_000) as state:
        assert state.store.transact("counters", "k", counts("me")) == 0
        ground.server.kill()
        for call in (
            lambda: state.store.get("counters", "k"),
            lambda: state.store.transact("counters", "k", counts("me")),
        ):
            begun_s = time.monotonic()
            with pytest.raises(StoreUnavailable) as caught:
                call()
            assert time.monotonic() - begun_s < 4, "nobody is there: that is not waited for until the end"
            assert name == "git" or not isinstance(caught.value, OutcomeUnknown)  # a git that fails may have pushed
        ground.server.start()
        assert state.store.transact("counters", "k", counts("me")) == 1


def test_a_ref_that_a_killed_git_server_left_locked_is_named_and_taken_up_once_it_is_freed(tmp_path: Path) -> None:
    with Ground("git", tmp_path) as ground, ground.straight.open() as state:
        assert state.store.transact("counters", "k", counts("me")) == 0
        lock = next(Path(ground.server.folder).rglob("remote.git")) / f"{REF}.lock"
        lock.touch()
        with pytest.raises(StoreUnavailable, match=r"cannot lock ref.*File exists") as caught:
            state.store.transact("counters", "k", counts("me"))
        assert not isinstance(caught.value, OutcomeUnknown)
        assert got(state.store, "counters", "k").value == {"count": 1}, "readers go on"
        lock.unlink()
        assert state.store.transact("counters", "k", counts("me")) == 1

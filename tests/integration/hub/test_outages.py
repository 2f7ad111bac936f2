"""The shared store comes late, dies and comes back, under load: what was acknowledged is there once, and told once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.hub.crew import BACK, LOST, Worker, crew, told, wait_for
from tests.integration.hub.remotes import Remote, place_of
from tests.integration.stores.places import Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
DEATHS = {"redis": 2, "postgres": 1, "git": 1}


def _is_published(said: Any) -> bool:
    return "published" in said


def have_lost(workers: list[Worker], *, times: int) -> bool:
    """Whether each has told so often that the shared store is away."""
    return all(worker.log.count(LOST) >= times for worker in workers)


def hear_back(worker: Worker, *, times: int) -> None:
    """Listen until the worker has told so often that the shared store is back."""

    def is_back(said: object) -> bool:
        del said
        return worker.log.count(BACK) >= times

    worker.listen(is_back)


def check_flow(place: Place, worker: Worker, name: str) -> None:
    """All that was acknowledged is there: events once each, in order, and the latest context."""
    assert worker.heard[-1] == {"degraded": False}, worker.log
    published = [one["published"] for one in worker.heard if "published" in one]
    updated = [one["updated"] for one in worker.heard if "updated" in one]
    state = place.open("judge")
    assert [n for by, n in told(state) if by == name] == published == list(range(len(published)))
    held = state.hub.context(name)
    assert held is not None
    assert (held.status, held.context) == ("working", {"n": updated[-1]})


def test_started_without_the_shared_store_it_works_on_files_and_joins_by_itself(absent: Remote, tmp_path: Path) -> None:
    place = place_of(absent, tmp_path)
    worker = Worker("flow", tmp_path / "machine", place.url, "ada")
    with crew(worker):
        worker.listen(lambda said: said == {"published": 20})
        assert worker.log.count(LOST) == 1
        absent.start()
        hear_back(worker, times=1)
        assert told(place.open("judge"))[:21] == [("ada", n) for n in range(21)], "by itself"
        worker.finish()
        check_flow(place, worker, "ada")
        assert (worker.log.count(LOST), worker.log.count(BACK)) == (1, 1)


def test_a_killed_shared_store_costs_no_update_no_event_and_one_line_each_way(remote: Remote, tmp_path: Path) -> None:
    place, deaths = place_of(remote, tmp_path), DEATHS[remote.name]
    names = ["ada", "bob", "eve"]
    roots = [tmp_path / "one", tmp_path / "one", tmp_path / "two"]  # two processes of one machine
    workers = [Worker("flow", root, place.url, name) for root, name in zip(roots, names, strict=True)]
    with crew(*workers):
        for death in range(1, deaths + 1):
            for worker in workers:
                for _ in range(10):
                    worker.listen(_is_published)
            remote.kill()
            wait_for(partial(have_lost, workers, times=death))
            remote.start()
            for worker in workers:
                hear_back(worker, times=death)
        for worker in workers:
            worker.finish()
    for worker, name in zip(workers, names, strict=True):
        check_flow(place, worker, name)
        assert (worker.log.count(LOST), worker.log.count(BACK)) == (deaths, deaths)

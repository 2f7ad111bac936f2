"""Redis comes late, dies and comes back, under load: what was acknowledged is there, once, and it is told once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.hub.crew import BACK, LOST, Worker, crew, told, wait_for
from tests.integration.stores.places import Place
from tests.servers.lifetime import free_port
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
DEATHS = 2


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


def test_started_without_redis_it_works_on_files_and_joins_by_itself(tmp_path: Path) -> None:
    port = free_port()
    place = Place(name="redis", url=f"redis://127.0.0.1:{port}/0", folder=str(tmp_path))
    worker = Worker("flow", tmp_path / "machine", place.url, "ada")
    with crew(worker):
        worker.listen(lambda said: said == {"published": 20})
        assert worker.log.count(LOST) == 1
        server = RedisServer(port=port)
        try:
            hear_back(worker, times=1)
            assert told(place.open("judge"))[:21] == [("ada", n) for n in range(21)], "by itself"
            worker.finish()
            check_flow(place, worker, "ada")
            assert (worker.log.count(LOST), worker.log.count(BACK)) == (1, 1)
        finally:
            server.stop()


def test_a_killed_redis_costs_no_update_no_event_and_one_line_each_way(server: RedisServer, tmp_path: Path) -> None:
    place = Place(name="redis", url=server.url, folder=str(tmp_path))
    names = ["ada", "bob", "eve"]
    roots = [tmp_path / "one", tmp_path / "one", tmp_path / "two"]  # two processes of one machine
    workers = [Worker("flow", root, place.url, name) for root, name in zip(roots, names, strict=True)]
    with crew(*workers):
        for death in range(1, DEATHS + 1):
            for worker in workers:
                for _ in range(10):
                    worker.listen(_is_published)
            server.kill()
            wait_for(partial(have_lost, workers, times=death))
            server.start()
            for worker in workers:
                hear_back(worker, times=death)
        for worker in workers:
            worker.finish()
    for worker, name in zip(workers, names, strict=True):
        check_flow(place, worker, name)
        assert (worker.log.count(LOST), worker.log.count(BACK)) == (DEATHS, DEATHS)

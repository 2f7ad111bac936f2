"""Several processes on one hub: nothing that was acknowledged is lost, and nothing happens twice, whoever dies."""

from __future__ import annotations

import json
import time
from functools import partial
from operator import eq
from pathlib import Path

import pytest

from sharedstate.hub.bridge import DONE, TAKING
from tests.integration.hub.crew import PATIENCE_S, Worker, crew, told, wait_for
from tests.integration.hub.remotes import Remote, place_of
from tests.integration.stores.places import Place

AGENTS = 100
PROCESSES = 4
KILLS = 5
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def machine(place: Place, number: int) -> Path:
    """The state root of a machine."""
    return Path(place.folder) / f"machine-{number}"


def test_updates_of_a_hundred_agents_from_four_processes_are_all_kept(place: Place) -> None:
    agents = AGENTS if place.pace == 1 else AGENTS // PROCESSES
    workers = [Worker("update", machine(place, n), place.url, f"p{n}", agents) for n in range(PROCESSES)]
    with crew(*workers):
        for worker in workers:
            assert worker.finish() == list(range(agents))
    held = {one.agent: dict(one.context) for one in place.open().hub.unified().contexts}
    assert held == {f"agent-{n}": {f"p{p}": n for p in range(PROCESSES)} for n in range(agents)}


def test_a_subscriber_that_was_away_gets_everything(place: Place) -> None:
    with crew(Worker("publish", machine(place, 0), place.url, "a", 30)):
        follower = Worker("follow", machine(place, 1), place.url, "first", 20)
        with crew(follower):
            seen = follower.finish()
    publisher = Worker("publish", machine(place, 0), place.url, "b", 50)
    with crew(publisher):
        publisher.finish()
    again = Worker("follow", machine(place, 1), place.url, seen[-1]["cursor"], len(told(place.open())) - len(seen))
    with crew(again):
        seen += again.finish()
    assert [(one["by"], one["n"]) for one in seen] == told(place.open())
    assert [one["n"] for one in seen if one["by"] == "b"] == list(range(50))


def test_with_every_hint_dropped_a_subscriber_still_gets_everything(place: Place) -> None:
    count = 200 // place.pace
    deaf = Worker("follow", machine(place, 1), place.url, "first!", count)
    publisher = Worker("publish", machine(place, 0), place.url, "a", count)
    with crew(deaf, publisher):
        publisher.finish()
        ended_s = time.monotonic()
        assert [one["n"] for one in deaf.finish()] == list(range(count))
        assert time.monotonic() - ended_s < 5, "a poll of half a second, and some"


def test_a_publisher_that_is_killed_leaves_no_event_twice_and_none_behind(place: Place) -> None:
    for kill in range(max(3, KILLS // place.pace)):
        worker = Worker("publish", machine(place, 0), place.url, f"k{kill}", 10_000)
        with crew(worker):
            worker.listen(partial(eq, 10 + kill))
            heard = [one for one in worker.kill() if isinstance(one, int)]
        numbers = [n for by, n in told(place.open()) if by == f"k{kill}"]
        assert numbers == list(range(len(numbers)))
        assert len(heard) <= len(numbers) <= len(heard) + 1, "at most the one that was under way"


def test_a_process_that_is_killed_while_it_updates_leaves_whole_contexts(place: Place) -> None:
    for kill in range(max(3, KILLS // place.pace)):
        worker = Worker("update", machine(place, 0), place.url, f"k{kill}", 10_000)
        with crew(worker):
            worker.listen(partial(eq, 5 + kill))
            heard = [one for one in worker.kill() if isinstance(one, int)]
        seen = place.open().hub.unified()
        assert not seen.unreadable
        held = [one for one in seen.contexts if f"k{kill}" in one.context]
        assert len(heard) <= len(held) <= len(heard) + 1


def test_a_forwarder_that_is_killed_at_any_moment_forwards_each_event_once(absent: Remote, tmp_path: Path) -> None:
    place, root = place_of(absent, tmp_path), tmp_path / "machine"
    count = 600 // place.pace
    worker = Worker("publish", root, place.url, "a", count)
    with crew(worker):
        worker.finish()
    absent.start()
    judge, deaths = place.open("judge"), 0
    for kill in range(KILLS):
        worker, before = Worker("forward", root, place.url, "a"), len(told(judge))
        with crew(worker):
            if kill:
                time.sleep(0.003 * place.pace * kill)
            else:
                wait_for(lambda: len(told(judge)) > 0, step_s=0.001)  # so that at least this one dies in the middle
            worker.kill()
            deaths += 0 < before < count or 0 < len(told(judge)) < count
        if len(told(judge)) == count:
            break
    last = [Worker("forward", root, place.url, "a") for _ in range(PROCESSES)]
    with crew(*last):
        for one in last:
            one.finish()
    assert told(judge) == [("a", n) for n in range(count)]
    assert deaths > 0, "some died in the middle"


def test_each_file_of_the_bridge_has_one_effect_with_four_processes_and_kills(place: Place, tmp_path: Path) -> None:
    folder, count = tmp_path / "push", 300 // place.pace
    folder.mkdir()
    for number in range(count):
        (folder / f"f{number % 60}.json.part").write_text(json.dumps({"type": "n", "by": "push", "n": number}))
        (folder / f"f{number % 60}.json.part").rename(folder / f"f{number:04}.json")
    for _ in range(3 if place.pace == 1 else 2):
        workers = [Worker("bridge", machine(place, 0), place.url, str(folder), 60) for _ in range(PROCESSES)]
        with crew(*workers):
            workers[0].listen(lambda said: True)
            for worker in workers:
                worker.kill()
    last = [Worker("bridge", machine(place, 0), place.url, str(folder), 60) for _ in range(PROCESSES)]
    with crew(*last):
        deadline_s = time.monotonic() + PATIENCE_S
        while any(folder.glob("*.json")) or any((folder / TAKING).iterdir()):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        for worker in last:
            worker.finish()
    assert sorted(n for _, n in told(place.open())) == list(range(count))
    assert len(list((folder / DONE).iterdir())) == count

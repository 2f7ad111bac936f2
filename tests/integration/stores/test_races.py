"""Real processes, each a machine of its own, race on one store: on one key, and on keys of their own."""

from __future__ import annotations

from itertools import chain

import pytest

from sharedstate.store import Store
from sharedstate.testing.contracts.steps import readable
from tests.integration.stores.conftest import Counted
from tests.integration.stores.crew import Crew
from tests.integration.stores.places import Place

PROCESSES = 8
COUNT = 40
TASKS = 40
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def whole_journal(store: Store, name: str = "events") -> list[int]:
    """Every sequence of a journal, which must have no gap."""
    sequences = [entry.sequence for entry in store.read(name)]
    assert sequences == list(range(1, len(sequences) + 1))
    return sequences


def test_eight_processes_on_one_key_lose_no_update_and_count_none_twice(place: Place, counted: Counted) -> None:
    count = max(5, COUNT // place.pace)
    with Crew(place, "count_up", size=PROCESSES, count=count) as crew:
        crew.start()
        said = list(chain.from_iterable(crew.finish().values()))
    assert sorted(said) == list(range(1, PROCESSES * count + 1))
    with place.open() as state:
        held = state.store.get("counters", "k")
        assert held is not None
        assert held.value == {"count": PROCESSES * count}
        assert held.revision == PROCESSES * count
        assert len(whole_journal(state.store)) == PROCESSES * count
        assert [entry.value["count"] for entry in state.store.read("events")] == sorted(said)
    counted(PROCESSES * count)


def test_of_eight_processes_exactly_one_wins_each_task(place: Place, counted: Counted) -> None:
    tasks = max(5, TASKS // place.pace)
    with Crew(place, "win", size=PROCESSES, count=tasks, key="T") as crew:
        crew.start()
        won = crew.finish()
    assert sorted(chain.from_iterable(won.values())) == sorted(f"T-{number}" for number in range(tasks))
    with place.open() as state:
        for owner, names in won.items():
            for task in names:
                held = state.store.get("tasks", task)
                assert held is not None
                assert held.value == {"owner": owner}
        whole_journal(state.store)
        told = {(entry.record, entry.value["owner"]) for entry in state.store.read("events")}
    assert told == {(f"tasks/{task}@1", owner) for owner, names in won.items() for task in names}
    counted(PROCESSES * tasks)


def test_updates_of_many_keys_from_four_processes_are_all_kept(place: Place, counted: Counted) -> None:
    with Crew(place, "update", size=4, count=25) as crew:
        crew.start()
        keys = sorted(chain.from_iterable(crew.finish().values()))
    with place.open() as state:
        assert sorted(held.key for held in readable(state.store.scan("contexts"))) == keys
    assert len(set(keys)) == 100
    counted(100)


def test_appends_of_eight_processes_take_each_sequence_once(place: Place, counted: Counted) -> None:
    count = max(5, COUNT // place.pace)
    with Crew(place, "append", size=PROCESSES, count=count, key="log") as crew:
        crew.start()
        heard = crew.finish()
    with place.open() as state:
        found = {entry.sequence: entry.value for entry in state.store.read("log")}
    assert sorted(found) == list(range(1, PROCESSES * count + 1))
    for owner, sequences in heard.items():
        assert [found[sequence] for sequence in sequences] == [{"by": owner, "number": n} for n in range(count)]
    counted(PROCESSES * count)


def test_processes_killed_in_the_middle_leave_whole_transitions_and_block_nobody(
    place: Place, counted: Counted
) -> None:
    with Crew(place, "count_up", size=4, count=1_000_000) as crew:
        crew.start()
        for number, owner in enumerate(crew.owners):
            crew.listen(owner, max(2, (number + 1) * 5 // place.pace))
            crew.kill(owner)
        said = sorted(chain.from_iterable(crew.heard.values()))
    assert len(said) == len(set(said)), "two processes were told the same count"
    with place.open() as state:
        state.store.upkeep()
        held = state.store.get("counters", "k")
        assert held is not None
        assert held.value["count"] == held.revision
        assert held.revision >= said[-1], "an acknowledged count is gone"
        assert held.revision - len(said) <= len(crew.owners), "more than what the dead had not heard"
        whole_journal(state.store)
        assert [entry.value["count"] for entry in state.store.read("events")] == list(range(1, held.revision + 1))
    counted(len(said))

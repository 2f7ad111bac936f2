"""What waits on a machine is forwarded once: also when its state root was moved, its host renamed, its disk copied."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sharedstate.hub.model import CONTEXTS, JOURNAL
from sharedstate.hub.service import Hub
from sharedstate.hub.waiting import COLLECTION, KEY
from sharedstate.store import Store
from sharedstate.testing.memory import MemoryStore
from tests.unit.hub.test_contexts import AWAY, World


def publish(world: World, hub: Hub, *numbers: int) -> None:
    """While nobody can be reached."""
    world.shared.outage = AWAY
    for number in numbers:
        hub.publish({"type": "n", "n": number})
    world.shared.outage = None
    world.host.advance(60)


def told(store: Store) -> list[Any]:
    """The numbers in the shared journal, in order."""
    return [entry.value["event"]["n"] for entry in store.read(JOURNAL)]


def test_a_renamed_host_or_a_moved_folder_forwards_nothing_again() -> None:
    world = World()
    here, local = world.hub("here")
    publish(world, here, *range(60))
    here.reconcile()
    moved = Hub(shared=world.shared, local=local, host=world.host, writer="elsewhere")
    assert moved.reconcile().forwarded == 0
    publish(world, moved, 60)
    assert moved.reconcile().forwarded == 1
    assert told(world.shared) == list(range(61))


@pytest.mark.parametrize("ahead", ["the copy", "the first"])
def test_a_copied_state_root_forwards_its_own_events_and_those_only(ahead: str) -> None:
    world = World()
    here, local = world.hub("here")
    publish(world, here, *range(60))
    here.reconcile()
    twin = MemoryStore(world.host)
    twin._rows, twin._journals = copy.copy(local._rows), {name: list(one) for name, one in local._journals.items()}
    clone = Hub(shared=world.shared, local=twin, host=world.host, writer="clone")
    one, two = (clone, here) if ahead == "the copy" else (here, clone)
    publish(world, one, *range(100, 170))
    publish(world, two, *range(200, 203))
    for hub in (one, two, one, two):
        hub.reconcile()
    assert told(world.shared) == [*range(60), *range(100, 170), *range(200, 203)]
    publish(world, two, 203)
    publish(world, one, 170)
    for hub in (one, two, one, two):
        hub.reconcile()
    assert sorted(told(world.shared)) == [*range(60), *range(100, 171), *range(200, 204)]
    assert [hub.reconcile().forwarded for hub in (one, two)] == [0, 0]


@pytest.mark.parametrize("raw", [b"{nonsense", b'{"kept": 5}'])
def test_a_damaged_mark_of_what_waits_stops_nothing_and_is_made_anew(raw: bytes) -> None:
    world = World()
    here, local = world.hub("here")
    publish(world, here, 1)
    local.plant(COLLECTION, KEY, raw)
    fresh = Hub(shared=world.shared, local=local, host=world.host, writer="here")
    fresh.update("ada", {"x": 1})
    assert told_first(world.shared) == 1
    assert local.get(COLLECTION, KEY) is not None
    publish(world, fresh, 2)
    assert fresh.unified().contexts[0].context == {"x": 1}


@pytest.mark.parametrize("raw", [b"{nonsense", b'{"forwarded": []}'])
def test_a_damaged_record_of_what_was_forwarded_blocks_events_that_wait_and_nothing_else(
    raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    here, _ = world.hub("here")
    publish(world, here, 1)
    here.reconcile()
    [row] = world.shared.scan("hub_writers")
    world.shared.plant("hub_writers", getattr(row, "key", ""), raw)
    publish(world, here, 2)
    with caplog.at_level("WARNING", logger="sharedstate"):
        assert here.update("ada", {"x": 1}).context == {"x": 1}
    assert world.shared.get(CONTEXTS, "ada") is not None
    assert "hub_writers" in caplog.text or "forwarded" in caplog.text


def told_first(store: Store) -> Any:
    """The number in the first event."""
    return next(iter(store.read(JOURNAL))).value["event"]["n"]

"""Contexts: patches, status, versions, both ends, what comes back after an outage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate.hub.model import JOURNAL, MODES, Gap, HubEvent, Mode
from sharedstate.hub.policy import merge_patch
from sharedstate.hub.service import Hub
from sharedstate.testing.clock import FakeHost, FakeMachine
from sharedstate.testing.memory import MemoryStore

AWAY = StoreUnavailable("away")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


class World:
    """One shared store and machines that look at it."""

    def __init__(self) -> None:
        self.machine = FakeMachine()
        self.host = FakeHost(machine=self.machine)
        self.shared = MemoryStore(self.host)

    def hub(self, writer: str) -> tuple[Hub, MemoryStore]:
        local = MemoryStore(self.host)
        return Hub(shared=self.shared, local=local, host=self.host, writer=writer), local


def single() -> tuple[Hub, MemoryStore]:
    host = FakeHost()
    store = MemoryStore(host)
    return Hub(shared=store, local=store, host=host, writer="w"), store


def shown(hub: Hub) -> dict[str, Mapping[str, Any]]:
    return {one.agent: one.context for one in hub.unified().contexts}


@pytest.mark.parametrize(
    "target, patch, result",
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_patches_are_applied_as_rfc_7396_says(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@given(OBJECTS, OBJECTS)
def test_a_patch_twice_is_a_patch_once(target: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


@given(OBJECTS)
def test_types_come_back_as_they_went_in(context: dict[str, Any]) -> None:
    hub, _ = single()
    hub.update("a", context, "replace")
    held = hub.context("a")
    assert held is not None
    assert repr(dict(sorted(held.context.items()))) == repr(_sorted(context))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "before, after", [(1, True), (False, 0), (1, 1.0), (0.0, -0.0), ([1], [True]), ({"y": 0}, {"y": False})]
)
def test_another_type_is_another_value(before: Any, after: Any, mode: Mode) -> None:
    hub, _ = single()
    hub.update("a", {"x": before})
    hub.update("a", {"x": after}, mode)
    held = hub.context("a")
    assert held is not None
    assert (held.version.number, repr(held.context)) == (2, repr({"x": after}))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def test_status_is_changed_on_purpose_only() -> None:
    hub, _ = single()
    hub.update("a", {"status": "mine"}, status="working")
    hub.update("a", {"status": None, "x": 1})
    hub.update("a", {"status": "gone"}, "replace")
    held = hub.context("a")
    assert held is not None
    assert (held.status, held.context) == ("working", {"status": "gone"})
    assert hub.update("a", status=None).status is None


def test_what_changes_nothing_writes_nothing() -> None:
    hub, store = single()
    hub.update("a", {"x": {"y": 1}}, status="s", ttl_ms=60_000)
    writes, entries = store.writes, len(list(store.read(JOURNAL)))
    for _ in range(3):
        hub.update("a", {"x": {"y": 1}}, status="s")
        hub.unified()
        hub.beat("a")
    assert (store.writes, len(list(store.read(JOURNAL)))) == (writes, entries)


def test_an_agent_without_a_sign_of_life_expires_and_comes_back() -> None:
    world = World()
    hub, _ = world.hub("w")
    hub.update("a", {"x": 1}, ttl_ms=10_000)
    world.host.advance(10.001)
    held = hub.context("a")
    assert held is not None
    assert held.expired
    hub.beat("a")
    held = hub.context("a")
    assert held is not None
    assert not held.expired
    hub.update("b", {})
    world.host.advance(10**6)
    assert [one.expired for one in hub.unified().contexts] == [True, False]


def test_a_deleted_agent_stays_deleted_until_somebody_writes_it_anew() -> None:
    world = World()
    one, _ = world.hub("one")
    two, local = world.hub("two")
    one.update("a", {"x": 1})
    two.reconcile()
    assert one.delete("a") is True
    assert one.delete("a") is False
    two.reconcile()
    assert shown(two) == {}
    world.shared.outage = AWAY
    assert shown(two) == {}, "its own copy does not bring it back"
    world.shared.outage = None
    world.host.advance(60)
    assert two.update("a", {"y": 2}).context == {"y": 2}
    assert shown(one) == {"a": {"y": 2}}
    assert local.get("contexts", "a") is not None


def test_without_the_shared_store_it_works_on_files_and_joins_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    here, _ = world.hub("here")
    there, _ = world.hub("there")
    world.shared.outage = AWAY
    with caplog.at_level("INFO", logger="sharedstate"):
        here.update("a", {"x": 1})
        here.publish({"type": "hello"})
        assert shown(here) == {"a": {"x": 1}}
        assert here.unified().degraded
        world.shared.outage = None
        world.host.advance(60)
        here.unified()
        assert not here.degraded
        assert shown(there) == {"a": {"x": 1}}
    assert len([line for line in caplog.messages if "shared store is" in line]) == 2, "one line each way"
    told = [one.body for one in there.subscribe(timeout_s=0) if isinstance(one, HubEvent)]
    assert [body["type"] for body in told] == ["context_updated", "hello"]


@pytest.mark.parametrize("first", ["here", "there"])
def test_newer_wins_on_either_side_and_nothing_older_ever_does(first: str) -> None:
    world = World()
    here, _ = world.hub("here")
    there, _ = world.hub("there")
    here.update("a", {"n": 0})
    there.reconcile()
    world.shared.outage = AWAY
    older, newer = (here, there) if first == "here" else (there, here)
    older.update("a", {"n": 1})
    world.host.advance(1)
    newer.update("a", {"n": 2})
    world.shared.outage = None
    world.host.advance(60)
    for hub in (newer, older, newer, older):
        hub.unified()
        assert shown(hub) == {"a": {"n": 2}}
    writes = world.shared.writes
    for hub in (here, there):
        done = hub.reconcile()
        assert (done.taken, done.given, done.forwarded) == (0, 0, 0)
    assert world.shared.writes == writes, "idle changes nothing"


def test_events_published_offline_arrive_once_whoever_dies_in_between() -> None:
    world = World()
    here, local = world.hub("here")
    here.publish({"type": "first"})
    world.shared.outage = AWAY
    for number in range(120):
        here.publish({"type": "offline", "n": number})
    world.shared.outage = None
    again = Hub(shared=world.shared, local=local, host=world.host, writer="here")
    world.host.advance(60)
    assert again.reconcile().forwarded == 120
    assert again.reconcile().forwarded == 0
    assert here.reconcile().forwarded == 0
    numbers = [one.body["n"] for one in again.subscribe(timeout_s=0) if isinstance(one, HubEvent) and "n" in one.body]
    assert numbers == list(range(120))


def test_an_update_made_offline_survives_a_process_that_never_noticed() -> None:
    """Another process of the machine, or one started after the outage, joins before it writes."""
    world = World()
    here, local = world.hub("here")
    here.update("a", {"n": 0})
    idle = Hub(shared=world.shared, local=local, host=world.host, writer="here")
    idle.unified()
    world.shared.outage = AWAY
    here.update("a", {"offline": True})
    world.shared.outage = None
    world.host.advance(1)
    assert idle.update("a", {"online": True}).context == {"n": 0, "offline": True, "online": True}
    world.shared.outage = AWAY
    late = Hub(shared=world.shared, local=local, host=world.host, writer="here")
    assert late.delete("a")
    late.publish({"type": "bye"})
    world.shared.outage = None
    fresh = Hub(shared=world.shared, local=local, host=world.host, writer="here")
    assert shown(fresh) == {}
    told = [one.body["type"] for one in fresh.subscribe(timeout_s=0) if isinstance(one, HubEvent)]
    assert told[-1] == "bye"
    writes = world.shared.writes, local.writes
    assert shown(fresh) == {}
    assert (world.shared.writes, local.writes) == writes


class Doubtful(MemoryStore):
    """Carries out an append and then gives no answer, so often."""

    doubts = 0

    def append(self, journal: str, value: dict[str, Any]) -> int:
        sequence = super().append(journal, value)
        if self.doubts > 0:
            self.doubts -= 1
            raise StoreUnavailable("no answer; whether it was done is not known")
        return sequence


def test_an_event_whose_answer_was_lost_is_not_told_twice() -> None:
    world = World()
    world.shared = Doubtful(world.host)
    hub, _ = world.hub("here")
    for number in range(3):
        hub.publish({"type": "n", "n": number})
        world.shared.doubts = 1
        hub.publish({"type": "n", "n": number + 100})
        hub.publish({"type": "n", "n": number + 200})
        world.host.advance(60)
    hub.reconcile()
    numbers = [one.body["n"] for one in hub.subscribe(timeout_s=0) if isinstance(one, HubEvent)]
    assert numbers == [0, 100, 200, 1, 101, 201, 2, 102, 202]


def test_a_new_spool_on_the_same_machine_is_forwarded_from_its_beginning() -> None:
    """The state root was removed: its spool begins at 1 again, and what the old one had forwarded says nothing."""
    world = World()
    for number in (1, 2):
        hub, _ = world.hub("here")
        world.shared.outage = AWAY
        hub.publish({"type": "n", "n": number})
        world.shared.outage = None
        world.host.advance(60)
        assert hub.reconcile().forwarded == 1
    assert len(list(world.shared.read(JOURNAL))) == 2


def test_a_subscriber_that_was_away_gets_what_it_missed() -> None:
    hub, _ = single()
    for number in range(5):
        hub.publish({"type": "n", "n": number})
    seen = list(hub.subscribe(timeout_s=0))
    assert [one.body["n"] for one in seen if isinstance(one, HubEvent)] == [0, 1, 2, 3, 4]
    rest = list(hub.subscribe(seen[1].cursor, timeout_s=0))
    assert [one.body["n"] for one in rest if isinstance(one, HubEvent)] == [2, 3, 4]
    assert list(hub.subscribe("now", timeout_s=0)) == []


def test_an_event_may_use_any_names() -> None:
    hub, _ = single()
    event = {"type": "x", "at": 1, "seq": 2, "record": 3, "event": {"event": 4}, "schema": 5}
    hub.publish(event)
    assert [one.body for one in hub.subscribe(timeout_s=0) if isinstance(one, HubEvent)] == [event]


def test_a_cursor_of_another_journal_is_told_with_a_snapshot() -> None:
    one, _ = single()
    two, _ = single()
    for number in range(3):
        one.publish({"type": "n", "n": number})
    two.update("a", {"x": 1})
    two.publish({"type": "n"})
    cursor = [event.cursor for event in one.subscribe(timeout_s=0)][-1]
    gap = next(iter(two.subscribe(cursor, timeout_s=0)))
    assert isinstance(gap, Gap)
    assert [held.agent for held in gap.snapshot.contexts] == ["a"]
    two.publish({"type": "later"})
    told = list(two.subscribe(gap.cursor, timeout_s=0))
    assert [event.body["type"] for event in told if isinstance(event, HubEvent)] == ["later"]


@pytest.mark.parametrize(
    "act",
    [
        lambda hub: hub.update("a", {"x": float("nan")}),
        lambda hub: hub.update("a", {"x": {1, 2}}),
        lambda hub: hub.update("a", {"x": "y" * 300_000}),
        lambda hub: hub.update("a", mode="replace"),
        lambda hub: hub.update("a", {}, "append"),
        lambda hub: hub.update("a", {}, status="x" * 201),
        lambda hub: hub.update("a", {}, ttl_ms=5),
        lambda hub: hub.update("", {}),
        lambda hub: hub.publish({"no": "type"}),
        lambda hub: hub.publish({"type": "x", "y": "z" * 70_000}),
        lambda hub: list(hub.subscribe("nix", timeout_s=0)),
    ],
    ids=range(11),
)
def test_what_is_not_right_is_refused_and_changes_nothing(act: Any) -> None:
    hub, store = single()
    with pytest.raises(InvalidInput):
        act(hub)
    assert store.writes == 0

"""What several machines change of one agent while they cannot see each other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate.hub import service
from sharedstate.hub.joining import _merged
from sharedstate.hub.model import CONTEXTS, AgentContext, HubEvent
from sharedstate.hub.service import Hub
from tests.unit.hub.test_contexts import OBJECTS
from tests.unit.hub.test_following import World


def held(hub: Hub, agent: str = "ada") -> AgentContext:
    found = hub.context(agent)
    assert found is not None
    return found


def test_what_two_machines_change_while_they_do_not_see_each_other_is_brought_together() -> None:
    world = World()
    here, there = world.hub("here"), world.hub("there")
    here.update("ada", {"a": 0, "deep": {"x": 0, "y": 0, "z": 0}, "gone": 1}, status="working")
    there.reconcile()
    world.leave()
    here.update("ada", {"a": 1, "deep": {"x": 1}})
    here.update("ada", {"gone": None, "new": [1]})
    world.host.advance(1)
    there.update("ada", {"a": 2, "deep": {"y": 2}}, ttl_ms=60_000)
    world.back()
    for hub in (here, there, here, there):
        hub.reconcile()
    want = {"a": 2, "deep": {"x": 1, "y": 2, "z": 0}, "new": [1]}
    for hub in (here, there):
        assert held(hub).context == want
        assert (held(hub).status, held(hub).ttl_ms) == ("working", 60_000)
    world.leave()
    for hub in (here, there):
        assert held(hub).context == want, "also what each keeps for the next time"
    world.back()
    writes = world.shared.writes, [local.writes for local in world.locals.values()]
    for hub in (here, there):
        assert hub.reconcile().fields() == {"taken": 0, "given": 0, "forwarded": 0}
    assert (world.shared.writes, [local.writes for local in world.locals.values()]) == writes


@pytest.mark.parametrize("changes", [0, 1, 5])
def test_an_agent_that_this_machine_knows_nothing_of_loses_nothing_by_an_update_made_without_the_others(
    changes: int,
) -> None:
    world = World()
    here, there = world.hub("here"), world.hub("there")
    there.update("ada", {"n": 0, "theirs": True}, status="working")
    world.leave()
    here.update("ada", {"note": "look at T-1"})
    world.shared.outage = None
    for number in range(changes):
        there.update("ada", {"n": number + 1})
    world.back()
    for hub in (here, there):
        hub.reconcile()
    for hub in (here, there):
        assert held(hub).context == {"n": changes, "theirs": True, "note": "look at T-1"}
        assert held(hub).status == "working"


def test_the_later_of_two_changes_of_one_name_stands_however_often_the_other_was_changed() -> None:
    world = World()
    here, there = world.hub("here"), world.hub("there")
    here.update("ada", {"n": 0})
    there.reconcile()
    world.leave()
    for number in range(5):
        here.update("ada", {"n": f"early {number}"})
    world.host.advance(1)
    there.update("ada", {"n": "late"})
    world.back()
    for hub in (here, there, here):
        hub.reconcile()
        assert held(hub).context == {"n": "late"} or hub is here
    assert held(here).context == held(there).context == {"n": "late"}


def test_a_deletion_and_a_change_are_not_mixed() -> None:
    world = World()
    here, there = world.hub("here"), world.hub("there")
    here.update("ada", {"n": 0})
    there.reconcile()
    world.leave()
    there.update("ada", {"n": 1})
    world.host.advance(1)
    assert here.delete("ada")
    world.back()
    for hub in (there, here, there):
        hub.reconcile()
    assert here.context("ada") is there.context("ada") is None


def test_a_process_that_dies_between_the_two_ends_of_a_join_does_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    here, there = world.hub("here"), world.hub("there")
    here.update("ada", {"a": 0})
    there.reconcile()
    world.leave()
    here.update("ada", {"b": 1})
    world.shared.outage = None
    there.update("ada", {"c": 2})
    world.back()

    def die(*_: Any) -> Any:
        raise StoreUnavailable("killed")

    with monkeypatch.context() as patch:
        patch.setattr(service, "decide_settle", die)
        with pytest.raises(StoreUnavailable):
            world.hub("here").reconcile()
    found = world.shared.get(CONTEXTS, "ada")
    assert found is not None
    assert found.value["context"] == {"a": 0, "b": 1, "c": 2}
    for _ in range(2):
        here.reconcile()
        again = world.shared.get(CONTEXTS, "ada")
        assert again is not None
        assert again.revision == found.revision
    mine = world.locals["here"].get(CONTEXTS, "ada")
    assert mine is not None
    assert (mine.value["context"], "apart" in mine.value) == (found.value["context"], False)


def full(*_: Any, **__: Any) -> Any:
    raise StoreUnavailable("the disk is full")


def test_what_others_have_put_back_after_a_join_stays_so_when_this_machine_did_not_get_to_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    here, there = world.hub("here"), world.hub("there")
    here.update("ada", {"a": 0}, status="idle")
    there.reconcile()
    world.leave()
    here.update("ada", {"a": 1}, status="working")
    world.back()
    with monkeypatch.context() as patch:
        patch.setattr(world.locals["here"], "transact", full)
        with pytest.raises(StoreUnavailable, match="full"):
            here.reconcile()
    assert not here.degraded, "a full disk here is no outage there"
    there.update("ada", {"a": 0}, status="idle")
    world.back()
    for hub in (here, there, world.hub("here")):
        hub.reconcile()
        held = hub.context("ada")
        assert held is not None
        assert (held.context, held.status) == ({"a": 0}, "idle")


def test_a_full_disk_here_keeps_nobody_from_the_shared_store(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    here, there = world.hub("here"), world.hub("there")
    world.leave()
    here.update("ada", {"a": 1})
    here.publish({"type": "x"})
    world.back()
    there.update("bob", {"b": 1})
    monkeypatch.setattr(world.locals["here"], "transact", full)
    fresh = world.hub("here")
    assert fresh.update("eve", {"e": 1}).version.number == 1
    assert not fresh.degraded
    assert {one.agent for one in there.unified().contexts} == {"ada", "bob", "eve"}
    assert "the disk is full" in caplog.text


@pytest.mark.parametrize("depth", range(55, 66))
def test_a_context_that_the_shared_store_takes_is_taken_here_too(depth: int) -> None:
    world = World()
    here = world.hub("here")
    value: Any = 1
    for _ in range(depth):
        value = [value]
    try:
        here.update("ada", {"deep": value})
    except InvalidInput:
        return
    world.leave()
    assert here.update("ada", {"b": 1}).context == {"deep": value, "b": 1}


def test_every_change_made_apart_is_told_once_and_so_is_their_merge() -> None:
    world = World()
    here, there = world.hub("here"), world.hub("there")
    here.update("ada", {"a": 0})
    there.reconcile()
    world.leave()
    here.update("ada", {"b": 1})
    here.update("ada", {"b": 2})
    there.update("ada", {"c": 1})
    world.back()
    for hub in (here, there, here):
        hub.reconcile()
    told = [
        (one.body["number"], one.body["writer"]) for one in here.subscribe(timeout_s=0) if isinstance(one, HubEvent)
    ]
    assert sorted(told) == [(1, "here"), (2, "here"), (2, "there"), (3, "here"), (4, "there")]


@given(OBJECTS, OBJECTS, OBJECTS)
def test_whoever_joins_first_the_same_comes_of_it(base: Any, mine: Any, theirs: Any) -> None:
    one, other = _merged(base, mine, theirs, wins=True), _merged(base, theirs, mine, wins=False)
    assert repr(sorted(one.items())) == repr(sorted(other.items())) or one == other


@given(OBJECTS, OBJECTS)
def test_what_only_one_side_has_changed_is_as_that_side_has_it(base: Any, changed: Any) -> None:
    for wins in (True, False):
        assert _merged(base, changed, base, wins=wins) == _merged(base, base, changed, wins=wins) == changed

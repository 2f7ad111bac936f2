"""Two ends of one hub: what a copy says of life, what a bad record stops, what machines of one name do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sharedstate.clock import Instant
from sharedstate.errors import Corrupt, InvalidInput
from sharedstate.hub.model import CONTEXTS, JOURNAL, AgentContext, Gap
from sharedstate.hub.service import Hub
from sharedstate.testing.clock import FakeHost, FakeMachine
from sharedstate.testing.memory import MemoryStore
from tests.unit.hub.test_contexts import AWAY, World, shown, single


def held(hub: Hub, agent: str) -> AgentContext:
    """What a hub shows of one agent."""
    [found] = [one for one in hub.unified().contexts if one.agent == agent]
    assert hub.context(agent) == found
    return found


def test_an_agent_that_keeps_changing_its_context_is_alive() -> None:
    world = World()
    hub, _ = world.hub("w")
    hub.update("ada", {"n": 0}, ttl_ms=10_000)
    for number in range(5):
        world.host.advance(6)
        hub.update("ada", {"n": number + 1})
        assert not held(hub, "ada").expired
    hub.update("ada", {"n": 5})
    world.host.advance(10.001)
    assert held(hub, "ada").expired


def test_a_copy_of_a_dead_agent_is_no_sign_of_life_on_either_side() -> None:
    world = World()
    here, _ = world.hub("here")
    there, _ = world.hub("there")
    here.update("ada", {"x": 1}, ttl_ms=10_000)
    seen_ms = held(here, "ada").seen_ms
    world.shared.outage = AWAY
    here.update("bob", {"x": 1}, ttl_ms=10_000)
    world.host.advance(3_600)
    world.shared.outage = None
    here.reconcile()
    assert held(there, "bob").expired, "given an hour later"
    there.reconcile()
    world.shared.outage = AWAY
    assert (held(there, "ada").expired, held(there, "ada").seen_ms) == (True, seen_ms), "taken an hour later"
    world.shared.outage = None
    world.host.advance(60)
    assert here.beat("bob")
    assert not held(there, "bob").expired


def test_a_clock_that_is_ahead_makes_nobody_live_longer() -> None:
    """The one machine's clock is an hour ahead of the shared store's, when it gives what it has kept."""
    world = World()
    ahead = FakeHost(machine=FakeMachine())
    ahead.advance(3_600)
    here = Hub(shared=world.shared, local=MemoryStore(ahead), host=ahead, writer="here")
    there, _ = world.hub("there")
    world.shared.outage = AWAY
    here.update("ada", {"x": 1}, ttl_ms=10_000)
    world.shared.outage = None
    ahead.advance(60)
    here.reconcile()
    assert not held(there, "ada").expired
    world.host.advance(11)
    assert held(there, "ada").expired


def test_a_deletion_of_nobody_while_away_leaves_no_mark() -> None:
    world = World()
    here, local = world.hub("here")
    world.shared.outage = AWAY
    assert here.delete("ada") is False
    assert local.get("hub", "waiting") is None


def test_a_copy_of_a_living_agent_is_alive() -> None:
    world = World()
    here, _ = world.hub("here")
    there, _ = world.hub("there")
    here.update("ada", {"x": 1}, ttl_ms=10_000)
    world.host.advance(8)
    here.beat("ada")
    world.host.advance(8)
    there.reconcile()
    world.shared.outage = AWAY
    assert not held(there, "ada").expired
    world.host.advance(3)
    assert held(there, "ada").expired


@pytest.mark.parametrize("raw", [b"{nonsense", b'{"version": 5}'])
@pytest.mark.parametrize("side", ["shared", "local"])
def test_a_record_that_cannot_be_read_blocks_its_agent_and_no_other(raw: bytes, side: str) -> None:
    world = World()
    here, local = world.hub("here")
    there, _ = world.hub("there")
    for agent in ("ada", "bob"):
        here.update(agent, {"x": 1})
    world.shared.outage = AWAY
    for agent in ("ada", "bob", "eve"):
        here.update(agent, {"x": 2})
    world.shared.outage = None
    world.host.advance(60)
    (world.shared if side == "shared" else local).plant(CONTEXTS, "ada", raw)
    assert here.update("bob", {"y": 1}).context == {"x": 2, "y": 1}
    assert {"bob", "eve"} <= shown(there).keys()
    if side == "shared":
        assert there.unified().unreadable == ("ada",)
        with pytest.raises(Corrupt):
            here.update("ada", {"x": 3})


def test_what_the_shared_store_does_not_take_is_told_once_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Narrow(MemoryStore):
        def transact(self, collection: str, key: str, *rest: Any, **named: Any) -> Any:
            if key == "ada" and self.outage is None:
                raise InvalidInput("larger than this store takes")
            return super().transact(collection, key, *rest, **named)

    world = World()
    world.shared = Narrow(world.host)
    here, _ = world.hub("here")
    world.shared.outage = AWAY
    here.update("ada", {"x": 1})
    here.update("bob", {"x": 1})
    world.shared.outage = None
    world.host.advance(60)
    for _ in range(3):
        here.reconcile()
    assert world.shared.get(CONTEXTS, "bob") is not None
    assert caplog.text.count("larger than this store takes") == 1


def test_machines_of_one_name_agree_on_one_of_two_contexts_of_one_version() -> None:
    world = World()
    one, _ = world.hub("same")
    two, _ = world.hub("same")
    world.shared.outage = AWAY
    one.update("ada", {"x": 1})
    two.update("ada", {"x": 2})
    world.shared.outage = None
    world.host.advance(60)
    for hub in (one, two, one, two):
        hub.reconcile()
    writes = world.shared.writes
    for hub in (one, two):
        assert hub.reconcile().fields() == {"taken": 0, "given": 0, "forwarded": 0}
    assert world.shared.writes == writes
    world.shared.outage = AWAY
    assert shown(one) == shown(two) != {}


def test_what_a_newer_version_has_noted_is_kept_by_changes_and_copies() -> None:
    world = World()
    here, local = world.hub("here")
    here.update("ada", {"x": 1})
    found = world.shared.get(CONTEXTS, "ada")
    assert found is not None
    version = {**found.value["version"], "number": 2}
    world.shared.plant(CONTEXTS, "ada", json.dumps({**found.value, "version": version, "later": {"y": 1}}).encode())
    here.reconcile()
    here.update("ada", {"x": 2})
    for store in (world.shared, local):
        found = store.get(CONTEXTS, "ada")
        assert found is not None
        assert (found.value["later"], found.value["context"]) == ({"y": 1}, {"x": 2})


def test_a_tombstone_that_was_made_offline_is_told_as_a_deletion() -> None:
    world = World()
    here, _ = world.hub("here")
    here.update("ada", {"x": 1})
    world.shared.outage = AWAY
    here.delete("ada")
    world.shared.outage = None
    world.host.advance(60)
    here.reconcile()
    assert [entry.value["type"] for entry in world.shared.read(JOURNAL)] == ["context_updated", "context_deleted"]


def test_everybody_is_shown_by_one_question_for_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, store = single()
    for number in range(20):
        hub.update(f"agent-{number}", {}, ttl_ms=5_000)
    asked: list[Instant] = []
    true = store.now

    def now() -> Instant:
        asked.append(true())
        return asked[-1]

    monkeypatch.setattr(store, "now", now)
    assert len(hub.unified().contexts) == 20
    assert len(asked) == 1


def test_a_journal_has_an_identity_from_its_first_event_whatever_made_it() -> None:
    """A cursor without one would go on in the middle of another journal, and miss what stands before."""
    hub, _ = single()
    hub.update("ada", {"x": 1})
    worlds = World(), World()
    changing, publishing = (world.hub("here")[0] for world in worlds)
    for world in worlds:
        world.shared.outage = AWAY
    changing.update("ada", {"x": 1})
    publishing.publish({"type": "x"})
    for world, one in zip(worlds, (changing, publishing), strict=True):
        world.shared.outage = None
        world.host.advance(60)
        one.reconcile()
    for one in (hub, changing, publishing):
        first = next(iter(one.subscribe(timeout_s=0)))
        fresh, store = single()
        store.host.entropy(99)  # another machine draws other names
        for number in range(3):
            fresh.publish({"type": "n", "n": number})
        assert isinstance(next(iter(fresh.subscribe(first.cursor, timeout_s=0))), Gap), first.cursor

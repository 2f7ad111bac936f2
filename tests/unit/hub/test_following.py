"""Following: also while the shared store is away, and after it has lost its end; each event once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate.hub.journals import HUB, IDENTITY, end_of
from sharedstate.hub.model import JOURNAL, Gap, HubEvent, Outage, Told
from sharedstate.hub.service import Hub
from sharedstate.store import DELETE, Decision, Entry
from sharedstate.testing.clock import FakeHost, FakeMachine
from sharedstate.testing.memory import MemoryStore

AWAY = StoreUnavailable("no way there")
SEEDS = 60
STEPS = 120


class World:
    """A shared store that can be away or lose its end, and machines."""

    def __init__(self) -> None:
        self.host = FakeHost(machine=FakeMachine())
        self.shared = MemoryStore(self.host)
        self.locals: dict[str, MemoryStore] = {}

    def hub(self, writer: str) -> Hub:
        """A process on the machine of this name."""
        local = self.locals.setdefault(writer, MemoryStore(self.host))
        return Hub(shared=self.shared, local=local, host=self.host, writer=writer)

    def leave(self) -> None:
        """Away, from now on."""
        self.shared.outage = AWAY

    def back(self) -> None:
        """There again, and long enough for everybody to try."""
        self.shared.outage = None
        self.host.advance(60)

    def lose(self, count: int) -> None:
        """A failover that knows all but the last events."""
        del self.shared._journals[JOURNAL][-count:]

    def flush(self) -> None:
        """Somebody has emptied the shared store."""
        self.shared._journals[JOURNAL].clear()
        self.shared.transact(HUB, IDENTITY, lambda snapshot: Decision(result=None, write=DELETE))


def told(following: Iterator[Told]) -> list[object]:
    """What is told until the time of a look is over: numbers of events, kinds of all else."""
    return [shown(one) for one in following]


def shown(one: Told) -> object:
    if isinstance(one, HubEvent):
        return one.body.get("n", one.body["type"])
    return type(one).__name__ if isinstance(one, Gap) else ("back" if one.over else "away")


def publish(hub: Hub, *numbers: int) -> None:
    for number in numbers:
        hub.publish({"type": "n", "n": number})


def test_while_the_shared_store_is_away_a_follower_is_told_what_its_machine_does_and_afterwards_the_rest() -> None:
    world = World()
    here, there = world.hub("here"), world.hub("there")
    publish(here, 0)
    publish(there, 1)
    following = here.subscribe(timeout_s=900)
    assert [shown(next(following)) for _ in range(2)] == [0, 1]
    world.leave()
    assert shown(next(following)) == "away"
    publish(here, 2)
    world.host.advance(0.01)
    here.update("ada", {"x": 1})
    world.host.advance(0.01)
    publish(here, 3)
    publish(there, 100)
    first = next(following)
    assert isinstance(first, HubEvent)
    assert (first.local, shown(first)) == (True, 2)
    assert [shown(next(following)) for _ in range(2)] == ["context_updated", 3]
    world.back()
    publish(there, 101)
    publish(here, 4)
    assert [shown(next(following)) for _ in range(4)] == ["back", 100, 101, 4]
    assert told(following) == [], "each once: what was told here is not told again"
    everything = told(here.subscribe(timeout_s=0))
    assert sorted(map(str, everything)) == sorted(map(str, [0, 1, 100, 101, "context_updated", 2, 3, 4]))


def test_a_follower_that_ends_during_an_outage_goes_on_from_its_cursor_and_is_told_nothing_twice() -> None:
    world = World()
    here, there = world.hub("here"), world.hub("there")
    publish(here, 0)
    world.leave()
    publish(here, 1, 2)
    first = here.subscribe("now", timeout_s=900)
    assert shown(next(first)) == "away"
    publish(here, 3, 4)
    one = next(first)
    assert shown(one) == 3
    again = world.hub("here").subscribe(one.cursor, timeout_s=900)
    assert shown(next(again)) == "away"
    two = next(again)
    assert shown(two) == 4
    world.back()
    here.reconcile()
    publish(there, 5)
    assert told(world.hub("here").subscribe(two.cursor, timeout_s=0)) == [0, 1, 2, 5]
    assert told(world.hub("here").subscribe(one.cursor, timeout_s=0)) == [0, 1, 2, 4, 5]
    assert told(world.hub("there").subscribe(two.cursor, timeout_s=0)) == [0, 1, 2, 3, 4, 5], "no cursor of there"


def test_a_follower_that_only_wants_what_is_new_and_begins_during_an_outage_is_told_of_the_gap() -> None:
    world = World()
    here = world.hub("here")
    publish(world.hub("there"), 1)
    world.leave()
    following = here.subscribe("now", timeout_s=900)
    assert shown(next(following)) == "away"
    world.back()
    assert [shown(next(following)) for _ in range(2)] == ["back", "Gap"]
    publish(here, 2)
    assert told(following) == [2]


@pytest.mark.parametrize("lost, grown", [(1, 0), (3, 0), (3, 1), (3, 3), (3, 8), (10, 4)])
def test_after_a_lost_end_a_follower_is_told_and_goes_on(lost: int, grown: int) -> None:
    """It never noticed that the server was another one: no request of it failed."""
    world = World()
    hub = world.hub("here")
    publish(hub, *range(10))
    following = hub.subscribe(timeout_s=60)
    assert [shown(next(following)) for _ in range(10)] == list(range(10))
    world.lose(lost)
    publish(hub, *range(100, 100 + grown))
    gap = next(following, None)
    assert isinstance(gap, Gap)
    publish(hub, 200)
    assert told(following) == [*range(100, 100 + grown), 200]
    rest = told(hub.subscribe(gap.cursor, timeout_s=0))
    assert rest == [*range(100, 100 + grown), 200], "also for one that goes on from there"


@pytest.mark.parametrize("grown", [0, 3, 12])
def test_after_a_lost_end_a_cursor_of_a_follower_that_was_not_there_is_told_as_a_gap(grown: int) -> None:
    world = World()
    hub = world.hub("here")
    hub.update("ada", {"x": 1})
    publish(hub, *range(10))
    cursor = [one.cursor for one in hub.subscribe(timeout_s=0)][-1]
    world.lose(5)
    publish(hub, *range(100, 100 + grown))
    found = list(hub.subscribe(cursor, timeout_s=0))
    assert isinstance(found[0], Gap)
    assert [one.agent for one in found[0].snapshot.contexts] == ["ada"]
    publish(hub, 200)
    assert told(hub.subscribe(found[0].cursor, timeout_s=0)) == [200]


@pytest.mark.parametrize("grown", [0, 2, 30])
def test_an_emptied_store_is_told_to_who_follows(grown: int) -> None:
    world = World()
    hub = world.hub("here")
    publish(hub, *range(10))
    following = hub.subscribe(timeout_s=60)
    assert [shown(next(following)) for _ in range(10)] == list(range(10))
    world.flush()
    publish(hub, *range(grown))
    assert shown(next(following)) == "Gap"
    publish(hub, 200)
    assert told(following) == [200]


class Counting(MemoryStore):
    """Counts how often a journal is read."""

    asked = 0

    def read(self, journal: str, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        """One more."""
        self.asked += 1
        return super().read(journal, after=after, limit=limit)


def test_the_end_of_a_long_journal_is_found_with_few_questions() -> None:
    host = FakeHost()
    for length in (0, 1, 499, 500, 501, 1_000, 1_499, 1_500, 1_501, 12_345):
        store = Counting(host)
        for number in range(length):
            store.append("j", {"n": number})
        for after in (0, length // 2, length):
            store.asked = 0
            last = end_of(store, "j", after=after)
            assert (0 if last is None else last.sequence) == (length if length > after else 0)
            assert store.asked <= 16


@pytest.mark.parametrize("text", ["x", "a:b", "a:1:zz", "a:1+q", "a:1:00000000+0.1", ":", "a:-1", "a:" + "9" * 17])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a cursor"):
        World().hub("here").subscribe(text)


class Story:
    """Outages, processes that notice them late, followers that end and go on from their cursors."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.world = World()
        self.hubs = [self.world.hub(machine) for machine in ("here", "here", "there")]
        self.cursors = [""] * len(self.hubs)
        self.heard: list[list[int]] = [[] for _ in self.hubs]
        self.published = 0

    def follow(self, which: int) -> None:
        """For a while, or until it ends in the middle of something."""
        for one in self.hubs[which].subscribe(self.cursors[which], timeout_s=self.dice.choice([0, 0.5, 3])):
            self.cursors[which] = one.cursor
            assert not isinstance(one, Gap)
            if isinstance(one, HubEvent) and "n" in one.body:
                self.heard[which].append(one.body["n"])
            if self.dice.random() < 0.1:
                return

    def act(self) -> None:
        """Anything."""
        kind, which = self.dice.randrange(8), self.dice.randrange(len(self.hubs))
        if kind == 0:
            self.world.leave()
        elif kind == 1:
            self.world.shared.outage = None
        elif kind == 2:
            self.world.host.advance(self.dice.choice([0.1, 2, 40]))
        elif kind <= 4:
            publish(self.hubs[which], self.published)
            self.published += 1
        else:
            self.follow(which)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_each_follower_is_told_each_event_once(seed: int) -> None:
    story = Story(seed)
    for _ in range(STEPS):
        story.act()
    story.world.back()
    for hub in story.hubs:
        hub.reconcile()
    for which, heard in enumerate(story.heard):
        for _ in range(100):
            if len(heard) < story.published:
                story.follow(which)
        assert sorted(heard) == list(range(story.published))


def test_an_outage_is_told_with_its_reason() -> None:
    world = World()
    world.leave()
    one = next(world.hub("here").subscribe(timeout_s=5))
    assert isinstance(one, Outage)
    assert (one.over, one.reason) == (False, "no way there")


class Faulty:
    """Fails once, at a call of choice."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.left = 0

    def __getattr__(self, name: str) -> Any:
        def call(*positional: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise AWAY
            return getattr(self._store, name)(*positional, **named)

        return call


@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize("after, expected", [("now", []), ("old", [1, 2]), ("other", ["Gap"]), ("short", ["Gap"])])
def test_a_fault_at_any_call_costs_no_event_no_gap_and_tells_nothing_old(
    after: str, expected: list[object], call: int
) -> None:
    world = World()
    shared: Any = Faulty(world.shared)
    hub = Hub(shared=shared, local=MemoryStore(world.host), host=world.host, writer="here")
    publish(hub, 0, 1, 2)
    first = next(iter(hub.subscribe(timeout_s=0))).cursor
    cursor = {"now": "now", "old": first, "other": "abc:2", "short": f"{first.partition(':')[0]}:99"}[after]
    shared.left = call
    found = [shown(one) for one in hub.subscribe(cursor, timeout_s=30) if not isinstance(one, Outage)]
    assert found == expected or (after == "now" and found == ["Gap"])

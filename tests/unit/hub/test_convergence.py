"""Three machines, two processes each, do anything in any order over bad links; afterwards all is as it must be."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest

from sharedstate.errors import StoreUnavailable
from sharedstate.hub.model import CONTEXTS, JOURNAL, MODES, load_context
from sharedstate.hub.service import Hub
from sharedstate.store import Versioned
from sharedstate.testing.clock import FakeHost, FakeMachine
from sharedstate.testing.memory import MemoryStore

SEEDS = 60
STEPS = 100
MACHINES = "ABC"
VALUES: tuple[Any, ...] = (0, 1, True, 1.0, None, {"a": {"b": 1}}, {"a": None}, [1], "x")


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Link:
    """One machine's way to the shared store: down, or losing a call now and then, before or after it was done."""

    def __init__(self, store: MemoryStore, chance: random.Random) -> None:
        self._store = store
        self._chance = chance
        self.down = False
        self.loss = 0.0

    def __getattr__(self, name: str) -> Any:
        def call(*positional: Any, **named: Any) -> Any:
            self._may_fail()
            answer = getattr(self._store, name)(*positional, **named)
            self._may_fail()
            return answer

        return call

    def _may_fail(self) -> None:
        if self.down or self._chance.random() < self.loss / 2:
            raise StoreUnavailable("the link")


class Fleet:
    """The machines, what they have published, and the newest version that was ever seen at each place."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.host = FakeHost(machine=FakeMachine())
        self.shared = MemoryStore(self.host, reruns=1)
        self.locals = {name: MemoryStore(self.host) for name in MACHINES}
        self.links: dict[str, Any] = {name: Link(self.shared, self.chance) for name in MACHINES}
        self.hubs = {name: [self.hub(name, name) for _ in range(2)] for name in MACHINES}
        self.published: list[int] = []
        self._newest: dict[tuple[int, str], tuple[int, int, str]] = {}

    def hub(self, name: str, writer: str) -> Hub:
        return Hub(shared=self.links[name], local=self.locals[name], host=self.host, writer=writer)

    def step(self, number: int) -> None:
        chance = self.chance
        name, agent = chance.choice(MACHINES), chance.choice("xyz")
        hub, link = chance.choice(self.hubs[name]), self.links[name]
        match chance.choices(range(8), (35, 8, 5, 20, 7, 8, 7, 10))[0]:
            case 0:
                hub.update(agent, {chance.choice("pqr"): chance.choice(VALUES)}, chance.choice(MODES))
            case 1:
                hub.delete(agent)
            case 2:
                hub.beat(agent)
            case 3:
                hub.publish({"type": "n", "n": number})
                self.published.append(number)
            case 4:
                hub.reconcile()
            case 5:
                link.down, link.loss = not link.down, chance.choice((0.0, 0.2, 0.5))
            case 6:  # it starts anew, perhaps under another name
                self.hubs[name][chance.randrange(2)] = self.hub(name, chance.choice((name, f"{name}{number}")))
            case _:
                self.host.advance(chance.choice((0.001, 0.5, 2, 40)))

    def check_nothing_older_replaced_newer(self) -> None:
        for place, store in enumerate((self.shared, *self.locals.values())):
            for row in store.scan(CONTEXTS):
                assert isinstance(row, Versioned)
                rank = load_context(row.key, row.value).version.rank
                assert rank >= self._newest.get((place, row.key), rank)
                self._newest[place, row.key] = rank

    def settle(self) -> int:
        """All links are good again and everybody reconciles; how much that was."""
        for link in self.links.values():
            link.down, link.loss = False, 0.0
        self.host.advance(100)
        return sum(sum(hub.reconcile().fields().values()) for hubs in self.hubs.values() for hub in hubs)


def shown(store: MemoryStore) -> dict[str, str]:
    """What stands there, types told apart, but for where it came from."""
    rows = (row for row in store.scan(CONTEXTS) if isinstance(row, Versioned))
    return {row.key: repr(sorted((k, v) for k, v in row.value.items() if k != "copied")) for row in rows}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_all_agree_in_the_end_and_each_event_is_there_once(seed: int) -> None:
    fleet = Fleet(seed)
    for number in range(STEPS):
        fleet.step(number)
        fleet.check_nothing_older_replaced_newer()
    fleet.settle()
    fleet.settle()
    fleet.check_nothing_older_replaced_newer()
    for store in fleet.locals.values():
        assert shown(store) == shown(fleet.shared)
    writes = fleet.shared.writes, [store.writes for store in fleet.locals.values()]
    assert fleet.settle() == 0
    assert writes == (fleet.shared.writes, [store.writes for store in fleet.locals.values()]), "idle changes nothing"
    told = [entry.value["event"]["n"] for entry in fleet.shared.read(JOURNAL) if "event" in entry.value]
    assert sorted(told) == fleet.published

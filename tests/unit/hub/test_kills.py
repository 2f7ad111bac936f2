"""A process dies at any call of either store, before or after the call was done; the next one goes on.

The story has an outage, another machine that changes the same agent, a deletion. What was acknowledged is there: events
once and in order, changes of contexts on both sides. What was not is there once, or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from sharedstate.errors import StoreUnavailable
from sharedstate.hub.model import CONTEXTS, JOURNAL
from sharedstate.hub.service import Hub
from sharedstate.store import Versioned
from sharedstate.testing.clock import FakeHost, FakeMachine
from sharedstate.testing.memory import MemoryStore

PARTS = 10


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Killed(BaseException):
    """SIGKILL: no handler runs, nothing is cleaned up."""


class Death:
    """Counts the calls of both stores and kills at one of them."""

    def __init__(self, at: int, *, done: bool) -> None:
        self.count = 0
        self.came = False
        self._at = at
        self._done = done

    def calls(self, call: Callable[[], Any]) -> Any:
        self.count += 1
        dies = self.count == self._at
        self.came |= dies
        if dies and not self._done:
            raise Killed
        answer = call()
        if dies:
            raise Killed
        return answer


class Mortal:
    """A store as the process sees it that may die; `down`: there is no way to it."""

    def __init__(self, store: MemoryStore, death: Death) -> None:
        self._store = store
        self._death = death
        self.down = False

    def __getattr__(self, name: str) -> Any:
        def call(*positional: Any, **named: Any) -> Any:
            if self.down:
                raise StoreUnavailable("no way there")
            answer = getattr(self._store, name)(*positional, **named)
            return iter(list(answer)) if name in ("scan", "read") else answer

        return lambda *positional, **named: self._death.calls(lambda: call(*positional, **named))


class Story:
    """One machine whose process may die, and another one."""

    def __init__(self, death: Death) -> None:
        self.host = FakeHost(machine=FakeMachine())
        self.stores = MemoryStore(self.host), MemoryStore(self.host)
        self.shared, self.local = (Mortal(store, death) for store in self.stores)
        self.other = Hub(shared=self.stores[0], local=MemoryStore(self.host), host=self.host, writer="other")
        self.hub = self.new()
        self.published: list[int] = []
        self.changed: dict[str, int] = {}

    def new(self) -> Hub:
        shared: Any = self.shared
        local: Any = self.local
        return Hub(shared=shared, local=local, host=self.host, writer="here")

    def survives(self, act: Callable[[Hub], object]) -> bool:
        self.host.advance(0.002)
        try:
            act(self.hub)
        except Killed:
            self.hub = self.new()
            return False
        return True

    def tell(self) -> None:
        for number in range(9):
            self.shared.down = 2 <= number < 5
            if number == 5:
                self.host.advance(60)
            if self.survives(partial(Hub.publish, event={"type": "n", "n": number})):
                self.published.append(number)
            if self.survives(partial(Hub.update, agent="ada", patch={f"k{number}": number})):
                self.changed[f"k{number}"] = number
            if number % 3 == 2:
                self.other.update("ada", {f"o{number}": number})
                self.changed[f"o{number}"] = number
                self.survives(lambda hub: hub.beat("ada"))
        self.survives(lambda hub: hub.delete("bob"))
        self.survives(lambda hub: hub.update("bob", {"x": 1}))

    def settle(self) -> None:
        self.shared.down = False
        self.host.advance(100)
        for hub in (self.new(), self.new(), self.other):
            hub.reconcile()


def contexts(store: MemoryStore) -> dict[str, Any]:
    return {one.key: one.value["context"] for one in store.scan(CONTEXTS) if isinstance(one, Versioned)}


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("part", range(PARTS))
def test_a_death_at_any_call_loses_nothing_that_was_acknowledged_and_does_nothing_twice(part: int, done: bool) -> None:
    calls = Death(0, done=done)
    Story(calls).tell()
    assert calls.count > 50
    for at in range(part + 1, calls.count + 1, PARTS):
        death = Death(at, done=done)
        story = Story(death)
        story.tell()
        assert death.came
        story.settle()
        told = [entry.value["event"]["n"] for entry in story.stores[0].read(JOURNAL) if "event" in entry.value]
        assert told == sorted(set(told)), at
        assert set(story.published) <= set(told), at
        shared, local = (contexts(store) for store in story.stores)
        assert story.changed.items() <= shared["ada"].items(), at
        assert shared == local, at

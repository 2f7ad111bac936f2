"""What the memory store has beyond the store contract: outages, planted bytes, decisions run twice."""

from __future__ import annotations

import itertools

import pytest

from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate.store import Decision, Snapshot
from sharedstate.testing.memory import MemoryStore


def test_an_outage_stops_every_call_and_ends_when_it_is_lifted() -> None:
    store = MemoryStore()
    store.outage = StoreUnavailable("planted")
    for call in (
        lambda: store.get("tasks", "T-1"),
        lambda: store.transact("tasks", "T-1", lambda _: Decision(result=None)),
        lambda: list(store.scan("tasks")),
        lambda: store.append("events", {}),
        lambda: store.watch("events", after=0, timeout_s=1),
    ):
        with pytest.raises(StoreUnavailable, match="planted"):
            call()
    store.outage = None
    assert store.append("events", {}) == 1


def test_a_decision_that_writes_is_refused_instead_of_hanging() -> None:
    store = MemoryStore()

    def writes_inside(_: Snapshot) -> Decision[int]:
        return Decision(result=store.append("events", {}))

    with pytest.raises(InvalidInput, match="must not write"):
        store.transact("tasks", "T-1", writes_inside)
    assert store.append("events", {}) == 1


def test_a_decision_may_read() -> None:
    store = MemoryStore()
    store.transact("tasks", "T-1", lambda _: Decision(result=None, write={"n": 1}))
    assert store.transact("tasks", "T-2", lambda _: Decision(result=store.get("tasks", "T-1"))) == store.get(
        "tasks", "T-1"
    )


def test_reruns_show_a_decision_that_is_not_pure() -> None:
    numbers = itertools.count(1)
    store = MemoryStore(reruns=1)
    store.transact("tasks", "T-1", lambda _: Decision(result=None, write={"n": next(numbers)}))
    held = store.get("tasks", "T-1")
    assert held is not None
    assert held.value == {"n": 2}


def test_watch_takes_the_hosts_time() -> None:
    store = MemoryStore()
    before_s = store.host.monotonic_s()
    assert store.watch("events", after=0, timeout_s=30) is False
    assert store.host.monotonic_s() - before_s == pytest.approx(30)

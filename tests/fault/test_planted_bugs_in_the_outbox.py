"""Is the net around the outbox tight? Each planted bug is found by the smallest search that can find it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sharedstate.messages import flushing, policy, turns
from sharedstate.messages.delivering import Courier, Tried, deliver
from sharedstate.messages.policy import Exhausted, Rules, Waiting
from sharedstate.messages.records import dump_dead, dump_parcel
from sharedstate.messages.spool import DEAD, JOURNAL, Spool, shelf_of
from sharedstate.store import Decision
from sharedstate.testing.faults import crash_at
from sharedstate.testing.simulation import Faults, SimulationFailed
from tests.fault.test_outbox_at_every_call import Operation, Stage, flushes, retries
from tests.property.post_world import PostWorld
from tests.unit.messages import test_flushing, test_leases, test_sending, test_tending
from tests.unit.messages.office import Office
from tests.unit.messages.test_tending import office_with_dead

ORDERS = Faults()
DEATHS = Faults(crash=4e-3)
CUTS = Faults(power_cut=1e-3)
ERRORS = Faults(error=4e-3)
STEPS = 12_000
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What a bug does to the logs is no matter here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def search(faults: Faults, *, seeds: int = 8) -> str | None:
    """What the first of a few short runs says that finds something."""
    for seed in range(seeds):
        try:
            PostWorld(seed, faults=faults).run(steps_max=STEPS)
        except (AssertionError, SimulationFailed) as error:
            return f"{error} {error.__cause__!r}"
    return None


@pytest.mark.parametrize("faults", [ORDERS, DEATHS, CUTS, ERRORS], ids=["orders", "deaths", "cuts", "errors"])
def test_without_a_bug_the_search_finds_nothing(faults: Faults) -> None:
    assert search(faults) is None


def tells(story: Callable[[], None], text: str | None = None) -> None:
    """A story that does not hold any more."""
    with pytest.raises(AssertionError, match=text):
        story()


# Write-ahead


def spool_after_send(patch: Patch) -> None:
    late: dict[str, Any] = {}
    put, settle = Spool.put, Courier.settle

    def puts_later(self: Spool, parcel: Any) -> None:
        if parcel.lease is None:
            put(self, parcel)
        else:
            late[parcel.envelope.id] = parcel

    def settles(self: Courier, parcel: Any, *arguments: Any) -> Tried:
        if parcel.envelope.id in late:
            put(self._spool, late.pop(parcel.envelope.id))
        return settle(self, parcel, *arguments)

    patch.setattr(Spool, "put", puts_later)
    patch.setattr(Courier, "settle", settles)


def test_a_message_that_is_spooled_after_its_delivery_is_found_out(monkeypatch: Patch) -> None:
    spool_after_send(monkeypatch)
    assert "does not stand in the spool" in str(search(ORDERS))
    tells(test_sending.test_the_message_stands_in_the_spool_while_it_is_delivered)


def test_a_message_that_leaves_the_spool_before_its_delivery_is_found_out(monkeypatch: Patch) -> None:
    def attempts(self: Courier, head: Any, transport_of: Any, *, timeout_s: float, untried_only: bool = False) -> Tried:
        del untried_only
        parcel = self._spool.parcel(head.sender, head.id)
        if parcel is None:
            return Tried(outcome="gone")
        begun = self.take_up(parcel, timeout_s=timeout_s)
        if isinstance(begun, Waiting | Exhausted):
            return Tried(outcome="waiting")
        self._spool.take(parcel, event=None)
        answer = deliver(transport_of, parcel.envelope, (), timeout_s=timeout_s)
        return self.settle(parcel, begun, answer)

    monkeypatch.setattr(Courier, "attempt", attempts)
    assert search(ORDERS) is not None
    assert "lost" in str(search(DEATHS)) or "spool" in str(search(DEATHS))


def test_a_message_that_is_accepted_before_it_is_durable_is_found_out(monkeypatch: Patch) -> None:
    def puts(self: Spool, parcel: Any) -> None:
        decision = Decision(result=None, write=dump_parcel(parcel))
        shelf, key = shelf_of(parcel.envelope.sender), parcel.envelope.id
        self.store.transact(shelf, key, lambda _: decision, journal=JOURNAL, durability="relaxed")

    monkeypatch.setattr(Spool, "put", puts)
    assert "cut" in str(search(CUTS))


# Leases


def test_a_flush_without_leases_is_found_out(monkeypatch: Patch) -> None:
    monkeypatch.setattr(policy, "hindrance", lambda *arguments, **named: None)
    assert "was delivered" in str(search(ORDERS))
    tells(test_leases.test_what_another_process_delivers_is_left_alone)


def test_a_lease_that_outlives_its_holder_is_found_out(monkeypatch: Patch) -> None:
    monkeypatch.setattr(policy, "lease_left_ms", lambda lease, **named: lease.ttl_ms)
    assert "still there" in str(search(DEATHS))


def test_a_lease_by_the_wall_clock_is_found_out(monkeypatch: Patch) -> None:
    def by_the_wall(lease: Any, *, now: Any, is_dead: Any, skew_ms: int) -> int:
        del is_dead, skew_ms
        return max(0, int(lease.since.at_ms + lease.ttl_ms - now.at_ms))

    monkeypatch.setattr(policy, "lease_left_ms", by_the_wall)
    for step_s in (-86_400, 86_400):
        with pytest.raises(AssertionError):
            test_leases.test_a_step_of_the_wall_clock_neither_ends_a_lease_nor_keeps_it(step_s)


# Order


@pytest.mark.parametrize("place", ["send", "flush"])
def test_an_order_that_is_ignored_is_found_out(place: str, monkeypatch: Patch) -> None:
    if place == "send":
        monkeypatch.setattr(turns, "waits_behind", lambda recipients, head: False)
        monkeypatch.setattr(turns.Turns, "_is_covered", lambda *arguments: False)
        tells(test_flushing.test_a_later_message_waits_behind_an_earlier_one_to_the_same_recipient)
    else:
        monkeypatch.setattr(flushing, "meet", lambda one, other: False)
        tells(test_flushing.test_a_failure_in_a_flush_holds_up_its_recipients_and_nobody_else)
    assert "overtaken" in str(search(ORDERS))


def test_a_sequence_that_begins_again_with_each_process_is_found_out(monkeypatch: Patch) -> None:
    class Counting:
        def __init__(self, *arguments: Any, **named: Any) -> None:
            self.last = 0

        def next(self, *, above: int = 0) -> int:
            del above
            self.last += 1
            return self.last

    monkeypatch.setattr(turns, "Sequences", Counting)
    assert "overtaken" in str(search(ORDERS))


# Giving up and coming back


def test_attempts_without_a_bound_are_found_out(monkeypatch: Patch) -> None:
    settle, begin = policy.settle, policy.begin

    def endless(rules: Rules) -> Rules:
        return rules.replace(attempts_max=10**9)

    monkeypatch.setattr(policy, "settle", lambda *a, **named: settle(*a, **{**named, "rules": endless(named["rules"])}))
    monkeypatch.setattr(policy, "begin", lambda *a, **named: begin(*a, **{**named, "rules": endless(named["rules"])}))
    tells(test_flushing.test_attempts_are_bounded)


def dies_everywhere(operation: Operation) -> None:
    """A death after each call of an operation, and the recovery from it."""
    stage = Stage(operation)
    for number in range(1, len(stage.calls()) + 1):
        stage.play(crash_at(number, when="after"))


def test_a_burial_that_removes_first_is_found_out(monkeypatch: Patch) -> None:
    def buries(self: Spool, dead: Any) -> None:
        self.take(dead.parcel, event=None)
        decision = Decision(result=None, write=dump_dead(dead))
        self.store.transact(DEAD, dead.parcel.envelope.id, lambda _: decision, journal=JOURNAL)

    monkeypatch.setattr(Spool, "bury", buries)
    tells(lambda: dies_everywhere(flushes))


def test_a_retry_that_removes_first_is_found_out(monkeypatch: Patch) -> None:
    put, exhume = Spool.put, Spool.exhume

    def puts(self: Spool, parcel: Any) -> None:
        if parcel.life:
            exhume(self, parcel.envelope.id, life=parcel.life, event=None)
        put(self, parcel)

    monkeypatch.setattr(Spool, "put", puts)
    tells(lambda: dies_everywhere(retries))


def test_a_dead_letter_that_outweighs_a_newer_life_is_found_out(monkeypatch: Patch) -> None:
    """A retry is told to have been done, and a flush that came in between has removed the message."""
    exhume = Spool.exhume
    planted: list[bool] = []

    def exhumes(self: Spool, key: str, **named: Any) -> bool:
        if not planted:
            planted.append(True)
            other = Office(store=self.store)
            other.post.script = lambda envelope: test_flushing.DOWN
            other.flush()
        return exhume(self, key, **named)

    def story() -> None:
        planted.clear()
        office, key = office_with_dead()
        office.outbox.retry(key)
        assert office.outbox.show(key) is not None, "lost"

    monkeypatch.setattr(Spool, "exhume", exhumes)
    story()
    monkeypatch.setattr(policy, "outlived", lambda parcel, dead: False)
    tells(story, "lost")


def test_a_repair_that_removes_a_newer_life_is_found_out(monkeypatch: Patch) -> None:
    """Found by the search, seed 126 of `everything`: what a death left was put right while somebody retried it."""
    take = Spool.take

    def takes(self: Spool, parcel: Any, **named: Any) -> bool:
        named["newer"] = True
        return take(self, parcel, **named)

    monkeypatch.setattr(Spool, "take", takes)
    tells(test_tending.test_a_repair_leaves_what_was_retried_meanwhile)

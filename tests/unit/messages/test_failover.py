"""Failover: the order of endpoints, bounded attempts, the deadline, who may refuse, and one text that tells it all."""

from __future__ import annotations

from typing import Any

import pytest

from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate.messages.failover import Failover
from sharedstate.messages.model import Answer, Deferred, Delivered, Envelope, Rejected
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore
from tests.unit.messages.scripted import ENVELOPE, Scripted

A = "http://a"
B = "http://b"


class World:
    """Endpoints on one clock, a failover over them, and the machine's own store."""

    def __init__(self, *scripts: Any, shared: bool = True) -> None:
        self.host = FakeHost()
        self.store = MemoryStore(self.host)
        names = (A, B, "http://c")
        self.endpoints = [Scripted(name, self.host, script) for name, script in zip(names, scripts, strict=False)]
        self.failover = Failover(self.endpoints, host=self.host, store=self.store if shared else None)

    def deliver(self, timeout_s: float = 30.0) -> Answer:
        return self.failover.deliver(ENVELOPE, timeout_s=timeout_s)

    @property
    def asked(self) -> list[int]:
        return [len(endpoint.asked_at_s) for endpoint in self.endpoints]


# Order and number


def test_the_first_endpoint_that_takes_the_message_is_the_last_that_is_asked() -> None:
    world = World([201], [201])
    answer = world.deliver()
    assert isinstance(answer, Delivered)
    assert (answer.via, answer.duplicate, world.asked) == (A, False, [1, 0])


def test_a_dead_primary_is_asked_three_times_before_the_fallback() -> None:
    world = World([None], [201])
    answer = world.deliver()
    assert isinstance(answer, Delivered)
    assert (answer.via, world.asked) == (B, [3, 1])
    first, second, third = world.endpoints[0].asked_at_s
    assert 0.5 <= second - first <= 1.0
    assert 1.0 <= third - second <= 2.0
    assert [(one.via, one.outcome) for one in answer.attempts] == [(A, "deferred")] * 3 + [(B, "delivered")]


def test_a_passing_fault_is_overcome_at_the_same_endpoint() -> None:
    world = World([None, 503, 200], [201])
    answer = world.deliver()
    assert isinstance(answer, Delivered)
    assert (answer.via, answer.duplicate, world.asked) == (A, True, [3, 0])


def test_pauses_double_up_to_eight_seconds() -> None:
    from sharedstate.messages.policy_failover import Patience

    host = FakeHost()
    endpoint = Scripted(A, host, [503])
    patience = Patience(attempts_max=7)
    Failover([endpoint], host=host, store=None, patience=patience).deliver(ENVELOPE, timeout_s=100)
    pauses = [later - earlier for earlier, later in zip(endpoint.asked_at_s, endpoint.asked_at_s[1:], strict=False)]
    assert len(pauses) == 6
    assert all(whole / 2 <= pause <= whole for pause, whole in zip(pauses, (1, 2, 4, 8, 8, 8), strict=True)), pauses


# Time


@pytest.mark.parametrize("timeout_s", [0.05, 0.5, 2.0, 10.0, 30.0])
def test_endpoints_that_hang_cost_no_more_than_the_deadline_and_each_gets_its_turn(timeout_s: float) -> None:
    world = World([(201, 1e9, 0)], [(201, 1e9, 0)], [(201, 1e9, 0)])
    began_s = world.host.monotonic_s()
    assert isinstance(world.deliver(timeout_s), Deferred)
    assert world.host.monotonic_s() - began_s <= timeout_s + 0.001
    assert min(world.asked) >= 1 or timeout_s < 0.1


def test_a_primary_that_hangs_leaves_the_fallback_half_of_the_time() -> None:
    world = World([(201, 1e9, 0)], [(201, 4.0, 0)])
    answer = world.deliver(10.0)
    assert isinstance(answer, Delivered)
    assert answer.via == B
    assert world.endpoints[0].timeouts_s == [5.0]


def test_a_retry_after_is_waited_for_where_the_time_allows() -> None:
    world = World([(429, 0, 7.0), 201])
    answer = world.deliver()
    assert isinstance(answer, Delivered)
    first, second = world.endpoints[0].asked_at_s
    assert second - first >= 7.0


def test_a_retry_after_beyond_the_time_sends_the_message_to_the_next_endpoint_at_once() -> None:
    world = World([(503, 0, 3_600.0)], [201])
    began_s = world.host.monotonic_s()
    answer = world.deliver()
    assert isinstance(answer, Delivered)
    assert answer.via == B
    assert world.host.monotonic_s() == began_s
    assert world.asked == [1, 1]


def test_the_earliest_named_time_is_passed_on_when_all_have_named_one() -> None:
    answer = World([(503, 0, 3_600.0)], [(429, 0, 600.0)]).deliver()
    assert isinstance(answer, Deferred)
    assert answer.retry_after_ms == 600_000
    answer = World([(503, 0, 3_600.0)], [None]).deliver()
    assert isinstance(answer, Deferred)
    assert answer.retry_after_ms is None, "the second may be back any time"


# Who may refuse


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_message_that_is_at_fault_is_refused_at_once(status: int) -> None:
    world = World([status], [201])
    answer = world.deliver()
    assert isinstance(answer, Rejected)
    assert (answer.status, answer.via, world.asked) == (status, A, [1, 0])


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 421])
def test_an_endpoint_that_is_set_up_wrongly_does_not_keep_a_message_from_the_next(status: int) -> None:
    world = World([status], [201])
    answer = world.deliver()
    assert isinstance(answer, Delivered)
    assert (answer.via, world.asked) == (B, [1, 1])


def test_an_endpoint_that_points_elsewhere_is_asked_once_and_a_message_waits_for_it() -> None:
    world = World([302], [201])
    began_s = world.host.monotonic_s()
    assert (world.deliver().via, world.asked, world.host.monotonic_s() - began_s) == (B, [1, 1], 0)
    alone = World([302])
    answer = alone.deliver()
    assert isinstance(answer, Deferred), "a login page in front makes no dead letters"
    assert (answer.status, alone.asked) == (302, [1])


def test_a_message_is_refused_when_every_endpoint_refuses_it() -> None:
    answer = World([401], [404]).deliver()
    assert isinstance(answer, Rejected)
    assert (answer.status, answer.via) == (401, f"{A}, {B}")
    assert answer.reason == f"1. {A}: 401 refused (<0.1 s); 2. {B}: 404 refused (<0.1 s)"


@pytest.mark.parametrize("scripts", [([401], [None]), ([None], [401])])
def test_a_refusal_of_one_endpoint_is_not_final_while_another_may_still_take_it(scripts: Any) -> None:
    assert isinstance(World(*scripts).deliver(), Deferred)


def test_a_transport_that_raises_what_a_store_raises_does_not_stop_the_others() -> None:
    class Broken(Scripted):
        def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
            raise StoreUnavailable("disk full")

    host = FakeHost()
    endpoints = [Broken(A, host, [None]), Scripted(B, host, [201])]
    answer = Failover(endpoints, host=host, store=None).deliver(ENVELOPE, timeout_s=30)
    assert isinstance(answer, Delivered)
    assert "store_unavailable: disk full" in answer.attempts[0].reason


# One text


def test_the_error_lists_every_attempt_in_order_and_is_the_same_each_time() -> None:
    told = [World([(503, 0.3, 0), None, 500], [(201, 1e9, 0)]).deliver(20.0) for _ in range(2)]
    assert told[0] == told[1]
    assert isinstance(told[0], Deferred)
    assert told[0].reason == (
        f"1. {A}: 503 later (<1 s); 2. {A}: connection refused (<0.1 s); 3. {A}: 500 later (<0.1 s);"
        f" 4. {B}: no answer in time (10 s or more)"
    )
    assert [one.status for one in told[0].attempts] == [503, None, 500, None]


def test_no_credential_of_an_endpoint_is_told() -> None:
    host = FakeHost()
    endpoint = Scripted("https://robot:hidden-word@gate/x", host, [None])
    failover = Failover([endpoint], host=host, store=MemoryStore(host))
    answer = failover.deliver(ENVELOPE, timeout_s=30)
    assert "hidden-word" not in repr(answer) + failover.name
    assert "https://…@gate/x" in repr(answer)


def test_closing_closes_every_endpoint() -> None:
    world = World([201], [201])
    world.failover.close()
    assert [endpoint.closed for endpoint in world.endpoints] == [True, True]


def test_no_endpoint_at_all_is_an_error_of_the_caller() -> None:
    with pytest.raises(InvalidInput):
        Failover([], host=FakeHost(), store=None)


# The circuit


@pytest.mark.parametrize("takes_s", [0.0, 1e9])
def test_a_hundred_messages_against_dead_endpoints_cost_about_one_bound(takes_s: float) -> None:
    world = World([(None, takes_s, 0)], [(None, takes_s, 0)])
    began_s = world.host.monotonic_s()
    for _ in range(100):
        assert isinstance(world.deliver(10.0), Deferred)
    spent_s = world.host.monotonic_s() - began_s
    assert spent_s <= 10.0, f"{spent_s} s for 100 messages"
    assert max(world.asked) <= 3


def test_without_a_shared_store_every_message_finds_out_by_itself() -> None:
    world = World([None], shared=False)
    for _ in range(10):
        world.deliver()
    assert world.asked == [30]


def test_a_skipped_endpoint_says_when_it_will_be_asked_again() -> None:
    world = World([None])
    world.deliver()
    answer = world.deliver()
    assert isinstance(answer, Deferred)
    assert answer.retry_after_ms == 10_000
    assert answer.reason == f"1. {A}: not asked, it failed a moment ago"
    assert answer.attempts[0].outcome == "skipped"


def test_an_endpoint_that_is_back_is_found_by_one_probe_and_used_by_all() -> None:
    world = World([None, None, None, 201])
    assert isinstance(world.deliver(), Deferred)
    world.host.advance(10.0)
    assert isinstance(world.deliver(), Delivered)
    assert isinstance(world.deliver(), Delivered)
    assert list(world.store.scan("breakers")) == []


def test_while_an_endpoint_stays_dead_it_is_asked_once_in_a_doubling_time_up_to_a_minute() -> None:
    world = World([None])
    for _ in range(3_000):
        world.deliver(0.5)
        world.host.advance(1.0)
    gaps = [b - a for a, b in zip(world.endpoints[0].asked_at_s, world.endpoints[0].asked_at_s[1:], strict=False)]
    assert all(gap >= 9.5 for gap in gaps[3:])
    assert 59.0 <= gaps[-1] <= 62.0


def test_an_answer_of_any_kind_says_that_the_endpoint_lives() -> None:
    for status in (401, 404, 409, 425):
        world = World([None, None, status])
        world.deliver()
        assert list(world.store.scan("breakers")) == [], status


def test_a_store_that_is_away_costs_no_message(caplog: pytest.LogCaptureFixture) -> None:
    world = World([None, 201])
    world.store.outage = StoreUnavailable("away")
    assert isinstance(world.deliver(), Delivered)
    assert "cannot be read, so it is asked" in caplog.text

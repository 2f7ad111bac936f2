"""The circuit breaker: three failures, one probe at a time, deaths and clock steps that do no harm, damaged records."""

from __future__ import annotations

from typing import Any

import pytest

from sharedstate.messages.breaker import COLLECTION, Breaker
from sharedstate.messages.policy_breaker import (
    COOL_MS,
    COOL_MS_MAX,
    Blocked,
    Circuit,
    Pass,
    Permit,
    Probe,
    circuit_of,
    document_of,
)
from sharedstate.store import Decision
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore

NAME = "http://127.0.0.1:8801"


class Machine:
    """Several processes of one machine over its local store."""

    def __init__(self) -> None:
        self.host = FakeHost()
        self.store = MemoryStore(self.host, reruns=1)
        self.other_host = FakeHost(machine=self.host.machine)
        self.one = Breaker(self.store, host=self.host, name=NAME)
        self.two = Breaker(self.store, host=self.other_host, name=NAME)

    def fail(self, breaker: Breaker, asked: Permit, *, took_ms: int = 0, named_ms: int = 0) -> bool:
        return breaker.failed(asked, took_ms=took_ms, answered=False, retry_after_ms=named_ms)

    def open(self) -> None:
        for breaker in (self.one, self.two, self.one):
            self.fail(breaker, breaker.ask(lease_ms=1_000))

    def circuit(self) -> Circuit:
        found = self.store.get(COLLECTION, NAME)
        return circuit_of(None if found is None else found.value)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_failures_of_several_processes_open_it_for_all(machine: Machine) -> None:
    machine.open()
    assert machine.one.ask(lease_ms=1_000) == machine.two.ask(lease_ms=1_000) == Blocked(wait_ms=COOL_MS)


def test_two_failures_do_not(machine: Machine) -> None:
    machine.fail(machine.one, machine.one.ask(lease_ms=1))
    machine.fail(machine.two, machine.two.ask(lease_ms=1))
    assert machine.one.ask(lease_ms=1) == Pass(marked=True)


def test_a_success_between_failures_begins_the_count_anew(machine: Machine) -> None:
    for _ in range(5):
        machine.fail(machine.one, machine.one.ask(lease_ms=1))
        machine.fail(machine.one, machine.one.ask(lease_ms=1))
        machine.two.succeeded(machine.two.ask(lease_ms=1))
    assert machine.one.ask(lease_ms=1) == Pass()


def test_a_success_where_nothing_was_wrong_writes_nothing(machine: Machine) -> None:
    before = machine.store.writes
    for _ in range(3):
        machine.one.succeeded(machine.one.ask(lease_ms=1))
    assert machine.store.writes == before


def test_one_long_silence_says_as_much_as_three_failures(machine: Machine) -> None:
    assert machine.fail(machine.one, machine.one.ask(lease_ms=1), took_ms=3_000)
    assert isinstance(machine.two.ask(lease_ms=1), Blocked)


def test_a_named_time_is_kept_by_every_process(machine: Machine) -> None:
    machine.fail(machine.one, machine.one.ask(lease_ms=1), named_ms=2_500)
    assert machine.two.ask(lease_ms=1) == Blocked(wait_ms=2_500)
    machine.host.advance(2.5)
    assert isinstance(machine.two.ask(lease_ms=1), Probe)


# Half open


def test_exactly_one_asks_while_it_is_half_open(machine: Machine) -> None:
    machine.open()
    machine.host.advance(COOL_MS / 1000)
    assert isinstance(machine.one.ask(lease_ms=7_000), Probe)
    assert machine.two.ask(lease_ms=7_000) == Blocked(wait_ms=7_000)
    assert machine.one.ask(lease_ms=7_000) == Blocked(wait_ms=7_000), "not even another thread of the same process"


def test_the_probe_closes_it_or_opens_it_for_twice_as_long_up_to_a_minute(machine: Machine) -> None:
    machine.open()
    lengths: list[int] = []
    for _ in range(5):
        blocked = machine.two.ask(lease_ms=1)
        assert isinstance(blocked, Blocked)
        lengths.append(blocked.wait_ms)
        machine.host.advance(blocked.wait_ms / 1000)
        probe = machine.one.ask(lease_ms=1_000)
        assert isinstance(probe, Probe)
        machine.fail(machine.one, probe)
    assert lengths == [10_000, 20_000, 40_000, COOL_MS_MAX, COOL_MS_MAX]
    machine.host.advance(COOL_MS_MAX / 1000)
    machine.one.succeeded(machine.one.ask(lease_ms=1_000))
    assert machine.two.ask(lease_ms=1) == Pass()


def test_a_probe_whose_process_died_is_taken_over_at_once(machine: Machine) -> None:
    machine.open()
    machine.host.advance(COOL_MS / 1000)
    assert isinstance(machine.two.ask(lease_ms=3_600_000), Probe)
    assert isinstance(machine.one.ask(lease_ms=1), Blocked)
    machine.host.kill(machine.other_host.own)
    assert isinstance(machine.one.ask(lease_ms=1), Probe)


def test_a_probe_whose_lease_is_over_is_taken_over_and_its_late_failure_changes_nothing(machine: Machine) -> None:
    machine.open()
    machine.host.advance(COOL_MS / 1000)
    late = machine.one.ask(lease_ms=1_000)
    machine.host.advance(1.0)
    fresh = machine.two.ask(lease_ms=9_000)
    assert isinstance(fresh, Probe)
    machine.fail(machine.one, late)
    assert machine.one.ask(lease_ms=1) == Blocked(wait_ms=9_000), "still one probe at a time"
    machine.two.succeeded(fresh)
    machine.fail(machine.one, late)
    assert machine.one.ask(lease_ms=1) == Pass()


def test_an_attempt_from_before_the_opening_neither_prolongs_nor_reopens(machine: Machine) -> None:
    early = machine.one.ask(lease_ms=1)
    machine.open()
    machine.host.advance(4.0)
    machine.fail(machine.one, early)
    assert machine.one.ask(lease_ms=1) == Blocked(wait_ms=6_000)


# Clocks


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0])
def test_a_step_of_the_wall_clock_changes_nothing(machine: Machine, step_s: float) -> None:
    machine.open()
    machine.host.step_wall(step_s)
    assert machine.one.ask(lease_ms=1) == Blocked(wait_ms=COOL_MS)
    machine.host.advance(COOL_MS / 1000)
    assert isinstance(machine.one.ask(lease_ms=5_000), Probe)
    machine.host.step_wall(step_s)
    assert machine.two.ask(lease_ms=1) == Blocked(wait_ms=5_000)
    machine.host.advance(5.0)
    assert isinstance(machine.two.ask(lease_ms=1), Probe)


def test_a_clock_set_back_over_a_reboot_does_not_keep_it_open(machine: Machine) -> None:
    machine.open()
    machine.host.reboot()
    machine.host.step_wall(-86_400.0)
    assert isinstance(machine.one.ask(lease_ms=1), Probe)


def test_a_suspend_counts(machine: Machine) -> None:
    machine.open()
    machine.host.suspend(COOL_MS / 1000)
    assert isinstance(machine.one.ask(lease_ms=1), Probe)


# Records


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"failures": "many"},
        {"opened": 5},
        {"opened": {"at_ms": "x", "boot_ms": 1, "boot_id": ""}},
        {"opened": {"at_ms": 1}},
        {"failures": 9, "opened": {"at_ms": 1, "boot_ms": 1, "boot_id": ""}, "prober": {"pid": 1}},
        {"cool_ms": None},
    ],
)
def test_a_record_that_cannot_be_understood_counts_as_closed(machine: Machine, document: dict[str, Any]) -> None:
    machine.store.transact(COLLECTION, NAME, lambda _: Decision(result=None, write=document))
    assert isinstance(machine.one.ask(lease_ms=1), Pass)
    machine.open()
    assert isinstance(machine.one.ask(lease_ms=1), Blocked)


def test_a_circuit_survives_its_record(machine: Machine) -> None:
    machine.open()
    machine.host.advance(COOL_MS / 1000)
    machine.one.ask(lease_ms=1_000)
    circuit = machine.circuit()
    assert circuit.probe
    assert circuit.prober == machine.host.own
    assert circuit_of(document_of(circuit, endpoint=NAME)) == circuit


@pytest.mark.parametrize("name", ["http://h/" + "x" * 500, " a", "ü\u200b", "a\nb", "."])
def test_any_name_of_an_endpoint_has_its_own_record(name: str) -> None:
    host = FakeHost()
    store = MemoryStore(host)
    breaker, neighbour = Breaker(store, host=host, name=name), Breaker(store, host=host, name=name + "y")
    breaker.failed(breaker.ask(lease_ms=1), took_ms=3_000, answered=False, retry_after_ms=0)
    assert isinstance(Breaker(store, host=host, name=name).ask(lease_ms=1), Blocked)
    assert neighbour.ask(lease_ms=1) == Pass()

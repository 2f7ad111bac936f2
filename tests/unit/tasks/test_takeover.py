"""Stories about takeovers: stale, dead, a coordinator, force; and everything that does not suffice."""

from __future__ import annotations

import pytest

from sharedstate.errors import StoreUnavailable
from sharedstate.store import BEAT, Beat, Decision
from sharedstate.tasks.outcomes import Claimed, Kept, Lost
from sharedstate.testing.clock import FakeHost, FakeMachine
from tests.unit.tasks.fleet import TASK, TTL_S, Fleet

# Stale


def test_a_claim_exactly_as_old_as_its_ttl_is_alive() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(TTL_S)
    assert fleet.refused("b").reason == "existing_owner_active"


def test_a_stale_claim_is_taken_over_with_a_higher_fence() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(TTL_S + 0.001)
    taken = fleet.claim("b")
    assert (taken.outcome, taken.reason, taken.previous_owner) == ("taken_over", "owner_stale", "a")
    assert (taken.fence, taken.attempts, taken.retries) == (2, 2, 1)
    assert fleet.state().last_error == "taken over from a: owner_stale"
    assert fleet.events() == ["claimed", "taken_over"]


def test_stale_is_measured_by_the_ttl_of_the_incumbent_not_of_the_challenger() -> None:
    fleet = Fleet()
    fleet.claim("a", ttl_ms=1_000_000)
    fleet.pass_s(999)
    assert fleet.refused("b", ttl_ms=10).reason == "existing_owner_active"
    fleet.pass_s(2)
    assert fleet.claim("b", ttl_ms=10).reason == "owner_stale"
    fleet.pass_s(1)
    assert fleet.claim("c", ttl_ms=1_000_000).reason == "owner_stale"


def test_heartbeats_keep_a_claim_alive_for_ever() -> None:
    fleet = Fleet()
    fleet.claim("a")
    for _ in range(10):
        fleet.pass_s(TTL_S)
        assert isinstance(fleet.renew("a"), Kept)
    assert fleet.refused("b").reason == "existing_owner_active"


def test_the_old_owner_learns_of_the_takeover_and_cannot_come_back() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(TTL_S + 1)
    fleet.claim("b")
    lost = fleet.renew("a")
    assert isinstance(lost, Lost)
    assert lost.reason == "owner_mismatch"
    assert lost.holder is not None
    assert (lost.holder.owner, lost.holder.fence) == ("b", 2)
    assert isinstance(fleet.release("a"), Lost)
    assert fleet.state().owner == "b"


def test_a_late_heartbeat_before_anybody_took_over_keeps_the_claim() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(TTL_S * 10)
    assert isinstance(fleet.renew("a"), Kept)
    assert fleet.refused("b").reason == "existing_owner_active"


def test_lost_heartbeats_make_a_claim_only_as_old_as_its_beginning() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(TTL_S - 1)
    fleet.renew("a")
    fleet.store.lose_beats()
    fleet.pass_s(0.5)
    assert fleet.refused("b").reason == "existing_owner_active"
    fleet.pass_s(1)
    assert fleet.claim("b").reason == "owner_stale"


def test_a_heartbeat_of_an_earlier_fence_is_no_sign_of_life() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.claim("a", token="2")
    fleet.pass_s(TTL_S + 1)
    fleet.store.transact("tasks", TASK, lambda _: Decision(result=None, write=BEAT, live=1))
    assert fleet.claim("b").reason == "owner_stale"


# Clocks


@pytest.mark.parametrize("step_s", [-86_400, -6, 6, 86_400])
def test_a_step_of_the_wall_clock_neither_kills_nor_immortalises(step_s: float) -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.host.step_wall(step_s)
    assert fleet.refused("b").reason == "existing_owner_active"
    fleet.pass_s(TTL_S)
    assert fleet.refused("b").reason == "existing_owner_active"
    fleet.pass_s(1)
    assert fleet.claim("b").reason == "owner_stale"


def test_a_suspended_machine_wakes_with_stale_claims() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.host.suspend(TTL_S + 1)
    assert fleet.claim("b").reason == "owner_stale"


def test_after_a_reboot_wall_time_counts() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(TTL_S - 10)
    fleet.host.reboot()
    assert fleet.refused("b").reason == "existing_owner_active"
    fleet.pass_s(11)
    assert fleet.claim("b").reason == "owner_stale"


def from_another_machine(fleet: Fleet, *, ahead_s: float) -> FakeHost:
    """A host whose clock runs ahead of the fleet's."""
    machine = FakeMachine(seed=9, wall_ms=fleet.host.now().at_ms + round(ahead_s * 1000))
    machine.reboot()
    return FakeHost(machine=machine)


def claim_from(fleet: Fleet, host: FakeHost, owner: str) -> Claimed:
    here, fleet.store.host = fleet.store.host, host
    claimed = fleet.view_from(host).claim(fleet.ask(owner))
    fleet.store.host = here
    assert isinstance(claimed, Claimed)
    return claimed


def test_a_heartbeat_within_the_allowed_skew_is_fresh() -> None:
    fleet = Fleet()
    claim_from(fleet, from_another_machine(fleet, ahead_s=5), "a")
    fleet.refused("b")
    fleet.pass_s(5 + TTL_S)
    fleet.refused("b")
    fleet.pass_s(1)
    assert fleet.claim("b").reason == "owner_stale"


def test_a_heartbeat_from_the_future_counts_from_when_it_was_first_seen() -> None:
    fleet = Fleet()
    claim_from(fleet, from_another_machine(fleet, ahead_s=86_400), "a")
    assert fleet.refused("b").reason == "existing_owner_active"
    fleet.pass_s(TTL_S)
    assert fleet.refused("b").reason == "existing_owner_active"
    fleet.pass_s(1)
    assert fleet.claim("b").reason == "owner_stale", "else a wrong clock would make a claim immortal for a day"


def test_each_new_heartbeat_from_the_future_is_a_new_sign_of_life() -> None:
    fleet = Fleet()
    ahead = from_another_machine(fleet, ahead_s=86_400)
    claim_from(fleet, ahead, "a")
    for _ in range(4):
        fleet.refused("b")
        fleet.pass_s(TTL_S - 1)
        ahead.advance(TTL_S - 1)
        here, fleet.store.host = fleet.store.host, ahead
        assert isinstance(fleet.renew("a"), Kept)
        fleet.store.host = here
        fleet.refused("b")
    fleet.pass_s(TTL_S)
    assert fleet.refused("b").reason == "existing_owner_active"


def test_a_claim_made_under_a_wrong_clock_stays_alive_by_its_later_right_heartbeats() -> None:
    fleet = Fleet()
    other = from_another_machine(fleet, ahead_s=3_600)
    claim_from(fleet, other, "a")
    fleet.refused("b")  # the future is noted
    other.step_wall(-3_600)
    for _ in range(4):
        for host in (fleet.host, other):
            host.advance(TTL_S / 2)
        here, fleet.store.host = fleet.store.host, other
        assert isinstance(fleet.renew("a"), Kept)
        fleet.store.host = here
        fleet.pass_s(10)
        assert fleet.refused("b").reason == "existing_owner_active"


# Dead


def test_a_proved_death_ends_a_bound_claim_at_once() -> None:
    fleet = Fleet()
    owner = fleet.process()
    fleet.claim("a", process=owner)
    assert fleet.refused("b").reason == "existing_owner_active"
    fleet.host.kill(owner)
    taken = fleet.claim("b")
    assert (taken.reason, taken.retries) == ("owner_dead", 1)


def test_a_pid_that_runs_again_as_another_process_does_not_keep_a_dead_owner_alive() -> None:
    fleet = Fleet()
    owner = fleet.process()
    fleet.claim("a", process=owner)
    fleet.host.kill(owner)
    fleet.host.spawn(pid=owner.pid)
    assert fleet.claim("b").reason == "owner_dead"


def test_another_boot_proves_no_death() -> None:
    fleet = Fleet()
    fleet.claim("a", process=fleet.process())
    fleet.host.reboot()
    assert fleet.refused("b").reason == "existing_owner_active", "it may be another machine on the same store"


def test_another_pid_namespace_proves_no_death() -> None:
    fleet = Fleet()
    owner = fleet.process()
    fleet.claim("a", process=owner.replace(pid_ns="pid:[container]"))
    fleet.host.kill(owner)
    assert fleet.refused("b").reason == "existing_owner_active"


def test_an_unbound_claim_outlives_its_process() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.host.reboot()
    assert fleet.refused("b").reason == "existing_owner_active", "a shell ends at once, its lease lives on"


# Coordinators


def test_a_configured_coordinator_with_a_lower_number_takes_over_from_the_living() -> None:
    fleet = Fleet()
    fleet.claim("a", priority=10)
    taken = fleet.claim("chief", priority=5, coordinator=True)
    assert (taken.outcome, taken.reason, taken.previous_owner, taken.retries) == (
        "taken_over",
        "coordinator_priority",
        "a",
        1,
    )


@pytest.mark.parametrize(
    "priority, coordinator",
    [(5, False), (10, True), (11, True), (0, False)],
    ids=["not configured", "equal", "higher number", "most urgent, not configured"],
)
def test_priority_alone_or_a_title_alone_takes_nothing(priority: int, coordinator: bool) -> None:
    fleet = Fleet()
    fleet.claim("a", priority=10)
    assert fleet.refused("b", priority=priority, coordinator=coordinator).reason == "existing_owner_active"


# Force


def test_force_takes_over_from_the_living_and_is_audited() -> None:
    fleet = Fleet()
    fleet.claim("a")
    taken = fleet.claim("b", force_reason="a is on holiday")
    assert (taken.outcome, taken.reason, taken.previous_owner) == ("taken_over", "forced", "a")
    told = next(entry.value for entry in fleet.store.read("events", after=1))
    assert (told["type"], told["reason"], told["detail"]) == ("taken_over", "forced", "a is on holiday")
    assert (told["owner"], told["previous_owner"], told["fence"]) == ("b", "a", 2)
    assert fleet.state().history[-1]["detail"] == "a is on holiday"


def test_a_force_that_was_not_needed_is_recorded_as_what_it_was() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(TTL_S + 1)
    assert fleet.claim("b", force_reason="to be sure").reason == "owner_stale"


def test_force_does_not_overrule_a_person_who_said_ignore() -> None:
    fleet = Fleet()
    fleet.tasks.ignore(TASK, reason="on hold", by="person")
    assert fleet.refused("b", force_reason="urgent").reason == "task_ignored"


# Sightings


def test_a_damaged_sighting_is_no_sighting_and_blocks_nothing() -> None:
    fleet = Fleet()
    claim_from(fleet, from_another_machine(fleet, ahead_s=86_400), "a")
    for raw in (b"{}", b'{"beat": [1], "seen": 5}', b"\0\0", b'{"beat": null}'):
        fleet.local.plant("sightings", TASK, raw)
        assert fleet.refused("b").reason == "existing_owner_active"


def test_a_sighting_that_cannot_be_noted_does_not_spoil_an_accepted_claim() -> None:
    fleet = Fleet()
    claim_from(fleet, from_another_machine(fleet, ahead_s=86_400), "a")
    fleet.local.outage = StoreUnavailable("planted")
    assert fleet.claim("b", force_reason="urgent").reason == "forced"


def test_a_reader_is_told_which_beat_lies_in_the_future() -> None:
    fleet = Fleet()
    claim_from(fleet, from_another_machine(fleet, ahead_s=86_400), "a")
    fleet.refused("b")
    beat = fleet.store.get("tasks", TASK)
    assert beat is not None
    assert beat.beat is not None
    view = fleet.tasks.get(TASK)
    assert view is not None
    assert view.alive is not None
    assert view.alive.future == Beat(fence=1, seen=beat.beat.seen)

"""Stories about the shared store being away or switched off: degraded claims, and what becomes of them."""

from __future__ import annotations

import pytest

from sharedstate import jsonio
from sharedstate.errors import StoreBusy, StoreUnavailable
from sharedstate.tasks.outcomes import Kept, Lost, Released
from tests.unit.claims.site import TTL_S, Site, granted, refused, view


def test_while_the_shared_store_is_away_the_local_claim_works_and_is_marked() -> None:
    site = Site()
    machine = site.machine()
    site.cut()
    claimed = granted(machine.claims().claim("T-1"))
    assert claimed.degraded
    assert claimed.ttl_ms == 600_000, "claims by the local ledger alone have a ttl of their own"
    kept = machine.claims().renew("T-1")
    assert isinstance(kept, Kept)
    assert kept.degraded
    assert [entry.value["type"] for entry in machine.local.read("events")] == ["claimed", "degraded"]


def test_a_given_ttl_is_kept() -> None:
    site = Site()
    site.cut()
    assert granted(site.machine().claims().claim("T-1", ttl_ms=1_000)).ttl_ms == 1_000


def test_a_degraded_claim_is_carried_over_and_accepted() -> None:
    site = Site()
    claims = site.machine().claims()
    site.cut()
    degraded = granted(claims.claim("T-1"))
    site.mend()
    kept = claims.renew("T-1")
    assert isinstance(kept, Kept)
    assert not kept.degraded
    assert kept.fence > degraded.fence
    state = view(claims.tasks).state
    assert (state.owner, state.fence, state.attempts) == ("ws1/a", kept.fence, 1)
    local = claims.local("T-1")
    assert local is not None
    assert (local.degraded, local.fence) == (False, kept.fence)
    assert site.events() == ["claimed", "reconciled"]
    assert isinstance(claims.release("T-1"), Released)


def test_a_refusal_by_the_shared_store_is_final() -> None:
    site = Site()
    here, there = site.machine(), site.machine("ws2")
    site.cut()
    granted(here.claims().claim("T-1"))
    site.mend()
    granted(there.claims().claim("T-1"))
    lost = here.claims().renew("T-1")
    assert isinstance(lost, Lost)
    assert lost.reason == "owner_mismatch"
    assert lost.holder is not None
    assert lost.holder.owner == "ws2/a"
    assert here.claims().local("T-1") is None
    assert site.events() == ["claimed", "conflict"]
    assert view(there.claims().tasks).state.owner == "ws2/a"


@pytest.mark.parametrize("status", ["complete", "failed", "abandoned"])
def test_work_that_ended_while_the_store_was_away_is_told_when_it_is_back(status: str) -> None:
    site = Site()
    claims = site.machine().claims()
    site.cut()
    granted(claims.claim("T-1"))
    released = claims.release("T-1", status=status, error="boom")
    assert isinstance(released, Released)
    site.mend()
    report = claims.sweep()
    assert (report.reconciled, report.conflicts) == (("T-1",), ())
    state = view(claims.tasks).state
    assert (state.status, state.attempts) == (status, 1)
    assert state.last_error == (None if status == "complete" else "boom")
    assert claims.ledgers.pending() == []


@pytest.mark.parametrize("status", ["complete", "failed", "abandoned"])
def test_carrying_an_ended_attempt_over_twice_counts_it_once(status: str) -> None:
    """The process that carries it over may die in between, or another may do the same at the same time."""
    site = Site()
    machine = site.machine()
    claims = machine.claims()
    site.cut()
    granted(claims.claim("T-1"))
    claims.release("T-1", status=status)
    site.mend()

    def dies() -> None:
        raise StoreUnavailable("planted: the process dies here")

    machine.local.before["tasks"] = dies
    with pytest.raises(StoreUnavailable):
        claims.ledgers.reconcile("T-1")
    before = view(claims.tasks).state
    assert (before.status, before.attempts, before.retries) == (status, 1, 0)
    claims.sweep()
    state = view(claims.tasks).state
    assert (state.status, state.attempts, state.retries) == (status, 1, 0)
    assert claims.ledgers.pending() == []


def test_a_release_in_the_local_ledger_while_the_claim_is_carried_over_is_not_lost() -> None:
    """One process carries the claim over; another, for which the store is still away, ends it locally meanwhile."""
    site = Site()
    machine = site.machine()
    site.cut()
    granted(machine.claims().claim("T-1"))
    site.mend()

    def another_process_ends_it() -> None:
        site.cut()
        assert isinstance(machine.claims().release("T-1"), Released)
        site.mend()

    machine.local.before["claims"] = another_process_ends_it  # after the shared store has accepted
    machine.claims("b").sweep()
    machine.claims("b").sweep()
    assert view(machine.claims().tasks).state.status == "complete"


def test_what_was_degraded_and_went_stale_is_not_given_a_fresh_lease() -> None:
    site = Site()
    machine = site.machine()
    site.cut()
    granted(machine.claims().claim("T-1"))
    site.pass_s(601)
    site.mend()
    taken = granted(machine.claims("b").claim("T-1"))
    assert (taken.outcome, taken.retries) == ("claimed", 1)
    assert site.events() == ["claimed", "released", "reconciled", "claimed"]


def test_a_sweep_does_not_revive_what_died_while_the_store_was_away() -> None:
    site = Site()
    claims = site.machine().claims()
    site.cut()
    granted(claims.claim("T-1"))
    site.pass_s(601)
    site.mend()
    claims.sweep()
    assert view(claims.tasks).state.status == "abandoned"


def test_the_owner_itself_may_come_back_late() -> None:
    site = Site()
    claims = site.machine().claims()
    site.cut()
    granted(claims.claim("T-1"))
    site.pass_s(601)
    site.mend()
    assert isinstance(claims.renew("T-1"), Kept), "nobody has begun, so nothing is lost"


def test_degraded_fences_are_above_those_counted_up_by_ones_and_never_repeat() -> None:
    site = Site()
    here, there = site.machine(), site.machine("ws2")
    fences: list[int] = []
    for _ in range(3):
        fences.append(granted(here.claims().claim("T-1")).fence)
        here.claims().release("T-1", status="abandoned")
    site.cut()
    fences.append(granted(here.claims().claim("T-1")).fence)
    site.mend()
    there.state().tasks.reopen("T-1", by="person")
    granted(there.claims().claim("T-1"))
    assert isinstance(here.claims().renew("T-1"), Lost)
    site.cut()
    fences.append(granted(here.claims("b").claim("T-1")).fence)  # in the same second, after the refusal
    assert fences == sorted(set(fences))
    assert fences[3] > 1_700_000_000


def test_required_fails_closed() -> None:
    site = Site()
    site.cut()
    with pytest.raises(StoreUnavailable):
        site.machine().claims(required=True).claim("T-1")


def test_a_busy_store_is_not_an_absent_one() -> None:
    site = Site()
    site.shared.outage = StoreBusy("planted")
    with pytest.raises(StoreBusy):
        site.machine().claims().claim("T-1")


def test_on_one_disk_there_is_nothing_to_fall_back_to() -> None:
    site = Site()
    site.cut()
    with pytest.raises(StoreUnavailable):
        site.machine().one_disk().claim("T-1")


# Switched off


def test_switched_off_every_claim_is_local_and_the_shared_store_is_not_asked() -> None:
    site = Site()
    machine = site.machine()
    site.cut()
    claims = machine.claims(enabled=False)
    assert granted(claims.claim("T-1")).degraded
    assert isinstance(claims.renew("T-1"), Kept)
    assert isinstance(claims.release("T-1"), Released)
    assert refused(claims.claim("T-1")).reason == "task_already_complete"
    claims.sweep()


def test_switched_off_a_sweep_ends_what_is_stale_in_the_local_ledger() -> None:
    site = Site()
    claims = site.machine().claims(enabled=False)
    site.cut()
    granted(claims.claim("T-1"))
    site.pass_s(601)
    report = claims.sweep()
    assert [(swept.task, swept.reason) for swept in report.swept] == [("T-1", "owner_stale")]
    assert claims.sweep().swept == ()


def test_switched_on_again_what_was_claimed_meanwhile_is_carried_over() -> None:
    site = Site()
    machine = site.machine()
    granted(machine.claims(enabled=False).claim("T-1"))
    assert refused(machine.claims("b").claim("T-1")).reason == "existing_owner_active"
    assert view(machine.claims().tasks).state.owner == "ws1/a"


def test_one_process_switched_off_respects_what_others_hold_on_the_same_disk() -> None:
    site = Site()
    machine = site.machine()
    holder = machine.one_disk()
    granted(holder.claim("T-1"))
    for _ in range(5):
        site.pass_s(TTL_S)
        assert isinstance(holder.renew("T-1"), Kept)
    assert refused(machine.one_disk("b", enabled=False).claim("T-1")).reason == "task_already_claimed"
    site.pass_s(TTL_S + 1)
    granted(machine.one_disk("b", enabled=False).claim("T-1"))


# What stays behind


def test_nothing_is_left_of_a_degraded_claim_but_its_fence_and_that_goes_with_time() -> None:
    site = Site()
    machine = site.machine()
    claims = machine.claims()
    site.cut()
    granted(claims.claim("T-1"))
    site.mend()
    claims.sweep()
    claims.release("T-1")
    assert claims.ledgers.pending() == []
    left = machine.local.get("tasks", "T-1")
    assert left is not None
    assert left.value["lease"] is None
    site.pass_s(31 * 86_400)
    claims.sweep()
    assert machine.local.get("tasks", "T-1") is None


def test_a_local_entry_of_a_degraded_claim_that_is_over_is_tidied() -> None:
    site = Site()
    machine = site.machine()
    claims = machine.claims()
    site.cut()
    granted(claims.claim("T-1"))
    entry = machine.local.get("claims", "T-1")
    assert entry is not None
    claims.release("T-1")
    machine.local.plant("claims", "T-1", jsonio.encode(entry.value))
    site.mend()
    claims.sweep()
    assert claims.local("T-1") is None

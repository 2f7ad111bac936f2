"""Stories in which the shared and the local ledger could each accept somebody: never two owners on one machine."""

from __future__ import annotations

from sharedstate import jsonio
from sharedstate.claims.ledgers import local_claim
from sharedstate.ids import digest_of
from sharedstate.tasks.outcomes import Kept
from sharedstate.tasks.policy import ClaimAsk
from tests.unit.claims.site import TTL_S, Site, granted, refused, view


def test_what_another_local_owner_holds_in_the_shared_ledger_is_not_claimed_degraded() -> None:
    site = Site()
    machine = site.machine()
    granted(machine.claims().claim("T-1"))
    site.cut()
    answer = refused(machine.claims("b").claim("T-1"))
    assert answer.reason == "task_already_claimed"
    assert answer.holder is not None
    assert answer.holder.owner == "ws1/a"


def test_heartbeats_in_the_shared_ledger_keep_the_local_entry_fresh() -> None:
    site = Site()
    machine = site.machine()
    holder = machine.claims()
    granted(holder.claim("T-1"))
    for _ in range(5):
        site.pass_s(TTL_S)
        assert isinstance(holder.renew("T-1"), Kept)
    site.cut()
    refused(machine.claims("b").claim("T-1"))
    site.pass_s(601)
    assert granted(machine.claims("b").claim("T-1")).degraded


def test_stale_means_the_ttl_of_the_incumbent_also_in_the_local_ledger() -> None:
    site = Site()
    machine = site.machine()
    granted(machine.claims().claim("T-1", ttl_ms=7_200_000))
    site.cut()
    site.pass_s(3_600)
    assert refused(machine.claims("b").claim("T-1")).reason == "task_already_claimed"
    site.pass_s(3_601)
    granted(machine.claims("b").claim("T-1"))


def test_two_degraded_owners_exclude_each_other() -> None:
    site = Site()
    machine = site.machine()
    site.cut()
    granted(machine.claims().claim("T-1"))
    assert refused(machine.claims("b").claim("T-1")).reason == "task_already_claimed"
    site.pass_s(601)
    taken = granted(machine.claims("b").claim("T-1"))
    assert (taken.outcome, taken.reason) == ("taken_over", "owner_stale")


def test_a_degraded_claim_beats_a_shared_one_that_came_later_on_the_same_machine() -> None:
    site = Site()
    machine = site.machine()
    site.cut()
    granted(machine.claims().claim("T-1"))
    site.mend()
    answer = refused(machine.claims("b").claim("T-1"))
    assert answer.reason == "existing_owner_active", "carried over first, so the shared ledger knows it"


def test_a_flapping_store_does_not_make_two_owners_shared_first() -> None:
    """`a` is accepted by the shared store; before it has written that down, `b`, cut off, asks the local ledger."""
    site = Site()
    machine = site.machine()
    answers: list[object] = []

    def b_asks() -> None:
        site.cut()
        answers.append(machine.claims("b").claim("T-1"))
        site.mend()

    machine.local.before["claims"] = b_asks
    answers.append(machine.claims("a").claim("T-1"))
    assert [type(answer).__name__ for answer in answers] == ["Claimed", "Refused"]
    assert refused(answers[1]).reason == "task_already_claimed"
    assert view(machine.claims().tasks).state.live is None, "what was refused holds nothing"
    assert isinstance(machine.claims("b").renew("T-1"), Kept)
    assert view(machine.claims().tasks).state.owner == "ws1/b"


def test_a_flapping_store_does_not_make_two_owners_degraded_first() -> None:
    """`b`, cut off, claims in the local ledger while `a` is on its way to the shared one."""
    site = Site()
    machine = site.machine()
    answers: list[object] = []

    def b_asks() -> None:
        site.cut()
        answers.append(machine.claims("b").claim("T-1"))
        site.mend()

    site.shared.before["tasks"] = b_asks
    answers.append(machine.claims("a").claim("T-1"))
    assert granted(answers[0]).degraded
    assert refused(answers[1]).reason == "task_already_claimed"
    assert isinstance(machine.claims("b").renew("T-1"), Kept)


def test_a_flapping_store_does_not_make_two_owners_ledger_first() -> None:
    """`a` has its entry in the ledger just before `b`, cut off and accepted there, comes to write its own."""
    site = Site()
    machine = site.machine()
    a = machine.claims("a")
    ask = ClaimAsk(task="T-1", owner="ws1/a", digest_new=digest_of("a-token-a"), ttl_ms=TTL_S * 1000)

    def a_is_accepted() -> None:
        site.mend()
        accepted = granted(a.tasks.claim(ask))
        assert a.ledgers.ledger.put(local_claim(accepted, token="a-token-a", store=machine.local)) is None
        site.cut()

    site.cut()
    machine.local.before["claims"] = a_is_accepted
    assert refused(machine.claims("b").claim("T-1")).reason == "task_already_claimed"
    site.mend()
    assert isinstance(a.renew("T-1"), Kept)


def test_a_leftover_of_a_degraded_claim_stands_in_nobodys_way() -> None:
    site = Site()
    machine = site.machine()
    site.cut()
    granted(machine.claims("b").claim("T-1"))
    entry = machine.local.get("claims", "T-1")
    assert entry is not None
    machine.claims("b").release("T-1", status="abandoned")
    site.mend()
    machine.claims().sweep()
    machine.local.plant("claims", "T-1", jsonio.encode({**entry.value, "fence": 10**12}))
    granted(machine.claims("a").claim("T-1"))
    assert isinstance(machine.claims("a").renew("T-1"), Kept)

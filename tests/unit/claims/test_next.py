"""Stories about claiming from a list: what is ineligible takes no slot and starves nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sharedstate.claims.model import NothingEligible
from sharedstate.errors import StoreUnavailable
from sharedstate.tasks.outcomes import Kept
from tests.unit.claims.site import TTL_S, Site, granted, refused


def test_the_first_that_can_be_claimed_is_claimed_in_the_given_order() -> None:
    claims = Site().machine().claims()
    assert granted(claims.claim_next(["T-3", "T-1", "T-2"])).task == "T-3"
    assert granted(claims.claim_next(["T-3", "T-1", "T-2"])).task == "T-1", "what one has is no work to begin"


def test_every_kind_of_ineligible_is_passed_over_with_its_reason() -> None:
    site = Site()
    state = site.machine().state(max_retries=0)
    claims, other = state.claims, site.machine("ws2").claims()
    granted(other.claim("held"))
    state.tasks.ignore("ignored", reason="on hold", by="person")
    for task, status in (("complete", "complete"), ("exhausted", "failed")):
        granted(claims.claim(task))
        claims.release(task, status=status)
    granted(claims.claim("mine"))
    site.shared.plant("tasks", "damaged", b"{")
    candidates = ["held", "ignored", "complete", "exhausted", "mine", "damaged", "bad\nid"]
    nothing = claims.claim_next(candidates)
    assert isinstance(nothing, NothingEligible)
    assert nothing.considered == 7
    assert {answer.task: answer.reason for answer in nothing.refused} == {
        "held": "existing_owner_active",
        "ignored": "task_ignored",
        "complete": "task_already_complete",
        "exhausted": "max_retries_exceeded",
        "mine": "task_already_claimed",
        "damaged": "corrupt",
        "bad\nid": "invalid_id",
    }
    assert granted(claims.claim_next([*candidates, "good"])).task == "good"


def test_a_thousand_ignored_tasks_starve_nobody() -> None:
    site = Site()
    state = site.machine().state()
    ignored = [f"I-{number}" for number in range(1_000)]
    for task in ignored:
        state.tasks.ignore(task, reason="on hold", by="person")
    writes = site.shared.writes
    taken = state.claims.claim_many([*ignored, "T-1", "T-2", "T-3"], slots=2)
    assert [claimed.task for claimed in taken.claimed] == ["T-1", "T-2"]
    assert len(taken.refused) == 1_000
    assert site.shared.writes == writes + 2, "what is ineligible is passed over without a lock"


def test_a_stale_task_is_eligible() -> None:
    site = Site()
    granted(site.machine("ws2").claims().claim("T-1"))
    site.pass_s(TTL_S + 1)
    assert granted(site.machine().claims().claim_next(["T-1"])).outcome == "taken_over"


def test_a_task_lost_in_the_race_is_passed_over() -> None:
    site = Site()
    other = site.machine("ws2").claims()
    site.shared.before["tasks"] = lambda: granted(other.claim("T-1"))
    assert granted(site.machine().claims().claim_next(["T-1", "T-2"])).task == "T-2"


@pytest.mark.parametrize("step", ["before the transaction", "before the sibling's token is written down"])
def test_a_task_lost_to_a_sibling_of_the_same_owner_is_passed_over_too(step: str) -> None:
    site = Site()
    machine = site.machine()
    first, second = machine.claims(), machine.claims()
    taken: list[str] = []
    tasks = ["T-1", "T-2"]
    where = site.shared.before if step == "before the transaction" else machine.local.before
    where["tasks" if where is site.shared.before else "claims"] = lambda: taken.append(
        granted(second.claim_next(tasks)).task
    )
    taken.append(granted(first.claim_next(tasks)).task)
    assert sorted(taken) == tasks


def test_claiming_anew_is_refused_to_who_has_it_and_takes_nothing_away() -> None:
    claims = Site().machine().claims()
    mine = granted(claims.claim("T-1"))
    answer = refused(claims.claim("T-1", anew=True))
    assert (answer.reason, answer.holder.owner if answer.holder else None) == ("task_already_claimed", mine.owner)
    assert isinstance(claims.renew("T-1"), Kept), "the token is still in this machine's ledger"


def test_no_more_candidates_are_drawn_than_needed() -> None:
    drawn: list[str] = []

    def candidates() -> Iterator[str]:
        for number in range(100):
            drawn.append(f"T-{number}")
            yield drawn[-1]

    claims = Site().machine().claims()
    claims.claim_many(candidates(), slots=3)
    assert drawn == ["T-0", "T-1", "T-2"]


def test_no_slots_take_nothing() -> None:
    taken = Site().machine().claims().claim_many(["T-1"], slots=0)
    assert (taken.claimed, taken.refused) == ((), ())


def test_a_candidate_named_twice_is_claimed_once() -> None:
    taken = Site().machine().claims().claim_many(["T-1", "T-1", "T-2"], slots=2)
    assert [claimed.task for claimed in taken.claimed] == ["T-1", "T-2"]


def test_a_store_that_fails_half_way_does_not_take_away_what_was_claimed() -> None:
    site = Site()
    claims = site.machine().claims(required=True)

    def candidates() -> Iterator[str]:
        yield "T-1"
        site.cut()
        yield "T-2"
        yield "T-3"

    taken = claims.claim_many(candidates(), slots=3)
    assert [claimed.task for claimed in taken.claimed] == ["T-1"]
    assert [(answer.task, answer.reason) for answer in taken.refused] == [("T-2", "store_unavailable")]


def test_a_store_that_fails_at_once_is_an_error() -> None:
    site = Site()
    site.cut()
    with pytest.raises(StoreUnavailable):
        site.machine().claims(required=True).claim_next(["T-1"])


def test_without_the_shared_store_the_next_task_is_another_one_too() -> None:
    for switched_off in (False, True):
        site = Site()
        site.cut()
        claims = site.machine().claims(enabled=not switched_off)
        tasks = ["T-1", "T-2"]
        assert [granted(claims.claim_next(tasks)).task for _ in tasks] == tasks
        assert isinstance(claims.claim_next(tasks), NothingEligible)

"""Stories about retries: one attempt and three more, whatever ended them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.tasks.fleet import TASK, TTL_S, Fleet


def fails(fleet: Fleet, owner: str) -> None:
    fleet.claim(owner)
    fleet.release(owner, "failed", error=f"boom {owner}")


def gives_up(fleet: Fleet, owner: str) -> None:
    fleet.claim(owner)
    fleet.release(owner, "abandoned")


def is_swept(fleet: Fleet, owner: str) -> None:
    fleet.claim(owner)
    fleet.pass_s(TTL_S + 1)
    fleet.tasks.sweep(TASK)


def vanishes(fleet: Fleet, owner: str) -> None:
    fleet.claim(owner)
    fleet.pass_s(TTL_S + 1)


def dies(fleet: Fleet, owner: str) -> None:
    process = fleet.process()
    fleet.claim(owner, process=process)
    fleet.host.kill(process)


@pytest.mark.parametrize("end", [fails, gives_up, is_swept, vanishes, dies])
def test_a_task_is_tried_exactly_once_and_three_times_more(end: Callable[[Fleet, str], None]) -> None:
    fleet = Fleet()
    for owner in "abcd":
        end(fleet, owner)
    refused = fleet.refused("e")
    assert refused.reason == "max_retries_exceeded"
    assert refused.detail == "4 attempts begun, 3 of 3 retries used"
    state = fleet.state()
    assert (state.attempts, state.retries) == (4, 3)


def test_endings_of_all_kinds_count_together() -> None:
    fleet = Fleet()
    for owner, end in zip("abcd", (fails, vanishes, is_swept, dies), strict=True):
        end(fleet, owner)
    assert fleet.refused("e").reason == "max_retries_exceeded"


@pytest.mark.parametrize("retries_max", [0, 1, 7])
def test_the_number_of_retries_is_configured(retries_max: int) -> None:
    fleet = Fleet(retries_max=retries_max)
    for number in range(retries_max + 1):
        fails(fleet, f"owner-{number}")
    assert fleet.refused("last").reason == "max_retries_exceeded"


def test_a_stale_claim_of_the_last_attempt_is_not_taken_over() -> None:
    fleet = Fleet(retries_max=0)
    fleet.claim("a")
    fleet.pass_s(TTL_S + 1)
    refused = fleet.refused("b")
    assert refused.reason == "max_retries_exceeded"
    assert refused.holder is not None
    assert refused.holder.owner == "a"


def test_a_restart_of_the_same_owner_is_no_retry() -> None:
    fleet = Fleet(retries_max=0)
    fleet.claim("a")
    for number in range(5):
        assert fleet.claim("a", token=f"{number}").retries == 0


def test_force_goes_beyond_the_limit_and_is_counted() -> None:
    fleet = Fleet(retries_max=0)
    fleet.claim("a")
    assert fleet.claim("b", force_reason="urgent").retries == 1


def test_force_takes_the_last_attempt_from_the_stale_as_from_the_living() -> None:
    fleet = Fleet(retries_max=0)
    fleet.claim("a")
    fleet.pass_s(TTL_S + 1)
    assert fleet.claim("b", force_reason="urgent").reason == "forced", "audited as what made it possible"


def test_a_reopened_task_has_all_its_retries_again() -> None:
    fleet = Fleet()
    for owner in "abcd":
        fails(fleet, owner)
    changed = fleet.tasks.reopen(TASK, by="person")
    assert (changed.changed, changed.status, changed.detail) == (True, "new", "was failed")
    claimed = fleet.claim("e")
    assert (claimed.outcome, claimed.fence, claimed.attempts, claimed.retries) == ("claimed", 5, 5, 0)
    fleet.release("e", "failed")
    for owner in "fgh":
        fails(fleet, owner)
    assert fleet.refused("i").reason == "max_retries_exceeded"


@pytest.mark.parametrize("ending", ["complete", "failed", "abandoned"])
def test_a_claim_may_reopen_by_itself(ending: str) -> None:
    fleet = Fleet(retries_max=0)
    fleet.claim("a")
    fleet.release("a", ending)
    claimed = fleet.claim("b", reopen=True)
    assert (claimed.outcome, claimed.reason, claimed.fence, claimed.retries) == ("claimed", "reopened", 2, 0)


def test_reopen_takes_nothing_from_a_living_owner() -> None:
    fleet = Fleet()
    fleet.claim("a")
    assert fleet.refused("b", reopen=True).reason == "existing_owner_active"
    changed = fleet.tasks.reopen(TASK, by="person")
    assert (changed.changed, changed.detail) == (False, "not ended")
    assert fleet.state().owner == "a"


def test_a_completed_task_is_begun_again_only_by_a_reopen() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a")
    assert fleet.refused("b").reason == "task_already_complete"
    assert fleet.refused("a").reason == "task_already_complete"
    assert fleet.refused("b", force_reason="urgent").reason == "task_already_complete"
    fleet.tasks.reopen(TASK, by="person")
    assert fleet.claim("b").fence == 2


def test_reopening_twice_changes_nothing() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a")
    fleet.tasks.reopen(TASK, by="person")
    before = fleet.document()
    assert fleet.tasks.reopen(TASK, by="person").changed is False
    assert fleet.tasks.reopen("T-unknown", by="person").changed is False
    assert fleet.document() == before
    assert fleet.revision("T-unknown") == 0


# The question whether a retry is possible


def test_the_retry_check_gives_the_reason_of_every_state() -> None:
    fleet = Fleet(retries_max=1)

    def asked() -> tuple[bool, str, int]:
        check = fleet.tasks.retry_check(TASK)
        return check.eligible, check.reason, check.retries_left

    assert asked() == (True, "no_previous_attempts", 1)
    fleet.claim("a")
    assert asked() == (False, "currently_owned_by_active_agent", 1)
    fleet.pass_s(TTL_S + 1)
    assert asked() == (True, "eligible_for_retry", 1)
    fleet.tasks.sweep(TASK)
    assert asked() == (True, "eligible_for_retry", 1)
    fleet.tasks.ignore(TASK, reason="on hold", by="person")
    assert asked() == (False, "ignored", 1)
    fleet.tasks.unignore(TASK, by="person")
    fleet.claim("b")
    fleet.pass_s(TTL_S + 1)
    assert asked() == (False, "max_retries_exceeded", 0), "stale, and nobody may take it over any more"
    fleet.release("b", "failed")
    assert asked() == (False, "max_retries_exceeded", 0)
    fleet.tasks.reopen(TASK, by="person")
    assert asked() == (True, "eligible_for_retry", 1)
    fleet.claim("c")
    fleet.release("c")
    assert asked() == (False, "already_complete", 1)


def test_the_retry_check_and_the_claim_agree_in_every_state() -> None:
    stories: list[Callable[[Fleet, str], None]] = [fails, gives_up, is_swept, vanishes, dies]
    for retries_max in (0, 1, 2):
        for first in stories:
            for second in stories:
                fleet = Fleet(retries_max=retries_max)
                first(fleet, "a")
                if fleet.tasks.retry_check(TASK).eligible:
                    second(fleet, "b")
                check = fleet.tasks.retry_check(TASK)
                answer = fleet.try_claim("z")
                assert check.eligible == (type(answer).__name__ == "Claimed"), (first, second, check, answer)


def test_asking_writes_nothing() -> None:
    fleet = Fleet()
    fleet.tasks.retry_check(TASK)
    assert fleet.tasks.get(TASK) is None
    assert fleet.store.writes == 0

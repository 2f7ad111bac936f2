"""Stories about the end: outcomes, repetition, terminal states, what a late owner is told."""

from __future__ import annotations

import pytest

from sharedstate.errors import InvalidInput
from sharedstate.tasks.outcomes import Lost, Released
from tests.unit.tasks.fleet import TASK, TTL_S, Fleet

ENDINGS = ["complete", "failed", "abandoned"]


@pytest.mark.parametrize("status", ENDINGS)
def test_a_release_states_its_outcome(status: str) -> None:
    fleet = Fleet()
    fleet.claim("a")
    released = fleet.release("a", status, error="boom")
    assert released == Released(task=TASK, owner="a", fence=1, status=status)
    state = fleet.state()
    assert (state.status, state.owner, state.live, state.fence) == (status, None, None, 1)
    assert state.last_error == (None if status == "complete" else "boom")
    assert fleet.events() == ["claimed", "released"]


@pytest.mark.parametrize("status", ENDINGS)
def test_the_same_release_again_changes_nothing(status: str) -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", status)
    before = fleet.document()
    again = fleet.release("a", status)
    assert again == Released(task=TASK, owner="a", fence=1, status=status, repeated=True)
    without_token = fleet.tasks.release(TASK, owner="a", digest=None, status=status)
    assert isinstance(without_token, Released), "the first release took the token off the ledger"
    assert fleet.document() == before
    assert fleet.events() == ["claimed", "released"]


@pytest.mark.parametrize("first", ENDINGS)
@pytest.mark.parametrize("second", ENDINGS)
def test_terminal_is_terminal(first: str, second: str) -> None:
    if first == second:
        return
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", first)
    reasons = {"complete": "task_already_complete", "failed": "task_already_failed", "abandoned": "task_abandoned"}
    lost = fleet.release("a", second)
    assert isinstance(lost, Lost)
    assert lost.reason == reasons[first]
    assert fleet.state().status == first


@pytest.mark.parametrize("status", ENDINGS)
def test_a_stranger_cannot_repeat_a_release(status: str) -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", status)
    assert isinstance(fleet.release("b", status), Lost)
    assert isinstance(fleet.release("a", status, token="other"), Lost)


def test_a_release_after_the_sweep_is_lost() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(TTL_S + 1)
    fleet.tasks.sweep(TASK)
    lost = fleet.release("a")
    assert isinstance(lost, Lost)
    assert lost.reason == "task_abandoned"
    assert fleet.state().status == "abandoned"


def test_a_late_release_of_a_stale_claim_that_nobody_took_still_counts() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(TTL_S * 5)
    assert isinstance(fleet.release("a"), Released)


def test_an_unknown_outcome_is_refused_before_anything_is_read() -> None:
    fleet = Fleet()
    fleet.claim("a")
    for status in ("claimed", "new", "done", "", "COMPLETE"):
        with pytest.raises(InvalidInput, match="status must be one of complete, failed, abandoned"):
            fleet.release("a", status)


def test_the_error_is_kept_up_to_its_limit() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", "failed", error="x" * 5_000)
    assert fleet.state().last_error == "x" * 2_000


def test_an_error_that_json_cannot_carry_does_not_keep_the_task_from_ending() -> None:
    """What a child process prints may hold bytes that are no UTF-8; Python hands them on as lone surrogates."""
    fleet = Fleet()
    fleet.claim("a")
    assert isinstance(fleet.release("a", "failed", error="no such file: \udcff\ud800.txt"), Released)
    assert fleet.state().last_error == "no such file: ??.txt"


def test_completion_clears_the_error_of_earlier_attempts() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", "failed", error="boom")
    fleet.claim("b")
    assert fleet.state().last_error == "boom", "the next owner can read what went wrong"
    fleet.release("b", "complete")
    assert fleet.state().last_error is None


def test_renew_and_release_of_what_never_was_is_not_found() -> None:
    fleet = Fleet()
    for answer in (fleet.renew("a"), fleet.release("a")):
        assert isinstance(answer, Lost)
        assert answer.reason == "task_not_found"
    assert fleet.revision() == 0


@pytest.mark.parametrize("status", ENDINGS)
def test_a_late_renew_never_revives(status: str) -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", status)
    before = fleet.document()
    assert isinstance(fleet.renew("a"), Lost)
    assert fleet.document() == before


def test_renewals_write_no_record_and_are_not_logged() -> None:
    fleet = Fleet()
    fleet.claim("a")
    before = (fleet.revision(), fleet.store.writes)
    for _ in range(500):
        fleet.renew("a")
    assert (fleet.revision(), fleet.store.writes) == before
    assert fleet.events() == ["claimed"]
    assert len(fleet.state().history) == 1

"""Stories about a person who ends a task from outside, whoever holds it."""

from __future__ import annotations

from typing import Any

import pytest

from sharedstate.errors import InvalidInput
from sharedstate.tasks.model import ABANDONED, COMPLETE, ENDINGS, FAILED
from sharedstate.tasks.outcomes import Changed, Claimed, Lost
from tests.unit.tasks.fleet import TASK, TTL_S, Fleet


def override(fleet: Fleet, status: str, *, reason: str = "done on the board") -> Changed:
    return fleet.tasks.override(TASK, status=status, by="person", reason=reason)


@pytest.mark.parametrize(
    "status, reason",
    [(COMPLETE, "task_already_complete"), (FAILED, "task_already_failed"), (ABANDONED, "task_abandoned")],
)
def test_the_holder_of_an_overridden_task_has_lost_it(status: str, reason: str) -> None:
    fleet = Fleet()
    fleet.claim("a")
    assert override(fleet, status).changed
    lost = fleet.renew("a")
    assert isinstance(lost, Lost)
    assert lost.reason == reason
    fleet.pass_s(TTL_S + 1)
    assert isinstance(fleet.renew("a"), Lost)
    assert fleet.events() == ["claimed", "overridden"]


def test_an_override_keeps_fence_attempts_and_last_holder() -> None:
    fleet = Fleet()
    fleet.claim("a")
    override(fleet, ABANDONED, reason="cancelled")
    state = fleet.state()
    assert (state.status, state.fence, state.attempts, state.owner) == (ABANDONED, 1, 1, None)
    assert state.last_error == "cancelled (person)"
    assert state.lease is not None
    assert state.lease.owner == "a"


def test_a_completed_task_shows_no_error() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", FAILED, error="no disk")
    assert override(fleet, COMPLETE).changed
    assert (fleet.state().status, fleet.state().last_error) == (COMPLETE, None)


@pytest.mark.parametrize("ended", ENDINGS)
@pytest.mark.parametrize("status", [FAILED, ABANDONED])
def test_what_has_ended_changes_its_ending_only_to_complete(ended: str, status: str) -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", ended)
    before = fleet.document()
    assert not override(fleet, status).changed
    assert fleet.document() == before


def test_the_same_override_again_changes_nothing() -> None:
    fleet = Fleet()
    fleet.claim("a")
    override(fleet, COMPLETE)
    revision = fleet.revision()
    assert not override(fleet, COMPLETE).changed
    assert fleet.revision() == revision


def test_a_task_nobody_ever_heard_of_may_be_ended_too() -> None:
    fleet = Fleet()
    assert override(fleet, COMPLETE) == Changed(task=TASK, changed=True, status=COMPLETE, detail="done on the board")
    assert fleet.refused("a").reason == "task_already_complete"
    assert (fleet.state().fence, fleet.state().attempts) == (0, 0)


def test_an_overridden_task_may_be_reopened() -> None:
    fleet = Fleet()
    fleet.claim("a")
    override(fleet, COMPLETE)
    assert fleet.tasks.reopen(TASK, by="person").changed
    assert isinstance(fleet.try_claim("b"), Claimed)
    assert fleet.state().fence == 2


def test_the_release_of_an_overridden_attempt_does_not_undo_it() -> None:
    fleet = Fleet()
    fleet.claim("a")
    override(fleet, ABANDONED)
    assert isinstance(fleet.release("a", COMPLETE), Lost)
    assert fleet.state().status == ABANDONED


def test_the_history_says_who_ended_the_task_and_why() -> None:
    fleet = Fleet()
    fleet.claim("a")
    override(fleet, COMPLETE)
    entry = fleet.state().history[-1]
    assert (entry["event"], entry["by"], entry["reason"]) == ("overridden", "person", "done on the board")


@pytest.mark.parametrize("status, reason", [("new", "why"), ("claimed", "why"), (COMPLETE, " "), (COMPLETE, None)])
def test_an_override_names_an_ending_and_a_reason(status: str, reason: Any) -> None:
    fleet = Fleet()
    with pytest.raises(InvalidInput):
        override(fleet, status, reason=reason)
    assert fleet.store.writes == 0

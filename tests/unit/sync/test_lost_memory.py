"""What the engine remembers of a board may be damaged or lost: people's changes, fences and counts survive that."""

from __future__ import annotations

from typing import Any

import pytest

from sharedstate.errors import NewerFormat
from sharedstate.store import DELETE, Decision, Unreadable
from sharedstate.sync.memory import SyncStatus, load_status
from sharedstate.tasks.model import ABANDONED, CLAIMED, COMPLETE, FAILED, NEW
from tests.unit.sync.stage import TASK, Machine, Stage

BOARD = "acme/app"


def forget(machine: Machine, *collections: str) -> None:
    """Lose what was remembered; a new process finds the rest."""
    for collection in collections or ("board-agreed", "board-status", "board-queue"):
        for found in list(machine.local.scan(collection)):
            assert not isinstance(found, Unreadable)
            machine.local.transact(collection, found.key, lambda _: Decision(result=None, write=DELETE))
    machine.new_engine()


def spoil(machine: Machine, collection: str, key: str, **wrong: Any) -> None:
    """Give fields of a record values that were never written."""
    machine.local.transact(collection, key, lambda now: Decision(result=None, write={**(now.value or {}), **wrong}))
    machine.new_engine()


@pytest.mark.parametrize(
    "wrong",
    [
        {"cursor": 7},
        {"journal_after": "1"},
        {"resume_ms": -1},
        {"resume_from": {"at_ms": "1"}},
        {"cycles": None},
        {"counters": [1]},
        {"counters": {"pulled": "many"}},
        {"errors": [7]},
        {"errors": {"at": "x"}},
    ],
)
def test_a_damaged_status_begins_anew_and_is_told_once(wrong: dict[str, Any]) -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.close(TASK)
    stage.board.open_issue("GH-2")
    spoil(stage.here, "board-status", BOARD, **wrong)
    report = stage.here.sync()
    assert [error["task"] for error in report.errors] == ["(memory)"]
    assert stage.here.counter("failures") == 1
    assert stage.here.state().status == COMPLETE
    assert stage.here.sync().clean
    assert stage.board.writes("record") == 2


def test_what_newer_versions_remember_is_left_alone() -> None:
    stage = Stage()
    stage.here.claim()
    whole = stage.here.local.get

    def newer(collection: str, key: str) -> Any:
        if collection == "board-status":
            raise NewerFormat("written by a newer version")
        return whole(collection, key)

    stage.here.local.get = newer  # type: ignore[method-assign]  # the store of a newer version
    report = stage.here.sync()
    assert isinstance(report.broken, NewerFormat)
    assert not report.clean
    assert stage.board.calls == []
    assert stage.here.local.get("board-queue", TASK) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": {"card": {"open": "yes"}}},
        {"base": {"card": {}, "record": 7}},
        {"base": None},
        {"labels": [1]},
        {"updated_ms": "soon"},
        {"wanted": 3},
        {"handle": None},
    ],
)
def test_a_damaged_agreement_is_made_anew_without_a_write(wrong: dict[str, Any]) -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    spoil(stage.here, "board-agreed", TASK, **wrong)
    writes = stage.board.writes()
    assert stage.here.sync().clean
    assert stage.here.known().base.record == stage.board.record(TASK)
    assert stage.board.writes() == writes


def test_a_status_comes_back_as_it_went() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    assert stage.here.engine.status().cycles == 1
    assert load_status({}) == SyncStatus()


def test_heartbeats_go_on_after_the_agreement_is_lost() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    forget(stage.here, "board-agreed")
    stage.pass_s(700)
    stage.here.renew()
    stage.here.sync()
    assert stage.board.record(TASK).heartbeat_ms == stage.machine.now().at_ms


@pytest.mark.parametrize("status", ["Todo", "Blocked", "In review", "Needs design"])
def test_a_card_that_a_person_moved_stays_where_it_is(status: str) -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.place_card(TASK, status)
    forget(stage.here)
    for _ in range(3):
        stage.here.sync()
    assert stage.board.item(TASK).card.status == status
    assert stage.here.state().status == CLAIMED


@pytest.mark.parametrize("ending", [COMPLETE, FAILED])
def test_a_card_taken_back_from_an_end_is_not_moved_again_and_the_wish_is_kept_in_the_journal(ending: str) -> None:
    stage = Stage()
    stage.here.work(ending)
    stage.here.sync()
    stage.board.place_card(TASK, "In progress")
    forget(stage.here)
    for _ in range(3):
        stage.here.sync()
    assert stage.board.item(TASK).card.status == "In progress"
    [told] = stage.here.conflicts("card_lost")
    assert told["detail"]["fleet status"]["won"] == "In progress"


def test_the_end_of_an_earlier_attempt_does_not_end_the_next_one() -> None:
    stage = Stage()
    stage.here.work(COMPLETE)
    stage.here.sync()
    stage.here.tasks.reopen(TASK, by="somebody")
    stage.here.claim()
    forget(stage.here)
    stage.here.sync()
    assert stage.here.state().status == CLAIMED
    assert stage.board.item(TASK).card.status == "inprogress"


@pytest.mark.parametrize("reason, status", [("completed", COMPLETE), ("not_planned", ABANDONED)])
def test_an_issue_that_a_person_closed_counts(reason: str, status: str) -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.close(TASK, reason=reason)
    forget(stage.here)
    stage.here.sync()
    assert stage.here.state().status == status


def test_a_cancelled_task_that_a_person_took_back_is_taken_back() -> None:
    stage = Stage()
    stage.here.sync()
    stage.board.place_card(TASK, "Cancelled")
    stage.here.sync()
    stage.pass_s(1)
    stage.board.place_card(TASK, "Needs design")
    forget(stage.here)
    for _ in range(2):
        stage.here.sync()
    assert stage.board.item(TASK).card.status == "Needs design"
    assert (stage.here.state().status, stage.here.state().ignored) == (NEW, None)


@pytest.mark.parametrize("by_card", [True, False])
def test_a_cancelled_task_stays_cancelled(by_card: bool) -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    if by_card:
        stage.board.place_card(TASK, "Cancelled")
    else:
        stage.board.close(TASK, reason="not_planned")
    stage.here.sync()
    writes, state = stage.board.writes(), stage.here.state()
    forget(stage.here)
    assert stage.here.sync().actions == {}
    assert (stage.board.writes(), stage.here.state()) == (writes, state)


def test_an_ignore_label_that_a_person_removed_is_not_put_back() -> None:
    stage = Stage()
    stage.board.set_ignore(TASK, ignored=True)
    stage.here.sync()
    stage.pass_s(1)
    stage.board.set_ignore(TASK, ignored=False)
    forget(stage.here)
    stage.here.sync()
    assert stage.here.state().ignored is None
    assert stage.board.item(TASK).labels == frozenset()


def test_no_fence_or_count_on_the_board_falls() -> None:
    stage = Stage()
    there = stage.join("there")
    there.work(*[FAILED] * 3)
    there.sync()
    stage.here.claim()
    stage.here.sync()
    before = stage.board.record(TASK)
    for machine in (stage.here, there):
        forget(machine)
    stage.here.release(FAILED)
    for machine in (there, stage.here) * 2:
        machine.sync()
        now = stage.board.record(TASK)
        assert (now.fence >= before.fence, now.attempts >= before.attempts, now.retries >= before.retries) == (
            True,
        ) * 3
        before = now


def test_another_machine_with_the_same_ledger_changes_nothing_at_its_first_look() -> None:
    stage = Stage()
    stage.here.work(COMPLETE)
    stage.here.sync()
    second = stage.join("second", store=stage.here.store)
    writes = stage.board.writes()
    assert second.sync().actions == {}
    assert stage.board.writes() == writes

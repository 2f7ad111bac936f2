"""What a person does on the board, and what the fleet does then."""

from __future__ import annotations

import pytest

from sharedstate.sync.board import Failed
from sharedstate.sync.model import INTERNAL_PRIMARY, MIRROR_ONLY
from sharedstate.sync.policy import CANCELLED_REASON
from sharedstate.tasks import outcomes as why
from sharedstate.tasks.model import ABANDONED, CLAIMED, COMPLETE, FAILED, NEW
from sharedstate.tasks.outcomes import Lost, Refused
from sharedstate.testing.board import Trouble
from tests.unit.sync.stage import HOUR_S, TASK, Stage


def test_closed_as_not_planned_is_cancelled_and_reads_back_as_cancelled() -> None:
    stage = Stage()
    stage.here.sync()
    stage.board.close(TASK, reason="not_planned")
    assert stage.here.sync().actions == {TASK: ["cancel"]}
    ignored = stage.here.state().ignored
    assert ignored is not None
    assert ignored.reason == CANCELLED_REASON
    assert stage.board.item(TASK).card.status == "cancelled"
    assert stage.here.sync().actions == {}


def test_cancelling_ends_a_live_attempt_and_keeps_everybody_from_beginning_another() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.close(TASK, reason="not_planned")
    stage.here.sync()
    lost = stage.here.renew()
    assert isinstance(lost, Lost)
    assert lost.reason == why.TASK_ABANDONED
    refused = stage.here.try_claim(agent="b")
    assert isinstance(refused, Refused)
    assert refused.reason == why.TASK_IGNORED
    assert stage.board.record(TASK).status == ABANDONED


@pytest.mark.parametrize("status", ["Cancelled", "won't fix", "WONT_FIX", "Duplicate"])
def test_a_card_moved_to_any_word_for_cancelled_cancels(status: str) -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.place_card(TASK, status)
    assert stage.here.sync().actions == {TASK: ["cancel"]}
    assert stage.board.item(TASK).card.status == status


def test_a_cancelled_task_needs_no_ignore_label() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.close(TASK, reason="not_planned")
    stage.here.sync()
    assert stage.board.item(TASK).labels == frozenset()


def test_an_issue_closed_before_the_fleet_ever_heard_of_it_is_not_begun() -> None:
    stage = Stage()
    stage.board.close(TASK)
    stage.board.open_issue("GH-2")
    stage.board.close("GH-2", reason="not_planned")
    stage.here.sync()
    done, cancelled = stage.here.try_claim(), stage.here.try_claim("GH-2")
    assert isinstance(done, Refused)
    assert done.reason == why.TASK_ALREADY_COMPLETE
    assert isinstance(cancelled, Refused)
    assert cancelled.reason == why.TASK_IGNORED
    assert stage.board.writes("record") == 0


def test_done_on_the_board_completes_whoever_holds_the_task() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.place_card(TASK, "Done")
    assert stage.here.sync().actions == {TASK: ["complete"]}
    lost = stage.here.renew()
    assert isinstance(lost, Lost)
    assert lost.reason == why.TASK_ALREADY_COMPLETE
    assert stage.board.record(TASK).status == COMPLETE


def test_an_issue_closed_as_completed_moves_its_card_to_done() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.close(TASK)
    stage.here.sync()
    assert stage.board.item(TASK).card.status == "done"


def test_a_reopen_starts_the_task_anew_with_its_retries_over() -> None:
    stage = Stage()
    stage.here.work(FAILED, FAILED, FAILED, FAILED)
    stage.here.sync()
    assert stage.board.item(TASK).card.status == "blocked"
    assert stage.board.record(TASK).retries == 3
    stage.board.close(TASK)
    stage.here.sync()
    stage.board.reopen(TASK)
    assert stage.here.sync().actions == {TASK: ["reopen"]}
    state = stage.here.state()
    assert (state.status, state.retries, state.attempts, state.fence) == (NEW, 0, 4, 4)
    assert stage.board.record(TASK).retries == 0
    assert stage.board.item(TASK).card.status == "todo"
    stage.here.claim()


def test_a_reopen_is_seen_though_the_card_still_stands_at_done() -> None:
    stage = Stage()
    stage.here.work(COMPLETE)
    stage.here.sync()
    stage.board.close(TASK)
    stage.here.sync()
    stage.board.reopen(TASK)
    assert stage.here.sync().actions == {TASK: ["reopen"]}
    assert stage.board.item(TASK).card.status == "todo"


def test_a_card_taken_back_from_done_reopens() -> None:
    stage = Stage()
    stage.here.work(COMPLETE)
    stage.here.sync()
    stage.board.place_card(TASK, "In progress")
    assert stage.here.sync().actions == {TASK: ["reopen"]}
    assert stage.here.state().status == NEW
    assert stage.board.item(TASK).card.status == "In progress"


def test_a_cancelled_task_that_is_reopened_may_be_claimed() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.close(TASK, reason="not_planned")
    stage.here.sync()
    stage.board.reopen(TASK)
    assert stage.here.sync().actions == {TASK: ["unignore", "reopen"]}
    stage.here.claim()


def test_a_cancelled_task_that_is_closed_as_completed_instead_is_complete() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.close(TASK, reason="not_planned")
    stage.here.sync()
    stage.board.close(TASK, reason="completed")
    assert stage.here.sync().actions == {TASK: ["unignore", "complete"]}
    assert (stage.here.state().status, stage.here.state().ignored) == (COMPLETE, None)


def test_the_ignore_label_wins_over_a_reopen() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.close(TASK, reason="not_planned")
    stage.here.sync()
    stage.board.set_ignore(TASK, ignored=True)
    stage.board.reopen(TASK)
    assert stage.here.sync().actions == {TASK: ["unignore", "reopen", "ignore"]}
    assert isinstance(stage.here.try_claim(), Refused)


def test_cancelling_a_task_with_an_ignore_label_and_removing_the_label_keeps_it_cancelled() -> None:
    stage = Stage()
    stage.board.set_ignore(TASK, ignored=True)
    stage.here.sync()
    stage.board.close(TASK, reason="not_planned")
    stage.here.sync()
    stage.board.set_ignore(TASK, ignored=False)
    assert stage.here.sync().actions == {}
    assert isinstance(stage.here.try_claim(), Refused)


def test_the_ignore_label_keeps_the_fleet_off_until_it_is_removed() -> None:
    stage = Stage()
    stage.board.set_ignore(TASK, ignored=True)
    assert stage.here.sync().actions == {TASK: ["ignore"]}
    refused = stage.here.try_claim()
    assert isinstance(refused, Refused)
    assert refused.reason == why.TASK_IGNORED
    stage.board.set_ignore(TASK, ignored=False)
    assert stage.here.sync().actions == {TASK: ["unignore"]}
    stage.here.claim()


def test_an_attempt_goes_on_to_its_end_under_an_ignore_label() -> None:
    stage = Stage()
    stage.here.claim()
    stage.board.set_ignore(TASK, ignored=True)
    stage.here.sync()
    assert stage.here.state().status == CLAIMED
    assert stage.board.item(TASK).labels == {"ignore", "claimed"}


def test_an_ignore_of_the_fleet_becomes_a_label_that_a_person_may_remove() -> None:
    stage = Stage()
    stage.here.ignore()
    stage.here.sync()
    assert stage.board.item(TASK).labels == {"ignore"}
    assert stage.board.item(TASK).record is None
    stage.board.set_ignore(TASK, ignored=False)
    assert stage.here.sync().actions == {TASK: ["unignore"]}


def test_the_ignore_label_wins_over_an_unignore_of_the_fleet() -> None:
    stage = Stage()
    stage.board.set_ignore(TASK, ignored=True)
    stage.here.sync()
    stage.here.tasks.unignore(TASK, by="somebody")
    stage.board.place_card(TASK, "Blocked")
    stage.here.sync()
    assert stage.here.state().ignored is not None
    assert stage.board.item(TASK).labels == {"ignore"}
    assert stage.here.conflicts("card_lost")[0]["detail"] == {"fleet ignored": {"lost": False, "won": True}}


def test_a_card_moved_by_a_person_is_never_moved_back() -> None:
    stage = Stage(heartbeat_window_ms=1)
    stage.here.claim()
    stage.here.sync()
    for status in ("Blocked", "Todo", "Needs design", "In review"):
        stage.board.place_card(TASK, status)
        for _ in range(3):
            stage.pass_s(HOUR_S / 60)
            stage.here.renew()
            stage.here.sync()
            assert stage.board.item(TASK).card.status == status


def test_a_card_moved_by_a_person_stays_when_the_fleet_changed_its_mind_meanwhile() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.here.release(COMPLETE)
    stage.board.place_card(TASK, "Needs design")
    stage.here.sync()
    assert stage.board.item(TASK).card.status == "Needs design"
    lost = stage.here.conflicts("card_lost")
    assert lost[0]["detail"] == {"fleet status": {"lost": "done", "won": "Needs design"}}


def test_a_card_moved_while_the_engine_was_looking_elsewhere_stays() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.here.release(FAILED)

    def plan(call: object) -> None:
        if getattr(call, "verb", "") == "move":
            stage.board.place_card(TASK, "Blocked")

    stage.here.seat.plan = plan
    report = stage.here.sync()
    assert report.conflicts == (TASK,)
    assert stage.board.item(TASK).card.status == "Blocked"
    assert stage.here.engine.waiting() == ()


def test_the_next_change_of_mind_of_the_fleet_moves_the_card_again() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.place_card(TASK, "Needs design")
    stage.here.sync()
    stage.here.release(COMPLETE)
    stage.here.sync()
    assert stage.board.item(TASK).card.status == "done"


def test_a_card_in_review_stays_when_the_attempt_completes() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.place_card(TASK, "In Review")
    stage.here.sync()
    stage.here.release(COMPLETE)
    stage.here.sync()
    assert stage.board.item(TASK).card.status == "In Review"


def test_a_task_that_nobody_began_leaves_its_card_alone() -> None:
    stage = Stage()
    stage.board.place_card(TASK, "In progress")
    stage.here.ignore()
    stage.here.sync()
    assert stage.board.item(TASK).card.status == "In progress"


def test_without_a_status_field_only_the_issue_speaks() -> None:
    stage = Stage(statuses=False)
    stage.here.claim()
    assert stage.here.sync().pushed == {TASK: ["record", "labels"]}
    stage.board.close(TASK)
    stage.here.sync()
    assert stage.here.state().status == COMPLETE


def test_internal_primary_lets_the_fleet_win_a_card_that_both_moved() -> None:
    stage = Stage(policy=INTERNAL_PRIMARY)
    stage.here.claim()
    stage.here.sync()
    stage.here.release(FAILED)
    stage.board.place_card(TASK, "Done")
    assert stage.here.sync().actions == {}
    assert stage.here.state().status == FAILED
    assert stage.board.item(TASK).card.status == "todo"
    assert stage.here.conflicts("card_lost")[0]["detail"] == {"board status": {"lost": "Done", "won": "todo"}}


def test_internal_primary_obeys_where_only_the_person_changed_something() -> None:
    stage = Stage(policy=INTERNAL_PRIMARY)
    stage.here.claim()
    stage.here.sync()
    stage.board.place_card(TASK, "Done")
    assert stage.here.sync().actions == {TASK: ["complete"]}


def test_mirror_only_shows_and_never_obeys_but_keeps_what_was_said() -> None:
    stage = Stage(policy=MIRROR_ONLY)
    stage.here.claim()
    stage.here.sync()
    stage.board.set_ignore(TASK, ignored=True)
    stage.board.close(TASK, reason="not_planned")
    stage.board.place_card(TASK, "Done")
    assert stage.here.sync().actions == {}
    state = stage.here.state()
    assert (state.status, state.ignored) == (CLAIMED, None)
    assert set(stage.here.conflicts("card_lost")[0]["detail"]) == {
        "board open", "board reason", "board status", "board ignored"
    }  # fmt: skip
    assert stage.board.item(TASK).card.status == "Done"
    stage.here.release(FAILED)
    stage.here.sync()
    assert stage.board.record(TASK).status == FAILED


def test_a_deleted_state_comment_is_written_again() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.plant(TASK, None)
    stage.here.sync()
    assert stage.board.record(TASK).owner == "here/a"


def test_what_one_machine_completes_ends_the_attempt_of_another_by_the_card() -> None:
    stage = Stage()
    there = stage.join("there")
    stage.here.claim()
    stage.here.sync()
    there.work(COMPLETE)
    there.sync()
    stage.board.place_card(TASK, "Done")
    stage.here.sync()
    lost = stage.here.renew()
    assert isinstance(lost, Lost)
    assert lost.reason == why.TASK_ALREADY_COMPLETE


def test_a_card_that_a_person_put_back_after_a_move_whose_answer_was_lost_stays() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.here.release(FAILED)
    lost = Failed(kind="transient", detail="502", applied=True)
    stage.break_next(Trouble(answer=lost, applied=True), verb="move")
    stage.here.sync()
    stage.board.place_card(TASK, "In progress")
    for _ in range(3):
        stage.pass_s(HOUR_S)
        stage.here.sync()
    assert stage.board.item(TASK).card.status == "In progress"

"""Pull: what is listed comes home; what is missing, broken, late or unreachable changes nothing and stops nobody."""

from __future__ import annotations

from sharedstate import jsonio
from sharedstate.sync.board import Distrust, Failed, Parked
from sharedstate.sync.model import RemoteRecord
from sharedstate.tasks.model import CLAIMED, COMPLETE
from sharedstate.testing.board import Trouble
from tests.unit.sync.stage import HOUR_S, TASK, Stage

NO_ANSWER = Failed(kind="transient", detail="502")


def test_a_failing_list_changes_nothing_and_is_told() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.close(TASK)
    before, writes = stage.here.known(), stage.board.writes()
    stage.break_next(Trouble(answer=NO_ANSWER), verb="list")
    report = stage.here.sync()
    assert report.unlisted == NO_ANSWER
    assert not report.clean
    assert not report.clean
    assert stage.here.state().status == CLAIMED
    assert stage.here.known() == before
    assert stage.board.writes() == writes
    stage.here.sync()
    assert stage.here.state().status == COMPLETE


def test_a_list_that_must_wait_changes_nothing_until_it_may() -> None:
    stage = Stage()
    stage.here.claim()
    until_ms = stage.machine.now().at_ms + 60_000
    stage.break_next(Trouble(answer=Parked(until_ms=until_ms, reason="secondary limit")), verb="list")
    assert stage.here.sync().parked_until_ms == until_ms
    calls = len(stage.board.calls)
    assert stage.here.sync().skipped_until_ms == until_ms
    assert len(stage.board.calls) == calls
    stage.pass_s(60)
    assert stage.here.sync().pushed
    assert stage.here.counter("rate_limited") == 1


def test_an_empty_list_cancels_nothing() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.here.sync()
    report = stage.here.sync()
    assert report.pulled == ()
    assert stage.here.state().status == CLAIMED


def test_a_partial_list_cancels_nothing_and_is_read_again() -> None:
    stage = Stage()
    for number in range(2, 6):
        stage.board.open_issue(f"GH-{number}")
        stage.here.claim(f"GH-{number}")
    stage.here.sync()
    for number in range(2, 6):
        stage.board.close(f"GH-{number}")
    stage.break_next(Trouble(lost=True), verb="list")
    report = stage.here.sync()
    assert 0 < len(report.actions) < 4
    assert report.gone == ()
    rest = stage.here.sync()
    assert {*report.actions, *rest.actions} == {f"GH-{number}" for number in range(2, 6)}


def test_a_full_list_with_lost_pages_reports_nobody_as_gone() -> None:
    stage = Stage()
    stage.board.open_issue("GH-2")
    stage.here.sync()
    stage.pass_s(7 * HOUR_S)
    stage.break_next(Trouble(lost=True), verb="list")
    assert stage.here.sync().gone == ()


def test_one_bad_item_does_not_stop_the_rest() -> None:
    stage = Stage()
    for number in (2, 3):
        stage.board.open_issue(f"GH-{number}", ignored=True)
    stage.here.claim("GH-2")
    stage.here.store.plant("tasks", "GH-2", b"not json")
    report = stage.here.sync()
    assert "GH-2" in {error["task"] for error in report.errors}
    assert report.actions == {"GH-3": ["ignore"]}


def test_what_could_not_be_absorbed_is_read_again_though_the_list_went_on() -> None:
    stage = Stage()
    stage.here.claim()
    raw = stage.here.store.get("tasks", TASK)
    stage.board.close(TASK)
    stage.here.store.plant("tasks", TASK, b"not json")
    stage.here.sync()
    assert raw is not None
    stage.here.store.plant("tasks", TASK, jsonio.encode(raw.value))
    stage.pass_s(60)
    report = stage.here.sync()
    assert report.actions == {TASK: ["complete"]}
    assert stage.here.state().status == COMPLETE
    assert stage.here.engine.waiting() == ()


def test_a_new_issue_is_known_after_the_next_cycle() -> None:
    stage = Stage()
    stage.here.sync()
    stage.board.open_issue("GH-2")
    assert stage.here.sync().pulled == ("GH-2",)
    assert stage.here.known("GH-2").handle == "#GH-2"


def test_an_issue_deleted_on_the_board_is_reported_once_and_nothing_is_destroyed() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.delete(TASK)
    stage.pass_s(7 * HOUR_S)
    stage.here.renew()
    assert stage.here.sync().gone == (TASK,)
    assert stage.here.state().status == CLAIMED
    stage.pass_s(7 * HOUR_S)
    assert stage.here.sync().gone == ()


def test_a_deletion_is_noticed_by_the_next_write_too() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.delete(TASK)
    stage.here.release(COMPLETE)
    report = stage.here.sync()
    assert report.gone == (TASK,)
    assert report.errors == ()
    assert stage.here.engine.waiting() == ()


def test_a_deleted_issue_that_comes_back_is_mirrored_again() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.delete(TASK)
    stage.here.release(COMPLETE)
    stage.here.sync()
    stage.board.open_issue(TASK)
    stage.here.sync()
    assert stage.board.record(TASK).status == COMPLETE


def test_a_late_answer_is_not_taken_for_a_change() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.here.release(COMPLETE)
    stage.here.sync()
    assert stage.board.item(TASK).card.status == "done"
    stage.pass_s(7 * HOUR_S)  # a full list, from a replica that has seen neither record nor card
    stage.break_next(Trouble(lag=3), verb="list")
    report = stage.here.sync()
    assert report.actions == {}
    assert stage.here.counter("late") == 1
    assert stage.here.state().status == COMPLETE


def test_a_record_on_the_board_frees_steals_and_raises_no_claim() -> None:
    stage = Stage()
    claimed = stage.here.claim()
    stage.here.sync()
    shown = stage.board.record(TASK)
    for planted in (
        shown.replace(status="abandoned", revision=9),
        shown.replace(owner="there/a", fence=99, revision=10),
        RemoteRecord(task=TASK, status="complete", owner="there/a", fence=100, ignored=True, revision=11),
    ):
        stage.board.plant(TASK, planted)
        stage.here.sync()
        state = stage.here.state()
        assert (state.status, state.owner, state.fence, state.ignored) == (CLAIMED, "here/a", claimed.fence, None)


def test_untrusted_records_are_counted_and_reported() -> None:
    stage = Stage()
    stage.board.distrusted = (Distrust(task=TASK, where="comment 7", author="eve", reason="author"),)
    assert stage.here.sync().distrusted[0].author == "eve"
    assert stage.here.counter("distrusted") == 1


def test_a_journal_of_any_length_is_read_in_pieces() -> None:
    stage = Stage(changes_max=10)
    for number in range(2, 42):
        stage.board.open_issue(f"GH-{number}")
    stage.here.sync()
    for number in range(2, 42):
        stage.here.claim(f"GH-{number}")
        stage.here.release(COMPLETE, f"GH-{number}")
    pushed = [len(stage.here.sync().pushed) for _ in range(5)]
    assert pushed == [5, 5, 5, 5, 5]

"""Push: what the board shows of the fleet's work, and when another ledger's word stays."""

from __future__ import annotations

import pytest

from sharedstate.sync.model import RemoteRecord
from sharedstate.tasks.model import ABANDONED, CLAIMED, COMPLETE, ENDINGS, FAILED
from sharedstate.testing.board import Trouble
from tests.unit.sync.stage import MINUTE_S, TASK, Machine, Stage


def shown(stage: Stage) -> tuple[str, str | None, int]:
    record = stage.board.record(TASK)
    return record.status, record.owner, record.fence


def test_a_claim_is_shown_with_its_label_and_its_card() -> None:
    stage = Stage()
    stage.here.claim()
    report = stage.here.sync()
    assert report.pushed == {TASK: ["record", "labels", "card"]}
    assert shown(stage) == (CLAIMED, "here/a", 1)
    item = stage.board.item(TASK)
    assert item.labels == {"claimed"}
    assert item.card.status == "inprogress"


def test_nothing_new_costs_no_write_and_a_single_call() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.here.sync()
    calls, writes = len(stage.board.calls), stage.board.writes()
    assert stage.here.sync().pushed == {}
    assert (len(stage.board.calls), stage.board.writes()) == (calls + 1, writes)


def test_the_labels_follow_the_attempt() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.pass_s(MINUTE_S)
    stage.here.renew()
    stage.here.sync()
    assert stage.board.item(TASK).labels == {"working"}
    stage.pass_s(10 * MINUTE_S)
    stage.here.sync()
    assert stage.board.item(TASK).labels == {"stale"}
    stage.here.tasks.sweep(TASK)
    stage.here.sync()
    assert stage.board.item(TASK).labels == frozenset()


def test_a_thousand_heartbeats_cost_one_edit_per_window() -> None:
    stage = Stage(heartbeat_window_ms=600_000)
    stage.here.claim()
    stage.here.sync()
    stage.here.renew()
    stage.pass_s(1)
    stage.here.sync()
    before = stage.board.writes("record")
    for _ in range(1_000):
        stage.pass_s(30)
        stage.here.renew()
        stage.here.sync()
    assert stage.board.writes("record") - before <= 1_000 * 30 // 600
    assert stage.board.writes("labels") == 2
    assert stage.machine.now().at_ms - (stage.board.record(TASK).heartbeat_ms or 0) < 600_000 + 30_000


def test_heartbeats_at_one_moment_cost_nothing() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    writes = stage.board.writes()
    for _ in range(100):
        stage.here.renew()
        stage.here.sync()
    assert stage.board.writes() == writes


def test_another_ledgers_live_claim_is_not_published_over_and_counted_once() -> None:
    stage = Stage()
    there = stage.join("there")
    there.claim()
    there.sync()
    stage.here.claim()
    assert stage.here.sync().conflicts == (TASK,)
    for _ in range(5):
        stage.pass_s(MINUTE_S)
        there.renew()
        stage.here.renew()
        there.sync()
        assert stage.here.sync().conflicts == ()
    assert shown(stage) == (CLAIMED, "there/a", 1)
    assert stage.here.counter("conflicts") == 1
    lost = stage.here.conflicts("record_lost")
    assert len(lost) == 1
    assert (lost[0]["owner"], lost[0]["winner"]) == ("here/a", "there/a")
    assert lost[0]["detail"]["fleet owner"] == {"lost": "here/a", "won": "there/a"}
    assert stage.here.state().owner == "here/a"


def test_our_own_claim_never_blocks_our_own_push() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.plant(TASK, stage.board.record(TASK).replace(heartbeat_ms=stage.machine.now().at_ms + 1, revision=5))
    stage.here.release(FAILED, error="no disk")
    report = stage.here.sync()
    assert report.conflicts == ()
    assert shown(stage) == (FAILED, "here/a", 1)
    assert stage.board.record(TASK).last_error == "no disk"


def test_a_takeover_within_our_ledger_is_no_conflict() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.here.claim(agent="b", force_reason="needed")
    assert stage.here.sync().conflicts == ()
    assert shown(stage) == (CLAIMED, "here/b", 2)
    assert stage.here.conflicts("record_lost") == []


def test_a_takeover_is_no_conflict_under_the_boards_own_numbers_either() -> None:
    stage = Stage()
    there = stage.join("there")
    there.work(FAILED, FAILED, FAILED)
    there.sync()
    stage.here.claim()
    stage.here.sync()
    stage.here.claim(agent="b", force_reason="needed")
    assert stage.here.sync().conflicts == ()
    assert shown(stage) == (CLAIMED, "here/b", 5)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_has_ended_elsewhere_blocks_nobody_and_is_kept(ending: str) -> None:
    stage = Stage(statuses=False)
    there = stage.join("there")
    there.work(ending)
    there.sync()
    stage.here.claim()
    assert stage.here.sync().conflicts == ()
    assert shown(stage) == (CLAIMED, "here/a", 2)
    lost = stage.here.conflicts("record_lost")[0]
    assert lost["detail"]["board status"] == {"lost": ending, "won": CLAIMED}
    assert lost["detail"]["board owner"] == {"lost": "there/a", "won": "here/a"}


def test_a_fence_on_the_board_never_falls_and_counts_are_never_lowered() -> None:
    stage = Stage()
    there = stage.join("there")
    there.work(FAILED, FAILED, FAILED)
    there.sync()
    stage.here.claim()
    stage.here.sync()
    record = stage.board.record(TASK)
    assert (record.fence, record.attempts, record.retries) == (4, 3, 2)
    stage.here.release(COMPLETE)
    stage.here.sync()
    assert shown(stage) == (COMPLETE, "here/a", 4)


def test_a_later_attempt_of_the_same_owner_goes_on_under_the_boards_own_numbers() -> None:
    stage = Stage()
    there = stage.join("there")
    there.work(FAILED, FAILED, FAILED)
    there.sync()
    stage.here.claim()
    stage.here.sync()
    stage.here.release(ABANDONED)
    stage.here.sync()
    stage.here.claim()
    stage.here.sync()
    assert shown(stage) == (CLAIMED, "here/a", 5)


def test_a_claim_that_has_fallen_silent_elsewhere_is_replaced() -> None:
    stage = Stage(heartbeat_window_ms=60_000)
    there = stage.join("there")
    there.claim()
    there.sync()
    stage.here.claim()
    stage.here.sync()
    stage.pass_s(4 * MINUTE_S)
    stage.here.renew()
    stage.here.sync()
    assert shown(stage) == (CLAIMED, "here/a", 2)
    stage.pass_s(1)
    there.renew()
    assert there.sync().conflicts == (TASK,)
    assert shown(stage) == (CLAIMED, "here/a", 2)


def test_two_silent_claims_do_not_take_turns() -> None:
    stage = Stage(heartbeat_window_ms=60_000)
    there = stage.join("there")
    there.claim()
    stage.here.claim()
    for machine in (there, stage.here) * 3:
        stage.pass_s(10 * MINUTE_S)
        machine.sync()
    assert stage.board.writes("record") == 1


def test_an_attempt_that_has_ended_here_does_not_hide_one_that_runs_elsewhere() -> None:
    stage = Stage()
    there = stage.join("there")
    stage.here.claim()
    there.claim()
    there.sync()
    stage.here.release(COMPLETE)
    stage.here.sync()
    assert shown(stage) == (CLAIMED, "there/a", 1)


def test_of_two_attempts_that_are_over_the_complete_one_is_shown_then_the_later() -> None:
    stage = Stage(statuses=False)
    there = stage.join("there")
    there.work(COMPLETE)
    stage.pass_s(1)
    stage.here.work(FAILED)
    for _ in range(3):
        there.sync()
        stage.here.sync()
    assert shown(stage)[:2] == (COMPLETE, "there/a")


def test_of_two_complete_attempts_the_first_is_shown_not_the_one_that_was_told_by_the_card() -> None:
    stage = Stage()
    there = stage.join("there")
    stage.here.work(FAILED)
    stage.here.sync()
    there.work(COMPLETE)
    there.sync()
    stage.pass_s(1)
    stage.here.sync()
    assert stage.here.state().status == COMPLETE
    there.sync()
    assert shown(stage) == (COMPLETE, "there/a", 2)
    assert stage.board.writes("record") == 2


def test_secrets_in_an_error_are_not_published_and_cost_no_second_write() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.release(FAILED, error=f"push to https://bob:hunter2@host/x failed, TOKEN=ghp_{'a1' * 18} " + "x" * 3_000)
    for _ in range(3):
        stage.here.sync()
    error = stage.board.record(TASK).last_error
    assert error is not None
    assert error.startswith("push to https://…@host/x failed, TOKEN=… x")
    assert len(error) == 500
    assert stage.board.writes("record") == 1
    assert "hunter2" in (stage.here.state().last_error or "")  # at home it stays as it was told


def test_a_person_can_delete_nothing_by_a_higher_record_of_nobody() -> None:
    stage = Stage()
    stage.board.plant(TASK, RemoteRecord(task=TASK, fence=7, attempts=9, revision=3))
    stage.here.claim()
    stage.here.sync()
    assert shown(stage) == (CLAIMED, "here/a", 8)
    assert stage.board.record(TASK).attempts == 9


def test_our_own_conflict_notes_make_no_candidates() -> None:
    stage = Stage()
    there = stage.join("there")
    there.claim()
    there.sync()
    stage.here.claim()
    stage.here.sync()
    stage.here.sync()
    entries = stage.here.store.append("events", {"type": "note", "task": "nobody"})
    for _ in range(3):
        stage.here.sync()
    assert stage.here.store.append("events", {"type": "note", "task": "nobody"}) == entries + 1


def test_a_task_that_the_board_does_not_have_is_asked_for_once_an_hour_at_most() -> None:
    stage = Stage()
    stage.here.sync()
    for _ in range(10):
        stage.here.work(ABANDONED, task="local-1") if stage.here.tasks.get("local-1") is None else change(stage.here)
        stage.here.sync()
    assert stage.calls("get") == 1
    stage.pass_s(61 * MINUTE_S)
    change(stage.here)
    stage.here.sync()
    assert stage.calls("get") == 2


def test_a_task_that_comes_to_the_board_later_is_mirrored_by_the_list() -> None:
    stage = Stage()
    stage.here.sync()
    stage.here.claim("GH-2")
    stage.here.sync()
    stage.board.open_issue("GH-2")
    stage.here.sync()
    assert stage.board.record("GH-2").owner == "here/a"


def test_a_live_claim_costs_no_call_while_nothing_changes() -> None:
    stage = Stage()
    for number in range(2, 12):
        stage.board.open_issue(f"GH-{number}")
        stage.here.claim(f"GH-{number}")
        stage.here.claim(f"local-{number}")
    stage.here.sync()
    stage.here.sync()
    calls = len(stage.board.calls)
    stage.here.sync()
    assert len(stage.board.calls) == calls + 1


def test_a_write_is_verified_by_what_is_read_back() -> None:
    stage = Stage()
    stage.here.claim()
    seat = stage.here.seat
    honest = seat.write

    def lying(item: object, record: RemoteRecord) -> object:
        return honest(item, record.replace(last_error="else"))  # type: ignore[arg-type] # reason: forwarded as it came

    seat.write = lying  # type: ignore[method-assign,assignment] # reason: an adapter that writes something else
    report = stage.here.sync()
    assert "read back" in report.errors[0]["detail"]
    seat.write = honest  # type: ignore[method-assign] # reason: repaired
    stage.pass_s(MINUTE_S)
    stage.here.sync()
    assert stage.board.record(TASK).last_error is None


def test_two_machines_that_write_at_once_leave_one_record_and_no_lost_word() -> None:
    stage = Stage()
    there = stage.join("there")
    stage.here.claim()
    there.claim()
    stage.here.sync()
    there.seat.plan = lambda call: Trouble(lag=99) if call.verb == "list" else None
    there.sync()
    there.seat.plan = None
    there.sync()
    assert shown(stage) == (CLAIMED, "here/a", 1)
    assert len(there.conflicts("record_lost")) == 1


def change(machine: Machine) -> None:
    """Something new for the journal, of the same task."""
    machine.tasks.ignore("local-1", reason="x", by="me")
    machine.tasks.unignore("local-1", by="me")

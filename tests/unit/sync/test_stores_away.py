"""A store on this side fails, or the cycle shall end early: told in the report, and done by the next cycle."""

from __future__ import annotations

from typing import Any

import pytest

from sharedstate.errors import Corrupt, StoreUnavailable
from sharedstate.sync.cycle import Cycle
from sharedstate.sync.report import SyncReport
from sharedstate.tasks.model import CLAIMED, COMPLETE
from tests.unit.sync.stage import TASK, Stage

TASKS = [f"GH-{number}" for number in range(1, 8)]


def break_store(store: Any, verb: str, *, only: str = "", error: type[Exception] = StoreUnavailable) -> None:
    """From now on a verb of the store fails (for one key or collection, where `only` names it)."""
    whole = getattr(store, verb)

    def failing(*given: Any, **more: Any) -> Any:
        if not only or only in given:
            raise error("planned")
        return whole(*given, **more)

    setattr(store, verb, failing)


def mend(store: Any) -> None:
    for verb in ("get", "now", "read", "transact", "scan", "append"):
        vars(store).pop(verb, None)


def busy_stage() -> Stage:
    """Seven tasks, claimed and shown; then a person closes all of them, and the fleet claims one more."""
    stage = Stage()
    for task in TASKS[1:]:
        stage.board.open_issue(task)
    for task in TASKS:
        stage.here.claim(task)
    stage.here.sync()
    for task in TASKS:
        stage.board.close(task)
    stage.board.open_issue("GH-9")
    stage.here.claim("GH-9")
    return stage


@pytest.mark.parametrize("verb", ["now", "get", "read", "transact"])
def test_a_shared_store_that_is_away_is_told_and_the_next_cycle_does_it_all(verb: str) -> None:
    stage = busy_stage()
    cursor = stage.here.engine.status().cursor
    break_store(stage.here.store, verb)
    report = stage.here.sync()
    assert isinstance(report.broken, StoreUnavailable)
    assert not report.clean
    status = stage.here.engine.status()
    assert (status.cursor, status.failed_in_row, status.errors[-1]["task"]) == (cursor, 1, "(store)")
    assert stage.here.counter("failures") <= 3
    mend(stage.here.store)
    stage.pass_s(10)
    assert stage.here.sync().clean
    assert {stage.here.state(task).status for task in TASKS} == {COMPLETE}
    assert stage.board.record("GH-9").status == CLAIMED


def test_a_store_that_stays_away_slows_the_engine_down() -> None:
    stage = busy_stage()
    break_store(stage.here.store, "get")
    for _ in range(5):
        assert stage.here.sync().broken is not None
    lists = stage.calls("list")
    assert stage.here.sync().skipped_until_ms == stage.machine.now().at_ms + 60_000
    assert stage.calls("list") == lists


@pytest.mark.parametrize("error", [StoreUnavailable, Corrupt])
def test_one_task_that_cannot_be_read_does_not_stop_the_rest(error: type[Exception]) -> None:
    stage = busy_stage()
    break_store(stage.here.store, "get", only="GH-3", error=error)
    report = stage.here.sync()
    assert report.broken is None
    assert {one["task"] for one in report.errors} == {"GH-3"}
    mend(stage.here.store)
    assert [stage.here.state(task).status for task in ("GH-2", "GH-3", "GH-4")] == [COMPLETE, CLAIMED, COMPLETE]
    stage.pass_s(10)
    stage.here.sync()
    assert stage.here.state("GH-3").status == COMPLETE


def test_without_its_own_store_the_engine_asks_nobody_and_forgets_nothing() -> None:
    stage = busy_stage()
    before, calls = stage.here.engine.status(), len(stage.board.calls)
    break_store(stage.here.local, "get")
    assert isinstance(stage.here.sync().broken, StoreUnavailable)
    mend(stage.here.local)
    assert len(stage.board.calls) == calls
    assert stage.here.engine.status() == before


def test_a_status_that_cannot_be_kept_is_told() -> None:
    stage = busy_stage()
    break_store(stage.here.local, "transact", only="board-status")
    assert isinstance(stage.here.sync().broken, StoreUnavailable)
    mend(stage.here.local)
    stage.here.sync()
    assert stage.board.record("GH-9").status == CLAIMED


@pytest.mark.parametrize("after", range(16))
def test_a_cycle_that_is_stopped_ends_before_the_next_item_and_the_next_cycle_does_the_rest(after: int) -> None:
    stage = busy_stage()
    asked = [0]

    def stop() -> bool:
        asked[0] += 1
        return asked[0] > after

    report = stage.here.engine.sync(stop=stop)
    assert report.stopped == (asked[0] > after)
    assert report.clean != report.stopped
    assert asked[0] <= after + 1
    assert len(report.pulled) <= after
    if report.stopped:
        assert stage.here.engine.status().failed_in_row == 0
    assert stage.here.sync().clean
    assert {stage.here.state(task).status for task in TASKS} == {COMPLETE}
    assert stage.board.record("GH-9").status == CLAIMED
    assert stage.here.sync().pushed == {}


def test_a_stop_in_a_full_list_leaves_what_was_deleted_to_the_next_one() -> None:
    stage = busy_stage()
    stage.board.delete(TASK)
    stage.pass_s(7 * 3600)
    assert stage.here.engine.sync(stop=lambda: True).stopped
    assert stage.here.sync().gone == (TASK,)


def records_after_a_stop() -> list[bool]:
    """A person deletes all state comments, a signal comes in the middle of the push: which are back after the next?"""
    stage = Stage()
    for task in TASKS[1:]:
        stage.board.open_issue(task)
    for task in TASKS:
        stage.here.work(COMPLETE, task=task)
    stage.here.sync()
    for task in TASKS:
        stage.board.plant(task, None)
    left = iter(range(len(TASKS) + 2))
    assert stage.here.engine.sync(stop=lambda: next(left, None) is None).stopped
    stage.here.sync()
    return [stage.board.item(task).record is not None for task in TASKS]


def test_what_only_the_board_has_told_survives_a_stop() -> None:
    assert all(records_after_a_stop())


def test_a_cycle_that_was_cut_off_and_counts_as_whole_would_lose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Cycle.finished

    def hasty(self: Cycle) -> Any:
        vars(self).update(_broken=None, _stopped=False)
        return whole(self)

    monkeypatch.setattr(Cycle, "finished", hasty)
    monkeypatch.setattr(Cycle, "report", lambda self, **rest: SyncReport(board="", actions={}, pushed={}, stopped=True))
    assert not all(records_after_a_stop())

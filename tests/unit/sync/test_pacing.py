"""What cannot be done now waits, in a queue that survives a crash; nothing sleeps; failures slow the engine down."""

from __future__ import annotations

import pytest

from sharedstate.sync.board import Failed, Fault, Parked
from sharedstate.sync.memory import ERRORS_MAX
from sharedstate.tasks.model import CLAIMED, COMPLETE
from sharedstate.testing.board import Trouble
from tests.unit.sync.stage import HOUR_S, MINUTE_S, TASK, Stage

NO_ANSWER = Failed(kind="transient", detail="502")
LOST_ANSWER = Trouble(answer=Failed(kind="transient", detail="502", applied=True), applied=True)


class Killed(BaseException):
    """The process is killed."""


def test_a_failed_push_waits_longer_each_time_and_is_counted_as_a_retry() -> None:
    stage = Stage()
    stage.here.claim()
    stage.break_next(Trouble(answer=NO_ANSWER), verb="write", times=3)
    waits = []
    for _ in range(3):
        stage.here.sync()
        waits.append(stage.here.engine.waiting()[0].not_before_ms - stage.machine.now().at_ms)
        stage.pass_s(waits[-1] / 1000)
    assert all(whole_ms / 2 <= wait <= whole_ms for wait, whole_ms in zip(waits, (5_000, 10_000, 20_000), strict=True))
    assert stage.here.sync().pushed
    assert stage.here.counter("retries") == 3
    assert stage.here.engine.waiting() == ()


def test_nothing_is_sent_before_its_time() -> None:
    stage = Stage()
    stage.here.claim()
    stage.break_next(Trouble(answer=NO_ANSWER), verb="write")
    stage.here.sync()
    writes = stage.calls("write")
    wait_ms = stage.here.engine.waiting()[0].not_before_ms - stage.machine.now().at_ms
    stage.pass_s(wait_ms / 1000 - 1)
    stage.here.renew()
    stage.here.sync()
    assert stage.calls("write") == writes
    stage.pass_s(1)
    stage.here.sync()
    assert stage.calls("write") == writes + 1


@pytest.mark.parametrize("kind", ["forbidden", "moved", "locked"])
def test_what_is_hopeless_is_tried_once_an_hour(kind: Fault) -> None:
    stage = Stage()
    stage.here.claim()
    stage.break_next(Trouble(answer=Failed(kind=kind, detail="no")), verb="write", times=99)
    for _ in range(50):
        stage.here.sync()
        stage.pass_s(MINUTE_S)
    assert stage.calls("write") == 1
    stage.pass_s(HOUR_S)
    stage.here.sync()
    assert stage.calls("write") == 2


def test_a_locked_issue_does_not_stop_the_others() -> None:
    stage = Stage()
    stage.board.open_issue("GH-2")
    stage.board.lock(TASK)
    stage.here.claim()
    stage.here.claim("GH-2")
    report = stage.here.sync()
    assert [error["task"] for error in report.errors] == [TASK]
    assert stage.board.record("GH-2").status == CLAIMED


def test_a_rate_limit_parks_what_is_left_and_sends_nothing_more() -> None:
    stage = Stage()
    for number in range(2, 7):
        stage.board.open_issue(f"GH-{number}")
        stage.here.claim(f"GH-{number}")
    until_ms = stage.machine.now().at_ms + 90_000
    stage.break_next(Trouble(answer=Parked(until_ms=until_ms, reason="limit")), verb="write", task="GH-3")
    report = stage.here.sync()
    assert list(report.pushed) == ["GH-2"]
    assert report.parked_until_ms == until_ms
    assert {one.task for one in stage.here.engine.waiting()} == {f"GH-{number}" for number in range(3, 7)}
    assert stage.calls("write") == 2
    stage.pass_s(89)
    assert stage.here.sync().skipped_until_ms == until_ms
    stage.pass_s(1)
    assert sorted(stage.here.sync().pushed) == [f"GH-{number}" for number in range(3, 7)]
    assert stage.here.counter("retries") == 0


def test_a_write_that_waits_for_its_turn_holds_up_no_other() -> None:
    stage = Stage()
    for number in range(2, 7):
        stage.board.open_issue(f"GH-{number}")
        stage.here.claim(f"GH-{number}")
    until_ms = stage.machine.now().at_ms + 3_000
    turn = Parked(until_ms=until_ms, reason="one at a time", alone=True)
    early = {"GH-3", "GH-5"}
    stage.here.seat.plan = lambda call: Trouble(answer=turn) if call.verb == "write" and call.task in early else None
    report = stage.here.sync()
    assert sorted(report.pushed) == ["GH-2", "GH-4", "GH-6"]
    assert report.parked_until_ms == until_ms
    assert {one.task for one in stage.here.engine.waiting()} == {"GH-3", "GH-5"}
    assert stage.here.sync().skipped_until_ms == 0
    assert (stage.here.counter("rate_limited"), stage.here.counter("failures")) == (1, 0)
    early.clear()
    stage.pass_s(3)
    assert sorted(stage.here.sync().pushed) == ["GH-3", "GH-5"]
    assert list(stage.here.engine.waiting()) == []


def test_the_queue_survives_a_crash() -> None:
    stage = Stage()
    stage.here.claim()
    stage.break_next(Trouble(answer=NO_ANSWER), verb="write")
    stage.here.sync()
    stage.here.new_engine()
    assert stage.here.engine.waiting()[0].task == TASK
    assert stage.here.sync().pushed == {}
    stage.pass_s(5)
    assert stage.here.sync().pushed[TASK][0] == "record"


def test_work_done_offline_is_pushed_afterwards() -> None:
    stage = Stage()
    stage.break_next(Trouble(answer=NO_ANSWER), verb="list", times=3)
    stage.here.claim()
    for _ in range(3):
        stage.here.sync()
    stage.here.release(COMPLETE)
    stage.here.sync()
    assert stage.board.record(TASK).status == COMPLETE


def test_five_failed_cycles_in_a_row_slow_the_engine_down_until_the_first_clean_one() -> None:
    stage = Stage()
    stage.break_next(Trouble(answer=NO_ANSWER), verb="list", times=7)
    pauses = []
    for _ in range(7):
        stage.here.sync()
        status = stage.here.engine.status()
        pauses.append(max(0, status.resume_ms - stage.machine.now().at_ms))
        stage.pass_s(pauses[-1] / 1000 or 1)
    assert pauses == [0, 0, 0, 0, 60_000, 120_000, 240_000]
    assert stage.here.sync().clean
    status = stage.here.engine.status()
    assert (status.failed_in_row, status.resume_ms) == (0, 0)


def test_the_pause_after_failures_is_an_hour_at_most_and_nothing_is_sent_in_it() -> None:
    stage = Stage()
    stage.break_next(Trouble(answer=NO_ANSWER), verb="list", times=40)
    for _ in range(40):
        stage.here.sync()
        stage.pass_s(HOUR_S)
        assert stage.here.engine.status().resume_ms <= stage.machine.now().at_ms
    assert stage.calls("list") == 40
    stage.here.seat.plan = None
    assert stage.here.sync().clean


def test_a_cycle_within_the_pause_calls_nobody() -> None:
    stage = Stage()
    stage.break_next(Trouble(answer=NO_ANSWER), verb="list", times=5)
    for _ in range(5):
        stage.here.sync()
    calls = len(stage.board.calls)
    assert stage.here.sync().skipped_until_ms == stage.here.engine.status().resume_ms
    assert len(stage.board.calls) == calls


def test_the_last_twenty_errors_are_kept() -> None:
    stage = Stage()
    stage.break_next(Trouble(answer=NO_ANSWER), verb="list", times=30)
    for _ in range(30):
        stage.here.sync()
        stage.pass_s(HOUR_S)
    errors = stage.here.engine.status().errors
    assert len(errors) == ERRORS_MAX
    assert errors[-1]["task"] == "(list)"
    assert stage.here.counter("failures") == 30


def test_counters_go_on_over_processes() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.here.new_engine()
    stage.here.release(COMPLETE)
    stage.here.sync()
    status = stage.here.engine.status()
    assert status.cycles == 2
    assert (status.counters["pulled"], status.counters["pushed"]) == (2, 6)


def test_a_dry_run_reads_the_board_and_writes_nothing_anywhere() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.claim("local-1")
    stage.board.open_issue("GH-2", ignored=True)
    before = (stage.here.store.writes, stage.here.local.writes, len(stage.board.changes), stage.here.events("ignored"))
    report = stage.here.sync(dry_run=True)
    assert report.dry_run
    assert report.actions == {"GH-2": ["ignore"]}
    assert report.pushed == {TASK: ["record", "labels", "card"]}
    after = (stage.here.store.writes, stage.here.local.writes, len(stage.board.changes), stage.here.events("ignored"))
    assert after == before
    assert stage.here.sync().pushed[TASK] == ["record", "labels", "card"]


@pytest.mark.parametrize("verb", ["list", "get", "write", "label", "move"])
def test_a_dry_run_that_meets_trouble_writes_nothing_either(verb: str) -> None:
    stage = Stage()
    there = stage.join("there")
    there.claim()
    there.sync()
    stage.here.claim()
    stage.here.claim("local-1")
    before = (stage.here.store.writes, stage.here.local.writes, len(stage.board.changes))
    entries = len(list(stage.here.store.read("events")))
    stage.break_next(Trouble(answer=Parked(until_ms=10**15, reason="limit")), verb=verb, times=9)
    stage.here.sync(dry_run=True)
    assert (stage.here.store.writes, stage.here.local.writes, len(stage.board.changes)) == before
    assert len(list(stage.here.store.read("events"))) == entries


@pytest.mark.parametrize("verb", ["write", "label", "move"])
@pytest.mark.parametrize("applied", [False, True])
def test_a_crash_at_any_write_leaves_neither_a_duplicate_nor_a_false_conflict(verb: str, applied: bool) -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.here.release(COMPLETE)
    stage.break_next(Trouble(death=Killed(), applied=applied), verb=verb)
    with pytest.raises(Killed):
        stage.here.sync()
    stage.here.new_engine()
    writes = stage.board.writes()
    report = stage.here.sync()
    assert report.conflicts == ()
    assert stage.board.record(TASK).revision == 2
    item = stage.board.item(TASK)
    assert (item.labels, item.card.status) == (frozenset(), "done")
    assert stage.board.writes() - writes == {"write": 3, "label": 2, "move": 1}[verb] - applied


@pytest.mark.parametrize("verb", ["write", "label", "move"])
def test_a_lost_answer_is_no_conflict_though_the_list_does_not_show_it_yet(verb: str) -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.here.sync()
    stage.here.release(COMPLETE)
    stage.break_next(LOST_ANSWER, verb=verb)
    stage.here.sync()
    stage.pass_s(MINUTE_S)
    stage.here.seat.plan = lambda call: Trouble(lag=5) if call.verb == "list" else None
    report = stage.here.sync()
    assert report.conflicts == ()
    assert stage.board.record(TASK).revision == 2
    assert stage.board.item(TASK).card.status == "done"


def test_a_crash_between_a_persons_word_and_the_memory_of_it_repeats_nothing() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.board.close(TASK, reason="not_planned")
    whole = stage.here.local.transact

    def dying(collection: str, *rest: object, **more: object) -> object:
        if collection == "board-agreed":
            raise Killed
        return whole(collection, *rest, **more)  # type: ignore[arg-type] # reason: forwarded as it came

    stage.here.local.transact = dying  # type: ignore[method-assign,assignment] # reason: a process that dies here
    with pytest.raises(Killed):
        stage.here.sync()
    stage.here.local.transact = whole  # type: ignore[method-assign] # reason: the next process
    stage.here.new_engine()
    assert stage.here.sync().actions == {}
    assert len(stage.here.events("overridden")) == 1
    assert stage.board.item(TASK).card.status == "cancelled"


def test_losing_the_memory_costs_requests_and_no_state() -> None:
    stage = Stage()
    stage.here.claim()
    stage.here.sync()
    stage.here.local = type(stage.here.local)(stage.here.host)
    stage.here.new_engine()
    before = stage.board.item(TASK)
    report = stage.here.sync()
    assert report.conflicts == ()
    assert stage.board.item(TASK) == before

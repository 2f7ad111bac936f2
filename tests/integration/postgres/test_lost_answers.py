"""Cut at any byte, late requests, answers that never come: nothing is done twice, nothing that was done is denied."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from sharedstate.errors import StoreUnavailable
from sharedstate.store import Decision, Document, Entry, Snapshot
from sharedstate.testing.proxy import Direction
from sharedstate_adapters.postgres.line import Line
from sharedstate_adapters.postgres.transitions import Transition
from tests.integration.postgres.conftest import Counted, Lane
from tests.integration.postgres.stores import check_counts, counted_on, postgres_store

BYTES_MAX = 20_000
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def cut_everywhere(lane: Lane, direction: Direction, act: Callable[[int], Any], *, step: int = 1) -> int:
    """Do `act` again and again, each time with a cut `step` bytes later, until a whole one passes; returns how often.

    The connection is open before, so that every cut is in the middle of the operation itself.
    """
    for number, after in enumerate(range(0, BYTES_MAX, step)):
        lane.store.get("counters", "warm-up")
        lane.proxy.cut(direction, after=after)
        act(number)
        if lane.proxy.relax():
            return number + 1
    raise AssertionError("an operation without an end")


@pytest.mark.parametrize("direction,step", [("up", 9), ("down", 3)])
def test_a_transition_that_is_cut_anywhere_happens_once_and_is_told(
    lane: Lane, way: str, direction: Direction, step: int, counted: Counted
) -> None:
    def act(number: int) -> None:
        assert lane.store.transact("counters", "c", counted_on) == number + 1

    done = cut_everywhere(lane, direction, act, step=step)
    assert done > (100 if way == "locked" else 40), "the cuts met the whole conversation"
    assert lane.proxy.cuts == done - 1
    check_counts(lane.judge, done)
    counted(done)


@pytest.mark.parametrize("direction,step", [("up", 9), ("down", 1)])
def test_an_append_that_is_cut_anywhere_happens_once_and_tells_its_sequence(
    lane: Lane, direction: Direction, step: int, counted: Counted
) -> None:
    lane.store.append("log", {"n": 0})

    def act(number: int) -> None:
        assert lane.store.append("log", {"n": number + 1}) == number + 2

    done = cut_everywhere(lane, direction, act, step=step)
    assert done > 60
    assert [entry.value["n"] for entry in lane.judge.read("log")] == list(range(done + 1))
    counted(done)


def test_loading_entries_that_is_cut_anywhere_happens_once(lane: Lane, counted: Counted) -> None:
    lane.store.now()

    def act(number: int) -> None:
        entry = Entry(sequence=number + 1, at_ms=1_700_000_000_000, value={"n": number}, record="t/k@1")
        assert lane.store.load_entries("log", [entry]) == number + 1

    done = cut_everywhere(lane, "down", act, step=3)
    assert [entry.value["n"] for entry in lane.judge.read("log")] == list(range(done))
    counted(done)


@pytest.mark.usefixtures("way")
def test_logged_refusals_and_deletions_survive_lost_answers(lane: Lane, counted: Counted) -> None:
    """Those that do not raise the revision: a comparison of revisions would not notice them."""

    def logs(snapshot: Snapshot) -> Decision[int]:
        events: tuple[Document, ...] = ({"type": "refused"},)
        return Decision(result=snapshot.revision, events=events)

    def act(number: int) -> None:
        del number
        assert lane.store.transact("counters", "absent", logs) == 0

    done = cut_everywhere(lane, "down", act, step=3)
    assert len(list(lane.judge.read("events"))) == done, "a refusal was logged twice"
    counted(done)


def test_a_request_that_arrives_after_its_retry_has_no_effect(lane: Lane, way: str, counted: Counted) -> None:
    """Under the lock the first try's session is still there: the retry waits for it, and it never commits."""
    patient = postgres_store(lane.url, lock_timeout_ms=1_500)
    at_once, locked = (0, 5, 40, 100, 150, 200, 250, 300, 350), (0, 40, 400, 700, 900, 1_000, 1_200, 1_400, 1_600)
    for count, after in enumerate(locked if way == "locked" else at_once, start=1):
        patient.get("counters", "warm-up")
        lane.proxy.hold(after=after)
        assert patient.transact("counters", "c", counted_on) == count
        lane.proxy.deliver()
        lane.proxy.relax()
        check_counts(lane.judge, count)
    assert lane.proxy.cuts >= 8
    counted(9)


def test_an_append_that_arrives_after_its_retry_has_no_effect(lane: Lane, counted: Counted) -> None:
    for count, after in enumerate((0, 5, 100, 300, 500, 600, 700), start=1):
        lane.store.get("counters", "warm-up")
        lane.proxy.hold(after=after)
        assert lane.store.append("log", {"n": count}) == count
        lane.proxy.deliver()
        lane.proxy.relax()
        assert [entry.value["n"] for entry in lane.judge.read("log")] == list(range(1, count + 1))
    counted(7)


def test_a_request_that_arrives_after_its_sender_gave_up_is_refused(lane: Lane, way: str, counted: Counted) -> None:
    """What was reported as failed must not happen afterwards: the session is ended, the last moment is over."""
    hasty = postgres_store(lane.url, lock_timeout_ms=600)
    lane.judge.append("log", {"n": 0})
    for after in (0, 300, 900) if way == "locked" else (0, 150, 300):
        calls: tuple[Callable[[], object], ...] = (
            lambda: hasty.transact("counters", "c", counted_on),
            lambda: hasty.append("log", {"n": 1}),
        )
        for call in calls:
            lane.proxy.shut = False
            hasty.append("warm", {})
            lane.proxy.hold(after=after)
            lane.proxy.shut = True
            try:
                call()
            except StoreUnavailable:
                time.sleep(0.65)
                lane.proxy.deliver()
            lane.proxy.relax()
            lane.proxy.shut = False
            whole = after >= 700  # an append is shorter: it passed
            check_counts(lane.judge, 0)
            assert len(list(lane.judge.read("log"))) == 1 or whole
    counted(14)


@pytest.mark.parametrize("again", ["counts", "refuses"])
def test_a_request_that_arrives_between_the_question_for_it_and_the_next_try_changes_nothing(
    lane: Lane, again: str, monkeypatch: pytest.MonkeyPatch, counted: Counted
) -> None:
    """Else its effect would be seen as somebody else's, and the answer be that of another decision."""
    asked = Transition._was_applied

    def asks(self: Transition[Any], line: Line) -> bool:
        found = asked(self, line)
        if lane.proxy.cuts:
            lane.proxy.deliver()
        return found

    def once(snapshot: Snapshot) -> Decision[int]:
        if again == "refuses" and snapshot.revision > 1:
            return Decision(result=0)
        return counted_on(snapshot)

    monkeypatch.setattr(Transition, "_was_applied", asks)
    assert lane.store.transact("counters", "c", once) == 1  # remembered: the next one is one message
    lane.proxy.hold(after=0)
    assert lane.store.transact("counters", "c", once) == 2
    assert lane.proxy.cuts == 1
    check_counts(lane.judge, 2)
    counted(2)


def test_a_server_that_never_answers_is_given_up_in_time_and_the_doubt_is_said(lane: Lane, way: str) -> None:
    """Under the lock nothing is changed before the first answer."""
    hasty, at_once = postgres_store(lane.url, lock_timeout_ms=1_000), way == "at once"
    hasty.append("warm", {})
    calls: list[tuple[Callable[[], object], bool]] = [
        (lambda: hasty.get("counters", "c"), False),
        (lambda: hasty.transact("counters", "c", counted_on), at_once),
        (lambda: hasty.append("log", {"n": 1}), True),
        (lambda: list(hasty.scan("counters")), False),
    ]
    for number, (call, doubtful) in enumerate(calls):
        hasty.append("warm", {})
        lane.proxy.silent = True
        began_s = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert time.monotonic() - began_s < 3.6, number
        assert ("not known" in str(caught.value)) == doubtful, "only these could change something"
        lane.proxy.silent = False
        lane.proxy.drop_connections()
    check_counts(lane.judge, int(at_once))
    assert [entry.value for entry in lane.judge.read("log")] == [{"n": 1}], "that is what the doubt was about"


@pytest.mark.usefixtures("way")
def test_a_commit_whose_answer_hangs_is_found_by_another_connection(lane: Lane) -> None:
    """Half open: the server has committed, the connection is dumb. Half of the time is kept for looking."""
    store = postgres_store(lane.url, lock_timeout_ms=2_000)

    def goes_dumb(snapshot: Snapshot) -> Decision[int]:
        lane.proxy.silent = True
        threading.Timer(0.3, lambda: setattr(lane.proxy, "silent", False)).start()
        return counted_on(snapshot)

    assert store.transact("counters", "c", goes_dumb) == 1
    check_counts(lane.judge, 1)


def test_dropped_hints_cost_one_look(lane: Lane) -> None:
    """Every NOTIFY is swallowed; the entry is seen all the same, and time-outs are kept."""
    lane.store.append("log", {"n": 1})
    assert lane.store.watch("log", after=0, timeout_s=5) is True

    def goes_on() -> None:
        time.sleep(0.2)
        lane.proxy.silent = True
        lane.judge.append("log", {"n": 2})
        time.sleep(0.3)
        lane.proxy.silent = False

    worker = threading.Thread(target=goes_on)
    worker.start()
    began_s = time.monotonic()
    assert lane.store.watch("log", after=1, timeout_s=30) is True
    assert time.monotonic() - began_s < 4
    worker.join()
    began_s = time.monotonic()
    assert lane.store.watch("log", after=2, timeout_s=0.3) is False
    assert time.monotonic() - began_s < 1.5


def test_a_hint_wakes_at_once(lane: Lane) -> None:
    woken: list[float] = []
    lane.store.append("log", {"n": 0})

    def watches() -> None:
        for number in range(1, 11):
            assert lane.store.watch("log", after=number, timeout_s=30) is True
            woken.append(time.monotonic())

    watcher = threading.Thread(target=watches)
    watcher.start()
    told: list[float] = []
    for number in range(1, 11):
        time.sleep(0.05)
        told.append(time.monotonic())
        lane.judge.append("log", {"n": number})
    watcher.join(30)
    late_s = sorted(after - before for before, after in zip(told, woken, strict=True))
    assert late_s[5] < 0.3, "hints come sooner than the look of each second"

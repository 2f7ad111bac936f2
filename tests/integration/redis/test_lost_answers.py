"""Cut at every byte, late requests, answers that never come: nothing is done twice, nothing that was done is denied."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sharedstate.errors import OutcomeUnknown, StoreBusy, StoreUnavailable
from sharedstate.store import KEEP, Decision, Document, Entry, Snapshot
from sharedstate.testing.contracts.steps import removes, writes
from sharedstate.testing.proxy import Direction
from tests.integration.redis.conftest import Counted, Lane
from tests.integration.redis.stores import check_counts, counted_on, redis_store

BYTES_MAX = 20_000
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def cut_at_every_byte(lane: Lane, direction: Direction, act: Callable[[int], Any]) -> int:
    """Do `act` again and again, each time with a cut one byte later, until a whole one passes; returns how often.

    The connection is open before, so that every cut is in the middle of the operation itself.
    """
    for after in range(BYTES_MAX):
        lane.store.get("counters", "warm-up")
        lane.proxy.cut(direction, after=after)
        act(after)
        if lane.proxy.relax():
            return after + 1
    raise AssertionError("an operation without an end")


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_transition_that_is_cut_at_any_byte_happens_once_and_is_told(
    lane: Lane, direction: Direction, remembered: bool, counted: Counted
) -> None:
    """With the record in memory it is one request, else one in vain is before it."""

    def act(after: int) -> None:
        if not remembered:
            lane.store._memory.clear()
        assert lane.store.transact("counters", "c", counted_on) == after + 1

    done = cut_at_every_byte(lane, direction, act)
    least = {("up", True): 450, ("up", False): 600, ("down", True): 15, ("down", False): 80}
    assert done > least[direction, remembered], "the cuts met the whole conversation"
    assert lane.proxy.cuts == done - 1
    check_counts(lane.judge, done)
    counted(done)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_an_append_that_is_cut_at_any_byte_happens_once_and_tells_its_sequence(
    lane: Lane, direction: Direction, counted: Counted
) -> None:
    lane.store.append("log", {"n": 0})

    def act(after: int) -> None:
        assert lane.store.append("log", {"n": after + 1}) == after + 2

    done = cut_at_every_byte(lane, direction, act)
    assert done > (200 if direction == "up" else 8)
    assert [entry.value["n"] for entry in lane.judge.read("log")] == list(range(done + 1))
    counted(done)


def test_loading_entries_that_is_cut_at_any_byte_happens_once(lane: Lane, counted: Counted) -> None:
    lane.store.now()

    def act(after: int) -> None:
        entry = Entry(sequence=after + 1, at_ms=1_700_000_000_000, value={"n": after}, record="t/k@1")
        assert lane.store.load_entries("log", [entry]) == after + 1

    done = cut_at_every_byte(lane, "down", act)
    assert [entry.value["n"] for entry in lane.judge.read("log")] == list(range(done))
    counted(done)


def test_deletions_beats_and_logged_refusals_survive_lost_answers(lane: Lane, counted: Counted) -> None:
    """Those that do not raise the revision: a comparison of revisions alone would not notice them."""

    def logs(snapshot: Snapshot) -> Decision[int]:
        events: tuple[Document, ...] = ({"type": "refused"},)
        return Decision(result=snapshot.revision, events=events)

    rounds = 0

    def act(after: int) -> None:
        nonlocal rounds
        rounds = after + 1
        assert lane.store.transact("counters", "absent", logs) == 0

    done = cut_at_every_byte(lane, "down", act)
    assert done == rounds
    assert len(list(lane.judge.read("events"))) == done, "a refusal was logged twice"
    counted(done)


def test_a_request_that_arrives_after_its_retry_has_no_effect(lane: Lane, counted: Counted) -> None:
    for count in range(1, 100):
        lane.store.get("counters", "warm-up")
        lane.proxy.hold(after=count * 17)
        assert lane.store.transact("counters", "c", counted_on) == count
        assert lane.store.append("log", {"n": count}) == count
        if lane.proxy.relax():
            break
        lane.proxy.deliver()
        check_counts(lane.judge, count)
        assert len(list(lane.judge.read("log"))) == count
    else:
        raise AssertionError("the conversation has no end")
    assert lane.proxy.cuts > 40
    counted(2 * count)


def test_a_request_that_arrives_after_its_sender_gave_up_is_refused(lane: Lane, counted: Counted) -> None:
    """What was reported as failed must not happen afterwards."""
    hasty = redis_store(lane.url, lock_timeout_ms=400)
    lane.judge.transact("warm", "up", lambda _: Decision(result=None, write={}))  # the server knows the script from now
    for after in (0, 1, 50, 100, 150, 200, 250, 300, 350, 400):
        lane.proxy.shut = False
        hasty.get("counters", "c")
        lane.proxy.hold(after=after)
        lane.proxy.shut = True
        with pytest.raises((StoreUnavailable, StoreBusy)):
            hasty.transact("counters", "c", counted_on)
        time.sleep(0.45)
        lane.proxy.deliver()
        lane.proxy.relax()
        check_counts(lane.judge, 0)
        assert list(lane.judge.read("log")) == []
    counted(10)


def test_a_request_that_arrives_after_its_sender_was_told_of_another_has_no_effect(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the other has gone again, so that all is as it was when the request was made."""

    def creates(snapshot: Snapshot) -> Decision[bool]:
        if snapshot.value is not None:
            return Decision(result=False)
        return Decision(result=True, write={"by": "me"})

    def naps(tries: int) -> float:
        if not tries:  # the request is under way, and will be sent again
            lane.judge.transact("tasks", "T-1", writes({"by": "other"}))
        return 0.0

    assert lane.store.get("tasks", "T-1") is None
    monkeypatch.setattr(lane.store._wire, "_nap_s", naps)
    lane.proxy.hold(after=0)
    assert lane.store.transact("tasks", "T-1", creates) is False
    lane.judge.transact("tasks", "T-1", removes)
    assert lane.proxy.cuts == 1
    lane.proxy.deliver()
    assert lane.judge.get("tasks", "T-1") is None, "who was refused has it"


@pytest.mark.parametrize("is_away", [False, True])
def test_an_overtaken_request_that_arrives_at_the_last_moment_is_told_as_done_or_as_doubt(
    lane: Lane, monkeypatch: pytest.MonkeyPatch, is_away: bool
) -> None:
    def creates(snapshot: Snapshot) -> Decision[bool]:
        return Decision(result=snapshot.value is None, write={"by": "me"} if snapshot.value is None else KEEP)

    def naps(tries: int) -> float:
        if not tries:
            lane.judge.transact("tasks", "T-1", writes({"by": "other"}))
        return 0.0

    ask = lane.store._wire.ask

    def arrives_first(words: Sequence[Any], *rest: Any, **named: Any) -> Any:
        if words[0] == "SET":
            lane.judge.transact("tasks", "T-1", removes)
            lane.proxy.deliver()
        if is_away:
            raise StoreUnavailable("away")
        return ask(words, *rest, **named)

    assert lane.store.get("tasks", "T-1") is None
    monkeypatch.setattr(lane.store._wire, "_nap_s", naps)
    monkeypatch.setattr(lane.store._wire, "ask", arrives_first)
    lane.proxy.hold(after=0)
    if is_away:
        with pytest.raises(OutcomeUnknown):
            lane.store.transact("tasks", "T-1", creates)
    else:
        assert lane.store.transact("tasks", "T-1", creates) is True
    held = lane.judge.get("tasks", "T-1")
    assert held is not None
    assert held.value == {"by": "me"}


def test_a_server_that_never_answers_is_given_up_in_time_and_the_doubt_is_said(lane: Lane) -> None:
    hasty = redis_store(lane.url, lock_timeout_ms=1_000)
    lane.judge.transact("warm", "up", lambda _: Decision(result=None, write={}))
    lane.judge.append("warm", {})  # the server knows both scripts from now
    hasty.get("counters", "c")
    calls: list[Callable[[], object]] = [
        lambda: hasty.get("counters", "c"),
        lambda: hasty.transact("counters", "c", counted_on),
        lambda: hasty.append("log", {"n": 1}),
        lambda: list(hasty.scan("counters")),
        lambda: list(hasty.read("events")),
        hasty.now,
        hasty.collections,
    ]
    for number, call in enumerate(calls):
        lane.proxy.silent = True
        began_s = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert time.monotonic() - began_s < 1.6, number
        assert ("not known" in str(caught.value)) == (number in (1, 2)), "only these could change something"
        lane.proxy.silent = False
        lane.proxy.drop_connections()
        hasty.get("counters", "c")
    check_counts(lane.judge, 1)  # both had been carried out: that is what the doubt was about
    assert [entry.value for entry in lane.judge.read("log")] == [{"n": 1}]


def test_a_connection_that_died_unnoticed_costs_a_part_of_the_time_only(lane: Lane) -> None:
    store = redis_store(lane.url, lock_timeout_ms=2_000)
    assert store.transact("counters", "c", counted_on) == 1
    lane.proxy.silent = True  # what is open now will never answer again

    def wakes() -> None:
        lane.proxy.silent = False

    timer = threading.Timer(0.3, wakes)
    timer.start()
    assert store.transact("counters", "c", counted_on) == 2
    timer.join()
    check_counts(lane.judge, 2)


def test_a_watch_returns_although_every_hint_was_dropped(lane: Lane) -> None:
    """The connection that waits in the server goes dumb; the entry is seen all the same, and time-outs are kept."""
    lane.store.append("log", {"n": 1})
    assert lane.store.watch("log", after=0, timeout_s=5) is True

    def goes_on() -> None:
        time.sleep(0.3)
        lane.proxy.silent = True
        lane.judge.append("log", {"n": 2})
        time.sleep(1.5)
        lane.proxy.silent = False

    worker = threading.Thread(target=goes_on)
    worker.start()
    began_s = time.monotonic()
    assert lane.store.watch("log", after=1, timeout_s=30) is True
    assert time.monotonic() - began_s < 10
    worker.join()
    began_s = time.monotonic()
    assert lane.store.watch("log", after=2, timeout_s=0.5) is False
    assert time.monotonic() - began_s < 1.5

"""Work done is told once and as it is; health tells every failure."""

from __future__ import annotations

from typing import Any

import pytest

from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate.hub.health import examine
from sharedstate.hub.model import HubEvent
from sharedstate.hub.recording import Recording
from sharedstate.hub.service import Hub
from sharedstate.store import Versioned
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(FakeHost())


@pytest.fixture
def hub(store: MemoryStore) -> Hub:
    return Hub(shared=store, local=store, host=store.host, writer="w")


def told(hub: Hub, kind: str) -> list[dict[str, Any]]:
    events = [one.body for one in hub.subscribe(timeout_s=0) if isinstance(one, HubEvent)]
    return [dict(body) for body in events if body["type"] == kind]


def test_a_recorded_task_stands_in_the_context_and_in_the_events(hub: Hub, store: MemoryStore) -> None:
    hub.update("ada", {"mood": "calm"}, status="working")
    context = Recording(hub, store).task("ada", "T-1", "complete", {"files": ["a.py"], "n": 1.5})
    assert (context.status, context.context["mood"]) == ("working", "calm")
    assert context.context["last_task"] == {"task": "T-1", "status": "complete"}
    assert told(hub, "task_recorded") == [
        {
            "type": "task_recorded",
            "agent": "ada",
            "task": "T-1",
            "status": "complete",
            "result": {"files": ["a.py"], "n": 1.5},
        }
    ]


def test_a_recorded_proposal_is_told_too(hub: Hub, store: MemoryStore) -> None:
    Recording(hub, store).proposal("ada", "P-1", "rejected", "too large")
    assert told(hub, "proposal_recorded")[0]["result"] == "too large"


@pytest.mark.parametrize(
    "result", [object(), float("inf"), {1: 2}, {"x": "y" * 40_000}, "\ud800", b"bytes"], ids=range(6)
)
def test_a_result_that_is_not_json_is_refused(hub: Hub, store: MemoryStore, result: Any) -> None:
    with pytest.raises(InvalidInput):
        Recording(hub, store).task("ada", "T-1", "complete", result)
    assert store.writes == 0


def test_a_result_that_no_journal_would_take_is_refused_before_anything_is_told(hub: Hub, store: MemoryStore) -> None:
    refused = 0
    for depth in range(55, 70):
        result: Any = 1
        for _ in range(depth):
            result = [result]
        before = store.writes
        try:
            Recording(hub, store).task("ada", f"T-{depth}", "complete", result)
        except InvalidInput:
            assert store.writes == before
            refused += 1
    assert 0 < refused < 15


def test_tasks_and_proposals_are_recorded_by_the_hub_too(hub: Hub) -> None:
    hub.record_task("ada", "T-1", "complete", {"files": 3})
    hub.record_proposal("ada", "P-1", "accepted")
    assert told(hub, "task_recorded")[0]["result"] == {"files": 3}
    assert told(hub, "proposal_recorded")[0]["outcome"] == "accepted"


def test_a_lesson_is_an_object_of_an_agent(hub: Hub, store: MemoryStore) -> None:
    recording = Recording(hub, store)
    wrong: Any
    for wrong in (5, [1], None, {"x": {1}}):
        with pytest.raises(InvalidInput):
            recording.learn("ada", wrong)
    recording.learn("e\u0301va", {})
    assert recording.lessons()[-1].body["agent"] == "\u00e9va"


def test_lessons_are_kept_in_order_and_the_last_ones_are_read(hub: Hub, store: MemoryStore) -> None:
    recording = Recording(hub, store)
    for number in range(30):
        recording.learn("ada", {"n": number})
    assert [one.body["lesson"]["n"] for one in recording.lessons(3)] == [27, 28, 29]
    with pytest.raises(InvalidInput):
        recording.lessons(0)


def test_usage_is_summed_by_agent(hub: Hub, store: MemoryStore) -> None:
    recording = Recording(hub, store)
    recording.use("ada", input_tokens=100, output_tokens=5)
    recording.use("ada", input_tokens=1)
    recording.use("bob", cost_micros=7)
    assert [(one.agent, dict(one.amounts), one.count) for one in recording.usage()] == [
        ("ada", {"input_tokens": 101, "output_tokens": 5}, 2),
        ("bob", {"cost_micros": 7}, 1),
    ]
    refused: list[dict[str, Any]] = [{}, {"a": -1}, {"a": True}, {"a": 1.5}, {"": 1}, {"\ud800": 1}, {"x" * 61: 1}]
    for wrong in refused:
        with pytest.raises(InvalidInput):
            recording.use("ada", **wrong)
    assert dict(recording.use("eve", agent=1, self=2).amounts) == {"agent": 1, "self": 2}


def test_two_who_look_at_the_same_time_do_not_make_each_other_sick(store: MemoryStore) -> None:
    """Between what one writes and reads, another of the machine writes."""

    class Crossed(MemoryStore):
        busy = False

        def get(self, collection: str, key: str) -> Versioned | None:
            if not self.busy:
                self.busy = True
                assert examine({"local": self}, host=self.host, writer="w").ok
            return super().get(collection, key)

    report = examine({"local": Crossed(store.host)}, host=store.host, writer="w")
    assert report.ok, report


def test_health_sees_a_store_that_forgets_or_mixes_up(store: MemoryStore) -> None:
    class Forgetful(MemoryStore):
        def get(self, collection: str, key: str) -> Versioned | None:
            return None

    class Mixing(MemoryStore):
        def get(self, collection: str, key: str) -> Versioned | None:
            found = super().get(collection, key)
            return found and found.replace(value={"mark": "another"}, beat=None)

    for kind in (Forgetful, Mixing):
        report = examine({"local": kind(store.host)}, host=store.host, writer="w")
        assert [check.name for check in report.checks if not check.ok] == ["read", "beat"]


def test_health_tells_every_failure_of_every_side() -> None:
    host = FakeHost()
    good, bad = MemoryStore(host), MemoryStore(host)
    bad.outage = StoreUnavailable("wrong password", hint="check it")
    report = examine({"local": good, "shared": bad}, host=host, writer="w")
    assert not report.ok
    assert report.score == 60, "the clock of a memory store answers even then"
    assert {check.name for check in report.checks if not check.ok} == {"write", "read", "beat", "journal"}
    broken = [check for check in report.checks if not check.ok]
    assert all(check.side == "shared" and "wrong password" in check.problem and check.hint for check in broken)
    assert examine({"local": good}, host=host, writer="w").score == 100

"""Work done is told once and as it is; the bridge takes each file once; health tells every failure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate.hub.bridge import Bridge
from sharedstate.hub.health import examine
from sharedstate.hub.model import JOURNAL, HubEvent
from sharedstate.hub.recording import Recording
from sharedstate.hub.service import Hub
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
    refused: list[dict[str, Any]] = [{}, {"a": -1}, {"a": True}, {"a": 1.5}]
    for wrong in refused:
        with pytest.raises(InvalidInput):
            recording.use("ada", **wrong)


def plain(names: Iterable[str]) -> list[str]:
    """Names as they were before the bridge made them unique."""
    return sorted(re.sub(r"\.[0-9a-f]{12}\.json$", ".json", name) for name in names)


def test_the_bridge_takes_each_file_once_and_moves_it_aside(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps({"type": "note", "n": 2}))
    (tmp_path / "a.json").write_text(json.dumps({"n": 1}))
    (tmp_path / "bad.json").write_text("{nonsense")
    (tmp_path / "double.json").write_text('{"a": 1, "a": 2}')
    (tmp_path / ".hidden.json").write_text("{}")
    (tmp_path / "other.txt").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "other.txt")
    crossing = Bridge(store, str(tmp_path), host=store.host).cross()
    assert plain(crossing.taken) == ["a.json", "b.json"]
    assert plain(name for name, _ in crossing.refused) == ["bad.json", "double.json"]
    assert [entry.value["event"] for entry in store.read(JOURNAL)] == [
        {"type": "bridged", "n": 1},
        {"type": "note", "n": 2},
    ]
    assert plain(path.name for path in (tmp_path / "done").iterdir()) == ["a.json", "b.json"]
    assert plain(path.name for path in (tmp_path / "refused").iterdir()) == ["bad.json", "double.json"]
    assert (tmp_path / "link.json").is_symlink()
    assert Bridge(store, str(tmp_path), host=store.host).cross().taken == ()


def test_a_death_between_the_effect_and_the_move_has_no_second_effect(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"n": 1}')
    Bridge(store, str(tmp_path), host=store.host).cross()
    [done] = (tmp_path / "done").iterdir()
    done.rename(tmp_path / "taking" / done.name)
    assert Bridge(store, str(tmp_path), host=store.host).cross().repeated == (done.name,)
    assert [path.name for path in (tmp_path / "done").iterdir()] == [done.name]
    assert len(list(store.read(JOURNAL))) == 1


def test_a_second_file_of_the_same_name_and_content_is_another_file(store: MemoryStore, tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "a.json").write_text('{"n": 1}')
        assert plain(Bridge(store, str(tmp_path), host=store.host).cross().taken) == ["a.json"]
    assert plain(path.name for path in (tmp_path / "done").iterdir()) == ["a.json", "a.json"]
    assert len(list(store.read(JOURNAL))) == 2


def test_a_file_waits_while_the_store_is_away(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / ("long" * 60 + ".json")).write_text('{"n": 1}')
    store.outage = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        Bridge(store, str(tmp_path), host=store.host).cross()
    store.outage = None
    assert len(Bridge(store, str(tmp_path), host=store.host).cross().taken) == 1


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

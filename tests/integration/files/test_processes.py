"""Real processes on a real disk: contention, kills, a holder that stands still, fairness, forks."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sharedstate.errors import ForkedStore, StoreBusy
from sharedstate.files import FileStore
from sharedstate.files.upkeep import holders
from sharedstate.store import Decision, Versioned
from sharedstate.testing.clock import FakeHost

WORKERS = Path(__file__).with_name("workers.py")
REPOSITORY = Path(__file__).parents[3]
RACES = 3
DEADLINE_S = 60


class Team:
    """Processes started by a test; whatever is left of them is killed at its end."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.started: list[subprocess.Popen[str]] = []

    def start(self, task: str, *arguments: str) -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [sys.executable, str(WORKERS), task, self.root, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        self.started.append(worker)
        return worker

    def says(self, worker: subprocess.Popen[str], word: str) -> None:
        assert worker.stdout is not None
        assert worker.stdout.readline().split() == [word]

    def end(self) -> None:
        for worker in self.started:
            worker.kill()
            worker.communicate(timeout=DEADLINE_S)


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    started = Team(tmp_path / "state")
    yield started
    started.end()


@pytest.mark.slow
def test_no_update_and_no_event_is_lost_between_processes(team: Team) -> None:
    workers = [team.start("counts", "200") for _ in range(4)]
    assert [worker.wait(DEADLINE_S) for worker in workers] == [0, 0, 0, 0]
    store = FileStore(team.root)
    held = store.get("counters", "c")
    assert held is not None
    assert held.value == {"count": 800}
    assert [entry.value["n"] for entry in store.read("events")] == list(range(800))


@pytest.mark.slow
def test_kills_at_any_moment_leave_record_journal_and_index_in_line(team: Team) -> None:
    chance = random.Random(4)
    store = FileStore(team.root)
    for _ in range(12):
        workers = [team.start("counts_until_killed", key) for key in ("a", "a", "b")]
        for worker in workers:
            team.says(worker, "ready")
        time.sleep(chance.uniform(0.0, 0.08))
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait(DEADLINE_S)
        for key in ("a", "b"):
            store.transact("counters", key, lambda _: Decision(result=None))
        for key in ("a", "b"):
            held = store.get("counters", key)
            assert held is not None
            count = held.value["count"]
            told = [entry.value["n"] for entry in store.read("events") if entry.record.startswith(f"counters/{key}@")]
            assert told == list(range(1, count + 1)), "each transition is told once"
        live = {item.key for item in store.scan("counters", live_only=True) if isinstance(item, Versioned)}
        odd = {item.key for item in store.scan("counters") if isinstance(item, Versioned) and item.value["count"] % 2}
        assert live == odd
    entries = [entry.sequence for entry in store.read("events")]
    assert entries == list(range(1, len(entries) + 1))


def test_a_holder_that_stands_still_makes_others_busy_in_time_and_nobody_is_hurt(team: Team) -> None:
    still = team.start("stops_inside")
    team.says(still, "inside")
    store = FileStore(team.root, lock_timeout_s=0.3)
    begun_s = time.monotonic()
    with pytest.raises(StoreBusy, match=f"T-1.*process {still.pid}"):
        store.transact("tasks", "T-1", lambda _: Decision(result=None))
    assert time.monotonic() - begun_s < 3
    assert [holding.pid for holding in holders(store.root)] == [still.pid]
    refused = team.start("is_refused")
    assert refused.wait(DEADLINE_S) == StoreBusy.exit_code
    assert store.get("tasks", "T-1") is None, "readers never wait"
    still.send_signal(signal.SIGCONT)
    assert still.wait(DEADLINE_S) == 0
    patient = FileStore(team.root)
    revision = patient.transact("tasks", "T-1", lambda before: Decision(result=before.revision, write={"by": "me"}))
    assert revision == 1
    assert store.transact("tasks", "T-1", lambda before: Decision(result=before.revision)) == 2, "works again"


def test_a_kill_frees_the_lock_at_once(team: Team) -> None:
    still = team.start("stops_inside")
    team.says(still, "inside")
    still.send_signal(signal.SIGKILL)
    still.wait(DEADLINE_S)
    store = FileStore(team.root, lock_timeout_s=0.2)
    assert store.transact("tasks", "T-1", lambda before: Decision(result=before.revision, write={"by": "me"})) == 0


@pytest.mark.slow
def test_eight_processes_on_one_record_get_equal_shares(team: Team) -> None:
    told: list[list[float]] = []
    for _ in range(RACES):  # a busy machine may spoil one; a lock without a queue spoils all of them
        workers = [team.start("shares", "2") for _ in range(8)]
        for worker in workers:
            team.says(worker, "ready")
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        turns = [float(worker.communicate(timeout=DEADLINE_S)[0].split()[0]) for worker in workers]
        if max(turns) <= 3 * min(turns):
            return
        told.append(turns)
    raise AssertionError(told)


def test_a_forked_child_is_refused(tmp_path: Path) -> None:
    host = FakeHost()
    store = FileStore(str(tmp_path / "state"), host=host)
    store.transact("tasks", "T-1", lambda _: Decision(result=None, write={"n": 1}))
    host.fork()
    for attempt in (
        lambda: store.get("tasks", "T-1"),
        lambda: store.scan("tasks"),
        lambda: store.read("events"),
        lambda: store.append("events", {"n": 1}),
        lambda: store.transact("tasks", "T-1", lambda _: Decision(result=None)),
    ):
        with pytest.raises(ForkedStore):
            attempt()

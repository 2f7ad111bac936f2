"""The circuit of an endpoint across real processes and clocks: found dead once, probed by one, nobody's hostage."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sharedstate import SharedState
from sharedstate.files.store import FileStore
from sharedstate.host import Host
from sharedstate.messages.breaker import COLLECTION
from sharedstate.messages.model import Queued
from sharedstate.messages.policy_breaker import Circuit, document_of
from sharedstate.store import Decision, Snapshot
from sharedstate.testing.proxy import FaultProxy

WORKER = Path(__file__).with_name("circuit_worker.py")
REPOSITORY = Path(__file__).parents[3]
DEADLINE_S = 60.0


class Machine:
    """Processes with one local store and one endpoint, which takes connections and never answers."""

    def __init__(self, folder: Path) -> None:
        self.root = str(folder / "local")
        self.proxy = FaultProxy(("127.0.0.1", 9), default="hang")
        self.url = f"http://127.0.0.1:{self.proxy.port}"
        self.store = FileStore(self.root, host=Host())
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *, count: int, timeout_s: float) -> subprocess.Popen[str]:
        """A process that waits for its start."""
        one = subprocess.Popen(
            [sys.executable, str(WORKER), self.root, self.url, str(count), str(timeout_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        self.started.append(one)
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
        return one

    def go(self, *ones: subprocess.Popen[str]) -> None:
        """Off, all at once."""
        for one in ones:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()

    def told(self, one: subprocess.Popen[str]) -> dict[str, Any]:
        """What a process has come to."""
        out, _ = one.communicate(timeout=DEADLINE_S)
        document: dict[str, Any] = json.loads(out)
        return document

    def cooled(self) -> None:
        """The circuit as it stands when a dead endpoint may be asked again."""

        def decide(snapshot: Snapshot) -> Decision[None]:
            circuit = Circuit(failures=3, opened=snapshot.now, cool_ms=0)
            return Decision(result=None, write=document_of(circuit, endpoint=self.url))

        self.store.transact(COLLECTION, self.url, decide)

    def prober(self) -> int | None:
        """The pid of the process that probes now."""
        found = self.store.get(COLLECTION, self.url)
        return None if found is None or not found.value["prober"] else int(found.value["prober"]["pid"])

    def asked(self) -> int:
        """How many connections the endpoint has had; ends it."""
        self.proxy.close()
        return len(self.proxy.log)

    def end(self) -> None:
        """Kill what runs."""
        for one in self.started:
            one.kill()
            one.communicate(timeout=DEADLINE_S)
        self.proxy.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.end()


def test_what_one_process_found_dead_costs_another_nothing(machine: Machine) -> None:
    first, second = machine.start(count=1, timeout_s=3.5), machine.start(count=100, timeout_s=3.5)
    machine.go(first)
    assert machine.told(first)["outcomes"][0] == "deferred"
    machine.go(second)
    told = machine.told(second)
    assert told["outcomes"] == ["skipped"] * 100
    assert told["took_s"] < 3.5, "a hundred messages cost less than one attempt"
    assert machine.asked() == 1


def test_of_many_processes_exactly_one_probes(machine: Machine) -> None:
    machine.cooled()
    ones = [machine.start(count=1, timeout_s=2.0) for _ in range(6)]
    machine.go(*ones)
    outcomes = [machine.told(one)["outcomes"] for one in ones]
    assert sorted(outcomes) == [["deferred"], *[["skipped"]] * 5]
    assert machine.asked() == 1


def test_the_place_of_a_killed_prober_is_free_at_once(machine: Machine) -> None:
    machine.cooled()
    victim, heir = machine.start(count=1, timeout_s=50.0), machine.start(count=1, timeout_s=1.0)
    machine.go(victim)
    ends_s = time.monotonic() + DEADLINE_S
    while machine.prober() != victim.pid and time.monotonic() < ends_s:
        time.sleep(0.01)
    assert machine.prober() == victim.pid
    victim.kill()
    victim.wait(DEADLINE_S)
    machine.go(heir)
    assert machine.told(heir)["outcomes"] == ["deferred"], "it probed; a lease of 50 s was left"


def test_a_hundred_queued_messages_against_dead_endpoints_cost_about_one_bound(
    machine: Machine, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        refused = f"http://127.0.0.1:{free.getsockname()[1]}"
    with SharedState.open(tmp_path / "state", owner="a", endpoints=(refused, machine.url)) as state:
        for number in range(100):  # to a hundred recipients: none waits behind another
            assert isinstance(state.outbox.send(sender="a", to=f"r{number}", body="x", deliver=False), Queued)
        began_s = time.monotonic()
        report = state.outbox.flush(time_max_s=60.0)
        took_s = time.monotonic() - began_s
    assert (report.sent, report.dead, report.failed) == (0, 0, 100)
    assert took_s < 15.0, f"{took_s:.1f} s; the bound of one message is 10 s"
    assert machine.asked() <= 3

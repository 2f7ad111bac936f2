"""Real processes send, look and acknowledge on a real disk, and are killed: nothing is lost, doubled or renumbered."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sharedstate import SharedState
from sharedstate.messages.model import Received
from sharedstate.messages.wire import envelope_of
from tests.integration.messages.mail_racer import AGENTS

RACER = Path(__file__).with_name("mail_racer.py")
SECONDS = 5.0
DEADLINE_S = 60.0


class Race:
    """The processes, their histories, and the hand that kills them."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self.folder = folder
        self.random = random.Random(7)
        self.histories: list[Path] = []
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, seconds: float) -> None:
        """Start a process; its role is the beginning of its name."""
        history = self.folder / f"history-{len(self.histories)}.jsonl"
        self.histories.append(history)
        words = [name.partition("-")[0], str(self.root), str(history), str(len(self.histories)), f"{seconds:.3f}"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.running[name] = subprocess.Popen([sys.executable, str(RACER), *words], env=environment)

    def run(self) -> None:
        """Start them all, kill some, wait for the others."""
        deadline_s = time.monotonic() + SECONDS
        for name in ("send-0", "send-1", "send-2", "read-0", "read-1"):
            self.start(name, SECONDS)
        while (left_s := deadline_s - time.monotonic()) > 0.8:
            time.sleep(self.random.uniform(0.1, 0.4))
            name = self.random.choice(list(self.running))
            self.running[name].kill()
            self.running[name].wait()
            self.start(name, left_s)
        for process in self.running.values():
            assert process.wait(DEADLINE_S) == 0

    def told(self) -> list[dict[str, Any]]:
        """Every whole line of every history."""
        lines = [line for path in self.histories if path.exists() for line in path.read_text().splitlines()]
        return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_messages_survive_killed_senders_and_readers(tmp_path: Path) -> None:
    race = Race(tmp_path)
    race.run()
    told = race.told()
    accepted = [envelope_of(line["accepted"]) for line in told if "accepted" in line]
    acknowledged = {(line["agent"], one) for line in told if "seen" in line for one in line["seen"]}
    marks: Counter[str] = Counter()
    for line in told:
        if "mark" in line:
            marks[line["agent"]] = max(marks[line["agent"]], line["mark"])
    assert len(accepted) > 50
    assert sum(marks.values()) > 50
    with SharedState.open(race.root, owner="ws/observer", folder=tmp_path) as state:
        for envelope in accepted:  # as an outbox does after a death
            assert isinstance(state.inbox.receive(envelope), Received)
        for agent in AGENTS:
            everything = [letter.id for letter in state.inbox.list(agent)]
            meant = [one.id for one in accepted if agent in one.recipients or one.recipients == ("*",)]
            assert Counter(everything) == Counter(meant)
            assert state.inbox.watermark(agent).up_to >= marks[agent]
            unread = {letter.id for letter in state.inbox.unread(agent).letters}
            lost = [one for one in meant if one not in unread and (agent, one) not in acknowledged]
            assert lost == [], "read by nobody, and not unread"


def test_looking_leaves_every_byte_and_every_name_as_it_was(tmp_path: Path) -> None:
    from tests.unit.messages.letters import message

    with SharedState.open(tmp_path / "root", owner="ws/a", folder=tmp_path) as state:
        state.inbox.receive(message(state.host, "*"))
        state.inbox.receive(message(state.host, "bob", ack_due_ms=1))
    before = _bytes(tmp_path)
    with SharedState.open(tmp_path / "root", owner="ws/b", folder=tmp_path) as state:
        for agent in ("bob", "nobody"):
            assert state.inbox.unread(agent, folder=str(tmp_path)).unknown == ""
            state.inbox.list(agent)
            state.inbox.watermark(agent)
        assert len(state.inbox.overdue()) == 1
        state.inbox.agents()
    assert _bytes(tmp_path) == before


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}

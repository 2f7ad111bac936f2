"""Real processes around one outbox on a real disk: many that flush at once, many that send, kills in between."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sharedstate.messages.model import Queued
from tests.integration.messages.postman import FarFile, opened

POSTMAN = Path(__file__).with_name("postman.py")
REPOSITORY = Path(__file__).parents[3]
DEADLINE_S = 120
SENDERS = ("s1", "s2", "shared")


class Office:
    """The outbox, the far side, and processes; whatever is left of them is killed at the end."""

    def __init__(self, folder: Path) -> None:
        self.root = str(folder / "local")
        self.far = folder / "far"
        self.accepted = folder / "accepted"
        self.started: list[subprocess.Popen[str]] = []

    def start(self, action: str, sender: str = "-", *, seconds: float) -> subprocess.Popen[str]:
        """A process that waits for its start."""
        paths = (self.root, str(self.far), str(self.accepted))
        one = subprocess.Popen(
            [sys.executable, str(POSTMAN), action, *paths, sender, str(seconds)],
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

    def lines(self, path: Path) -> list[list[str]]:
        """What was written there."""
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def end(self) -> None:
        """Kill what runs."""
        for one in self.started:
            one.kill()
            one.communicate(timeout=DEADLINE_S)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.end()


def test_of_many_that_flush_at_once_each_message_is_delivered_by_exactly_one(office: Office) -> None:
    outbox = opened(office.root, FarFile(os.devnull, unkind=0))
    made: dict[str, list[str]] = {sender: [] for sender in SENDERS}
    for number in range(90):
        sender = SENDERS[number % 3]
        answer = outbox.send(sender=sender, to="b", body=str(number), deliver=False)
        assert isinstance(answer, Queued)
        made[sender].append(answer.envelope.id)
    flushers = [office.start("flush", seconds=0) for _ in range(4)]
    office.go(*flushers)
    for one in flushers:
        assert one.wait(timeout=DEADLINE_S) == 0
    lines = office.lines(office.far)
    for sender in SENDERS:
        assert [key for name, _, key, _ in lines if name == sender] == made[sender]
    assert outbox.counts().pending == 0


@pytest.mark.slow
def test_senders_and_flushers_that_are_killed_lose_nothing_and_overtake_nothing(office: Office) -> None:
    rng = random.Random(7)
    seconds = 30.0
    roles = [("send", "s1"), ("send", "s2"), ("send", "shared"), ("send", "shared"), ("flush", "-")]
    running = [(role, office.start(*role, seconds=seconds)) for role in roles]
    office.go(*(one for _, one in running))
    deadline_s = time.monotonic() + 6
    kills = 0
    while time.monotonic() < deadline_s:
        time.sleep(rng.uniform(0.05, 0.3))
        place = rng.randrange(len(running))
        role, victim = running[place]
        victim.kill()
        victim.wait(timeout=DEADLINE_S)
        again = office.start(*role, seconds=seconds)
        running[place] = (role, again)
        office.go(again)
        kills += 1
    for _, one in running:
        one.kill()
        one.wait(timeout=DEADLINE_S)
    outbox = opened(office.root, FarFile(str(office.far), unkind=0))
    outbox.retry(all=True)
    deadline_s = time.monotonic() + DEADLINE_S
    while outbox.flush(count_max=10_000).total and time.monotonic() < deadline_s:
        outbox.retry(all=True)
    lines, accepted = office.lines(office.far), office.lines(office.accepted)
    arrived = {key for _, _, key, _ in lines}
    lost = [key for _, _, key in accepted if key not in arrived]
    assert (lost, outbox.damaged(), outbox.list()) == ([], [], [])
    bodies = Counter(body for _, body, _, _ in {(name, body, key, "") for name, body, key, _ in lines})
    assert max(bodies.values()) == 1, "a duplicate has another id"
    for sender in ("s1", "s2"):
        first = list(dict.fromkeys(int(body) for name, body, _, _ in lines if name == sender))
        assert first == sorted(first), f"{sender}: a later message has overtaken an earlier one"
    assert kills > 5
    assert len(accepted) > 50

"""Real processes hammer a few tasks on a real disk; some are killed, some stand still for longer than the ttl.

Each writes its own history. Together with the journal the histories must show: never two owners, fences that only grow,
zombies refused, and nothing that blocks those who come after.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sharedstate import SharedState
from sharedstate.tasks.outcomes import Claimed
from sharedstate.testing.history import Operation, violations_in_journal, violations_in_operations
from tests.integration.racer import TASKS, TTL_MS

RACER = Path(__file__).with_name("racer.py")
RACERS = 5
SECONDS = 8.0
DEADLINE_S = 60.0


class Race:
    """The racers, their histories, and the hand that kills and stops them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.root = folder / "root"
        self.folder = folder
        self.random = random.Random(seed)
        self.histories: list[Path] = []
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.done: Counter[str] = Counter()

    def start(self, owner: str, seconds: float) -> None:
        """Start a racer; after a death it comes back as a new process of the same owner."""
        history = self.folder / f"history-{len(self.histories)}.jsonl"
        self.histories.append(history)
        words = [str(self.root), str(history), owner, str(len(self.histories)), f"{seconds:.3f}"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.running[owner] = subprocess.Popen([sys.executable, str(RACER), *words], env=environment)

    def run(self) -> None:
        """Start them all, disturb them, wait for them."""
        deadline_s = time.monotonic() + SECONDS
        for number in range(RACERS):
            self.start(f"ws/racer-{number}", SECONDS)
        while (left_s := deadline_s - time.monotonic()) > 0.5:
            time.sleep(self.random.uniform(0.02, 0.15))
            self._disturb(left_s)
        for racer in self.running.values():
            assert racer.wait(timeout=DEADLINE_S) == 0

    def _disturb(self, left_s: float) -> None:
        owner = self.random.choice(list(self.running))
        racer = self.running[owner]
        if self.random.random() < 0.4:
            racer.kill()
            racer.wait(timeout=DEADLINE_S)
            self.done["killed"] += 1
            self.start(owner, left_s)
            return
        racer.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.5, 3) * TTL_MS / 1000)
        racer.send_signal(signal.SIGCONT)
        self.done["stopped"] += 1

    def end(self) -> None:
        """Whatever is left of them goes."""
        for racer in self.running.values():
            racer.kill()
            racer.wait(timeout=DEADLINE_S)

    def operations(self) -> list[Operation]:
        """What all of them did and heard, in the order in which it began."""
        found: list[Operation] = []
        for history in self.histories:
            begun: dict[int, dict[str, Any]] = {}
            for line in history.read_text().splitlines() if history.exists() else ():
                told = json.loads(line)
                if "error" in told:
                    self.done[told["error"]] += 1
                    continue
                begun.setdefault(told["number"], {}).update(told)
            found += [_operation(told) for told in begun.values()]
            self.done.update(str(told.get("reason")) for told in begun.values() if told.get("reason"))
        return sorted(found, key=lambda operation: operation.start)


def _operation(told: dict[str, Any]) -> Operation:
    return Operation(
        task=told["task"],
        owner=told["owner"],
        kind=told["kind"],
        ok=told.get("ok", False),
        fence=told.get("fence", 0),
        start=told["start"],
        end=told.get("end"),
    )


@pytest.fixture
def race(tmp_path: Path) -> Iterator[Race]:
    made = Race(tmp_path, seed=7)
    yield made
    made.end()


@pytest.mark.slow
def test_killed_and_stopped_processes_never_make_two_owners(race: Race) -> None:
    race.run()
    operations = race.operations()
    assert violations_in_operations(operations) == []
    with SharedState.open(race.root, owner="ws/judge", max_retries=1_000) as state:
        assert violations_in_journal(list(state.events())) == []
        state.claims.sweep()
        began_s = time.monotonic()
        for task in TASKS:  # whatever the dead have left, the living go on
            time.sleep(2 * TTL_MS / 1000)
            assert isinstance(state.claims.claim(task, reopen=True), Claimed)
        assert time.monotonic() - began_s < 5
    kinds = Counter(operation.kind for operation in operations if operation.ok)
    # Only a race in which all of this happened proves anything.
    assert race.done["killed"] >= 5, race.done
    assert race.done["stopped"] >= 5, race.done
    assert min(kinds["claim"], kinds["takeover"], kinds["renew"], kinds["release"]) >= 10, kinds
    assert race.done["owner_mismatch"] + race.done["attempt_token_mismatch"] + race.done["task_abandoned"] >= 5, (
        race.done
    )
    assert any(operation.end is None for operation in operations), "somebody died in the middle"

"""Racers as processes: started, killed, stopped for a while, and what all of them did and heard."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from sharedstate.testing.history import Operation
from tests.integration.racer import TTL_MS

RACER = Path(__file__).with_name("racer.py")
RACERS = 5
SECONDS = 8.0
DEADLINE_S = 60.0


class Race:
    """The racers, their histories, and the hand that kills and stops them.

    `ttl_ms`: how long a claim lives. `pace`: how much rarer disturbances are where operations take longer.
    """

    ttl_ms = TTL_MS
    seconds = SECONDS
    pace = 1.0

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
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        words = self.words(str(history), owner, f"{seconds:.3f}")
        self.running[owner] = subprocess.Popen([*self.prefix(owner), sys.executable, *words], env=environment)

    def prefix(self, owner: str) -> list[str]:
        """What a racer is started by."""
        del owner
        return []

    def words(self, history: str, owner: str, seconds: str) -> list[str]:
        """The program of one racer and its arguments."""
        return [str(RACER), str(self.root), history, owner, str(len(self.histories)), seconds]

    def run(self) -> None:
        """Start them all, disturb them, wait for them."""
        deadline_s = time.monotonic() + self.seconds
        for number in range(RACERS):
            self.start(f"ws/racer-{number}", self.seconds)
        while (left_s := deadline_s - time.monotonic()) > 0.5:
            time.sleep(self.pace * self.random.uniform(0.02, 0.15))
            self.disturb(left_s)
        for racer in self.running.values():
            assert racer.wait(timeout=DEADLINE_S) == 0

    def disturb(self, left_s: float) -> None:
        """Kill somebody or let somebody stand still."""
        if self.random.random() < 0.4:
            self.kill(left_s)
        else:
            self.stop()

    def kill(self, left_s: float) -> None:
        """Kill somebody, who comes back for the rest of the time."""
        owner = self.random.choice(list(self.running))
        racer = self.running[owner]
        racer.kill()
        racer.wait(timeout=DEADLINE_S)
        self.done["killed"] += 1
        self.start(owner, left_s)

    def stop(self) -> None:
        """Let somebody stand still, mostly for longer than the ttl."""
        racer = self.random.choice(list(self.running.values()))
        racer.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.5, 3) * self.ttl_ms / 1000)
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
                if "step" in told:
                    continue  # of no task
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

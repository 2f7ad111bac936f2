"""A lane: an agent in its working copy, with its own environment and outbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from examples.lanes_parts.ground import DEADLINE_S, expect
from sharedstate import SharedState

PROGRAM = Path(__file__).resolve().parents[1] / "three_lanes.py"


class Lane:
    """An agent in its working copy. Everything is done in its name, with its own environment."""

    def __init__(self, name: str, folder: Path, *, token: str) -> None:
        self.name = name
        self.agent = f"desk/{name}"
        self.folder = folder
        self.accepted: list[dict[str, Any]] = []
        self.running: list[subprocess.Popen[str]] = []
        self.environment = {
            **{key: text for key, text in os.environ.items() if not key.startswith(("SHARED_STATE", "GIT_"))},
            "SHARED_STATE_OWNER": self.agent,
            "SHARED_STATE_LANE": name,
            "SHARED_STATE_HTTP_TOKEN": token,
        }

    def start(self, count: int) -> subprocess.Popen[str]:
        """A process of this lane that sends so many messages, one after the other."""
        words = [sys.executable, str(PROGRAM), "--lane", self.name, "--count", str(count)]
        started = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True)
        self.running.append(started)
        return started

    def heard(self, lines: Iterable[str]) -> list[dict[str, Any]]:
        """What such a process has told: messages that were accepted, in order."""
        told = [json.loads(line) for line in lines]
        self.accepted += told
        return told

    def finish(self, started: subprocess.Popen[str]) -> list[dict[str, Any]]:
        """All that such a process tells until it ends, as it has to, well and in time."""
        assert started.stdout is not None
        watch = threading.Timer(DEADLINE_S, started.kill)
        watch.start()
        try:
            told = self.heard(started.stdout)
            started.wait()
        finally:
            watch.cancel()
        expect(started.returncode == 0, f"{self.name} failed with exit code {started.returncode}")
        return told

    def close(self) -> None:
        """End what still runs, which is nothing unless the example has failed."""
        for started in self.running:
            started.kill()
            started.wait()
            if started.stdout is not None:
                started.stdout.close()

    def send(self, to: str, body: str) -> tuple[int, str]:
        """Send one message by the command: its exit code and id."""
        done = self.claims("send", "--json", "--to", to, "--body", body)
        told = json.loads(done.stdout)
        expect("id" in told, f"not accepted: {done.stdout}")
        self.accepted.append({"id": told["id"], "to": to, "via": told.get("via", "").rpartition(":")[2]})
        return done.returncode, str(told["id"])

    def unread(self) -> tuple[int, dict[str, Any]]:
        """What the command says that this lane has not read: its exit code and document."""
        done = self.claims("unread", "--json", self.agent)
        return done.returncode, json.loads(done.stdout)

    def claims(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `claims` in the working copy, to its end."""
        program = Path(sys.executable).with_name("claims")
        return subprocess.run(
            [str(program), *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def open(self) -> SharedState:
        """The state of the working copy, through the library."""
        token, lane = self.environment["SHARED_STATE_HTTP_TOKEN"], self.name
        return SharedState.open(
            self.folder / ".cache" / "sharedstate", owner=self.agent, folder=self.folder, lane=lane, http_token=token
        )

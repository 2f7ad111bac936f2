"""A lane: an agent in its working copy, with its own environment and outbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from examples.lanes_parts.ground import DEADLINE_S
from sharedstate import SharedState

PROGRAM = Path(__file__).resolve().parents[1] / "three_lanes.py"


class Lane:
    """An agent in its working copy. Everything is done in its name, with its own environment."""

    def __init__(self, name: str, folder: Path, *, token: str) -> None:
        self.name = name
        self.agent = f"desk/{name}"
        self.folder = folder
        self.accepted: list[dict[str, Any]] = []
        self.environment = {
            **{key: text for key, text in os.environ.items() if not key.startswith(("SHARED_STATE", "GIT_"))},
            "SHARED_STATE_OWNER": self.agent,
            "SHARED_STATE_LANE": name,
            "SHARED_STATE_HTTP_TOKEN": token,
        }

    def start(self, count: int) -> subprocess.Popen[str]:
        """A process of this lane that sends so many messages, one after the other."""
        words = [sys.executable, str(PROGRAM), "--lane", self.name, "--count", str(count)]
        return subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True)

    def heard(self, lines: Iterator[str] | Sequence[str]) -> list[dict[str, Any]]:
        """What such a process has told: messages that were accepted, in order."""
        told = [json.loads(line) for line in lines]
        self.accepted += told
        return told

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

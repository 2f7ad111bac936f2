"""The gateways: shared services of one lane, started, killed and stopped as real processes."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from examples.lanes_parts.ground import DEADLINE_S, expect
from examples.lanes_parts.lane import Lane
from sharedstate import SharedState
from sharedstate.errors import StoreUnavailable
from sharedstate_adapters.http.reading import HttpInbox


class Hub:
    """The store that keeps the inboxes, and the two gateways before it."""

    def __init__(self, folder: Path, keeper: Lane, ports: Mapping[str, int], *, token: str) -> None:
        self.folder = folder
        self.keeper = keeper
        self.token = token
        self.ports = ports

    def start(self, name: str) -> None:
        """Start a gateway as a shared service of the keeper, and wait until it answers."""
        program = str(Path(sys.executable).with_name("claims"))
        serve = [program, "serve", "--dir", str(self.folder), "--port", str(self.ports[name]), "--allow-write"]
        done = self.keeper.claims("service", "start", name, "--dir", str(self.folder), "--", *serve, "--service", name)
        expect(done.returncode == 0, f"{name} does not start: {done.stderr}")
        self.await_answer(name)

    def await_answer(self, name: str) -> None:
        """Return as soon as the gateway answers."""
        inbox = HttpInbox(f"http://127.0.0.1:{self.ports[name]}", token=self.token, timeout_s=2)
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            try:
                inbox.unread("nobody")
                return inbox.close()
            except StoreUnavailable:
                expect(time.monotonic() < deadline_s, f"{name} does not answer")
                time.sleep(0.05)

    def pid(self, name: str) -> int:
        """The process of a gateway that runs."""
        done = self.keeper.claims("service", "status", name, "--json", "--dir", str(self.folder))
        found = json.loads(done.stdout)
        expect(found.get("state") == "running", f"{name} does not run: {done.stdout}{done.stderr}")
        return int(found["pid"])

    def kill(self, name: str) -> None:
        """SIGKILL, as the kernel does it when memory is short."""
        os.kill(self.pid(name), signal.SIGKILL)

    def stop_all(self) -> list[str]:
        """Stop every gateway that still runs; what does not end is told."""
        left: list[str] = []
        with SharedState.open(self.folder, owner=self.keeper.agent, folder=self.folder.parent) as state:
            for name in self.ports:
                state.guard.stop(name, grace_ms=3_000)
                view = state.guard.status(name)
                left += [name] if view is not None and view.running else []
        return left

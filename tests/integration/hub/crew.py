"""Processes of the hub's tests: each a worker on a state root of its own choosing, and the installed command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sharedstate import SharedState
from sharedstate.hub.model import HubEvent
from tests.integration.stores.crew import environment

WORKER = Path(__file__).with_name("worker.py")
PATIENCE_S = 60.0
LOST, BACK = "shared store is away", "shared store is back"


class Worker:
    """One process that does one job; it waits for `go`."""

    def __init__(self, job: str, root: Path, url: str, name: str, count: int = 0) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._log = root / f"{job}-{name.replace('/', '-')[-40:]}-{time.monotonic_ns()}.log"
        self.heard: list[Any] = []
        with self._log.open("wb") as log:
            self.child = subprocess.Popen(
                [sys.executable, str(WORKER), job, str(root), url, name, str(count)],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def go(self) -> None:
        """Wait until it is ready, and let it begin."""
        assert self.hear() == "ready", self.log
        assert self.child.stdin is not None
        self.child.stdin.write(b"\n")
        self.child.stdin.flush()

    def hear(self) -> Any:
        """The next thing it says, or None when it has ended."""
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def listen(self, until: Callable[[Any], bool]) -> None:
        """Take in what it says until something is heard."""
        while True:
            said = self.hear()
            assert said is not None, self.log
            self.heard.append(said)
            if until(said):
                return

    def finish(self) -> list[Any]:
        """Ask it to end; all that it has said."""
        assert self.child.stdin is not None
        self.child.stdin.close()
        self._take_rest()
        assert self.child.wait(PATIENCE_S) == 0, self.log
        return self.heard

    def kill(self) -> list[Any]:
        """SIGKILL; all that it had said by then."""
        self.child.kill()
        self._take_rest()
        self.close()
        return self.heard

    def close(self) -> None:
        """End it if it has not, and leave nothing behind."""
        self.child.kill()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                pipe.close()
        self.child.wait(PATIENCE_S)

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace")

    def _take_rest(self) -> None:
        while (said := self.hear()) is not None:
            self.heard.append(said)


@contextmanager
def crew(*workers: Worker) -> Generator[None]:
    """Let all go at once; none is left behind."""
    try:
        for worker in workers:
            worker.go()
        yield
    finally:
        for worker in workers:
            worker.close()


def told(state: SharedState) -> list[tuple[str, int]]:
    """Who published which number, in the order of the journal; whole, without a gap."""
    events = [one for one in state.hub.subscribe(timeout_s=0) if isinstance(one, HubEvent)]
    assert [one.sequence for one in events] == list(range(1, len(events) + 1))
    return [(one.body["by"], one.body["n"]) for one in events if one.body["type"] == "n"]


def wait_for(what: Callable[[], bool], *, patience_s: float = PATIENCE_S, step_s: float = 0.05) -> None:
    """Wait until it is so."""
    deadline_s = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < deadline_s, "it did not come to that"
        time.sleep(step_s)


class Command:
    """The `claims` command of this machine: one state root, one URL."""

    def __init__(self, root: Path, url: str) -> None:
        self.root = root
        self._environment = {**environment(), "SHARED_STATE_URL": url, "SHARED_STATE_OWNER": f"{root.name}/agent"}
        self._environment["SHARED_STATE_LOCK_TIMEOUT_MS"] = "4000"
        root.mkdir(parents=True, exist_ok=True)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Run it beside this process."""
        return subprocess.Popen(
            [sys.executable, "-m", "sharedstate_cli", *words, "--dir", str(self.root)],
            env=self._environment,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        child = self.start(*words)
        out, err = child.communicate(timeout=PATIENCE_S)
        return subprocess.CompletedProcess(words, child.returncode, out, err)

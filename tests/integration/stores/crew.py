"""Several worker processes on one place: started together, killed, and what each of them said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.integration.stores.places import Place

WORKER = Path(__file__).with_name("worker.py")
PATIENCE_S = 90.0


def environment() -> dict[str, str]:
    """The environment of child processes that import the tests and the library as this process does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class Crew:
    """`size` processes that do the same job, each as an owner of its own; a context that leaves none behind."""

    def __init__(self, place: Place, job: str, *, size: int, count: int, key: str = "k", separate: bool = True) -> None:
        self.owners = [f"w{number}/agent" for number in range(size)]
        self.heard: dict[str, list[Any]] = {owner: [] for owner in self.owners}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for number, owner in enumerate(self.owners):
            root = Path(place.folder) / (f"machine-{number}" if separate else "machine")
            root.mkdir(exist_ok=True)
            words = [job, str(root), place.url, owner, key, str(count)]
            self._running[owner] = subprocess.Popen(
                [sys.executable, str(WORKER), *words],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._running.values():
            worker.kill()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    pipe.close()
            worker.wait(PATIENCE_S)

    def start(self) -> None:
        """Wait until all are ready, then let them go at once."""
        for owner in self.owners:
            assert self.hear(owner) == "ready"
        for worker in self._running.values():
            assert worker.stdin is not None
            worker.stdin.write(b"go\n")
            worker.stdin.flush()

    def hear(self, owner: str) -> Any:
        """The next thing that a worker says; None when it has ended."""
        out = self._running[owner].stdout
        assert out is not None
        line = out.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def listen(self, owner: str, count: int) -> None:
        """Take in the next `count` things that a worker says."""
        for _ in range(count):
            said = self.hear(owner)
            assert said is not None, f"{owner} ended early"
            self.heard[owner].append(said)

    def kill(self, owner: str) -> None:
        """SIGKILL, and take in what it had said by then."""
        worker = self._running[owner]
        worker.kill()
        self._take_rest(owner)
        worker.wait(PATIENCE_S)

    def finish(self) -> dict[str, list[Any]]:
        """Wait until all have ended well; what each acknowledged or failed with."""
        for owner in self.owners:
            self._take_rest(owner)
            assert self._running[owner].wait(PATIENCE_S) == 0
        return self.heard

    def _take_rest(self, owner: str) -> None:
        while (said := self.hear(owner)) is not None:
            self.heard[owner].append(said)

"""Proof or refutation, on the user's own file system, of what the store relies on; with real processes and real kills.

Each check passes, fails, or is unknown where it cannot be made, and says what it measured. Everything happens in a
folder of its own below the given one, which is removed at the end; the whole run is bounded (about 5 s, at most 10 s
when something hangs).
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO, Any, Final, Literal, Self

from sharedstate.errors import SharedStateError, StoreUnavailable
from sharedstate.host import Host
from sharedstate.values import Value

PASS: Final = "pass"
FAIL: Final = "fail"
UNKNOWN: Final = "unknown"
Verdict = Literal["pass", "fail", "unknown"]
ANSWER_S_MAX: Final = 4.0
RUN_S_MAX: Final = 10.0
PEER: Final = (sys.executable, "-m", "sharedstate.files.selftest_peer")


class Check(Value):
    """One thing the store relies on: `verdict`, a sentence with what was seen, numbers by name (unit in the name)."""

    name: str
    verdict: Verdict
    what: str
    measured: Mapping[str, Any] = {}


class NoAnswer(Exception):
    """A peer did not answer in time, or ended: the check that asked it is unknown."""


class Peer:
    """A real process in the folder of the test, driven by one line of JSON at a time."""

    def __init__(
        self, command: Sequence[str], folder: str, *, host: Host, until_s: float, answer_s: float | None = None
    ) -> None:
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        paths = [package, os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        self._host = host
        self._until_s = until_s
        self.answer_s = answer_s
        self._running = subprocess.Popen(
            [*command, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        assert self._running.stdin is not None
        assert self._running.stdout is not None
        self._stdin: IO[bytes] = self._running.stdin
        self._stdout: IO[bytes] = self._running.stdout

    def tell(self, verb: str, **arguments: Any) -> None:
        """Give an order without waiting for the answer."""
        try:
            self._stdin.write(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            self._stdin.flush()
        except OSError as error:
            raise NoAnswer(f"a test process has ended: {error}") from None

    def answer(self) -> Any:
        """The answer to the oldest order, within `answer_s` (4 s), and before the whole run is over."""
        limit_s = ANSWER_S_MAX if self.answer_s is None else self.answer_s
        left_s = min(limit_s, self._until_s - self._host.monotonic_s())
        ready, _, _ = select.select([self._stdout], [], [], max(0.0, left_s))
        line = self._stdout.readline() if ready else b""
        if not line:
            raise NoAnswer("a test process did not answer")
        return json.loads(line)

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Order and answer."""
        self.tell(verb, **arguments)
        return self.answer()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._running.send_signal(signal.SIGKILL)
        self._running.wait(timeout=ANSWER_S_MAX)

    def close(self) -> None:
        """End it in any state."""
        self._running.kill()
        self._running.wait()
        for stream in (self._stdin, self._stdout):
            try:
                stream.close()
            except OSError:
                pass  # an order that nobody read


class Bench:
    """The folder of one run and its processes. Usable once, as a context manager; leaves nothing behind."""

    def __init__(self, directory: str, *, host: Host, peer: Sequence[str]) -> None:
        self.host = host
        self.folder = os.path.join(os.path.abspath(directory), f".selftest-{os.getpid()}-{os.urandom(4).hex()}")
        self._command = peer
        self._deadline_s = host.monotonic_s() + RUN_S_MAX
        self._peers: list[Peer] = []

    def __enter__(self) -> Self:
        try:
            os.mkdir(self.folder, 0o700)
        except OSError as error:
            raise StoreUnavailable(f"cannot make a folder to test in: {self.folder}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for peer in self._peers:
            peer.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def peer(self) -> Peer:
        """A new process; it ends with the bench at the latest."""
        peer = Peer(self._command, self.folder, host=self.host, until_s=self._deadline_s)
        self._peers.append(peer)
        return peer

    def path(self, name: str) -> str:
        """A name in the folder of the run."""
        return os.path.join(self.folder, name)

    def make(self, name: str, raw: bytes = b"") -> str:
        """A file with these bytes; its path."""
        path = self.path(name)
        fd = self.host.open(path, os.O_RDWR | os.O_CREAT)
        try:
            if raw:
                self.host.pwrite(fd, raw, 0)
        finally:
            self.host.close(fd)
        return path

    def until_s(self, seconds: float) -> float:
        """A deadline this far away, on the host's monotonic clock."""
        return self.host.monotonic_s() + seconds


def run_selftest(
    directory: str, *, host: Host | None = None, peer: Sequence[str] = PEER, only: Sequence[str] = ()
) -> tuple[Check, ...]:
    """Every check (or those named in `only`) in a new folder below `directory`, which must exist.

    `host` and `peer` (the command of a test process; the folder is added) are for tests of the test. Raises
    `StoreUnavailable` when the folder cannot be made. Never raises for a refuted promise: that is a `fail`.
    """
    from sharedstate.files.selftest_checks import CHECKS

    chosen = [check for check in CHECKS if not only or check.__name__ in only]
    with Bench(directory, host=host or Host(), peer=peer) as bench:
        deadline_s = bench.until_s(RUN_S_MAX - ANSWER_S_MAX)
        return tuple(_made(check, bench, deadline_s) for check in chosen)


def _made(check: Callable[[Bench], Check], bench: Bench, deadline_s: float) -> Check:
    name = check.__name__
    if bench.host.monotonic_s() > deadline_s:
        return Check(name=name, verdict=UNKNOWN, what="no time left: an earlier check hung")
    try:
        return check(bench)
    except NoAnswer as error:
        return Check(name=name, verdict=UNKNOWN, what=str(error))
    except SharedStateError as error:
        return Check(name=name, verdict=FAIL, what=str(error))
    except OSError as error:
        return Check(name=name, verdict=FAIL, what=f"a call was refused: {error.strerror or error}")

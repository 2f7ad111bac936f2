"""Processes that never outlive the test run that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
START_S_MAX = 30.0
STOP_S_MAX = 15.0


def free_port() -> int:
    """A loopback port that is free now; somebody else may take it before it is used, then starting fails loudly."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class ServerChild:
    """A server as a child that dies with this process, also when this one is killed.

    `group`: what the server itself has started is killed with it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        end: int = signal.SIGTERM,
        user: str | None = None,
        group: bool = False,
    ) -> None:
        self._end = end
        self._group = group
        self._log = log
        libc = ctypes.CDLL(None)

        def dies_with_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL if end == signal.SIGTERM else end)

        with log.open("ab") as out:
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                user=user,
                start_new_session=group,
                preexec_fn=dies_with_parent,  # noqa: PLW1509 - reason: no other way; the parent has one thread then
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready` is True. Raises `RuntimeError` with the log when the server ends or takes too long."""
        deadline = time.monotonic() + START_S_MAX
        while self._child.poll() is None and time.monotonic() < deadline:
            if ready():
                return
            time.sleep(0.02)
        raise RuntimeError(f"the server did not start:\n{self._log.read_text(errors='replace')[-4000:]}")

    def kill(self) -> None:
        """SIGKILL, as a crash does."""
        if self._group:
            os.killpg(self._child.pid, signal.SIGKILL)
        else:
            self._child.kill()
        self._child.wait(STOP_S_MAX)

    def stop(self, *, by: int | None = None) -> None:
        """End it in an orderly way (`by` another signal than usual); nothing when it has ended."""
        if self._child.poll() is None:
            self._child.send_signal(self._end if by is None else by)
            try:
                self._child.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.kill()


def server_folder(name: str, *, owner: str | None = None) -> Path:
    """A new folder directly under the system's temporary one, so that another user can enter it."""
    folder = Path(tempfile.mkdtemp(prefix=f"sharedstate-{name}-"))
    if owner is not None:
        import pwd

        entry = pwd.getpwnam(owner)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    return folder

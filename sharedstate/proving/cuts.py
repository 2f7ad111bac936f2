"""Connections cut off in the middle: ours, from our own side, at a moment that nobody chose.

Sockets of this process are shut down (over TLS, Unix sockets and poolers alike), and programs that it has started are
killed: for a store that speaks by a program these are its connections. What was on its way arrives or does not, and
the answer is lost.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
from types import TracebackType
from typing import Final, Self

from sharedstate.host import Host

_FOLDERS: Final = ("/proc/self/fd", "/dev/fd")
_FIRST: Final = 3
_NAP_S: Final = 0.002


class Cutter:
    """A thread that cuts once after each `arm`, within `span_s`, unless `disarm` comes first. A context manager."""

    def __init__(self, host: Host, *, span_s: float) -> None:
        self.cuts = 0
        self._host = host
        self._span_s = span_s
        self._armed = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._armed.set()
        self._thread.join()

    def arm(self) -> None:
        """An operation begins."""
        self._armed.set()

    def disarm(self) -> None:
        """It has ended; what was not cut by now is left alone."""
        self._armed.clear()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._armed.wait()
            share = int.from_bytes(self._host.entropy(2), "big") / 65536
            self._host.sleep(share * self._span_s)
            if self._armed.is_set() and not self._ending.is_set():
                self.cuts += cut_connections() + cut_children()
                self._armed.clear()
            else:
                self._host.sleep(_NAP_S)


def cut_connections() -> int:
    """Shut down every connected stream socket of this process; how many there were."""
    return sum(_shut(fd) for fd in _descriptors())


def cut_children() -> int:
    """Kill every running program that this process has started; how many there were. Linux only."""
    try:
        threads = os.listdir("/proc/self/task")
    except OSError:
        return 0
    killed = 0
    for thread in threads:
        try:
            with open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:
                children = [int(word) for word in file.read().split()]
        except (OSError, ValueError):
            continue
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
                killed += 1
            except OSError:
                pass
    return killed


def _descriptors() -> list[int]:
    for folder in _FOLDERS:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        return [int(name) for name in names if name.isdigit() and int(name) >= _FIRST]
    return []


def _shut(fd: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return False
        copy = socket.socket(fileno=os.dup(fd))
    except OSError:
        return False
    with copy:
        try:
            copy.getpeername()
            copy.shutdown(socket.SHUT_RDWR)
        except OSError:
            return False
    return True

"""Signals as an ordered stream that one `poll` waits for, so that nothing happens inside a handler."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Any, Final, Self

# Somebody wants us to end: what was begun is abandoned.
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
FORWARDED: Final = (*ENDING, signal.SIGUSR1, signal.SIGUSR2)
# Ours in any case, also when whoever started us ignores them.
_NEEDED: Final = (signal.SIGCHLD, signal.SIGCONT)
_HEARD: Final = (*FORWARDED, signal.SIGTSTP, *_NEEDED)
# The interpreter ignores these two; programs expect the system's default.
_IGNORED_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ)


class Signals:
    """While entered, signals wait in a pipe. What was ignored before (`nohup`, `&` in a script) stays ignored."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._source, self._sink = -1, -1
        self._poller = select.poll()

    def __enter__(self) -> Self:
        self._source, self._sink = os.pipe()
        os.set_blocking(self._source, False)
        os.set_blocking(self._sink, False)
        self._poller.register(self._source, select.POLLIN)
        signal.set_wakeup_fd(self._sink, warn_on_full_buffer=False)
        for number in _HEARD:
            if number in _NEEDED or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _note)
        # Giving the terminal away and taking it back from the background would stop us otherwise.
        self._before[signal.SIGTTOU] = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._source)
        os.close(self._sink)

    def wait(self, timeout_ms: int) -> list[int]:
        """The signals that have come, oldest first; waits for one at most `timeout_ms`."""
        self._poller.poll(timeout_ms)
        try:
            return list(os.read(self._source, 4096))
        except BlockingIOError:
            return []

    def reset(self) -> None:
        """In a fork, before another program takes its place: everything as that program expects it."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if handler is signal.SIG_IGN else signal.SIG_DFL)
        for number in _IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)


def stop_own_job() -> None:
    """Stop like a job on Ctrl-Z, with everybody in our process group; returns when continued.

    By SIGTSTP, because the kernel ignores it where no shell is left that could continue us.
    """
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.killpg(os.getpgrp(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, before)


def name_of(number: int) -> str:
    """`SIGTERM`, or `signal 64` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _note(number: int, frame: FrameType | None) -> None:
    """The number is in the pipe already."""

"""Starting a program that does not begin before it is known: it waits for a go-ahead, and ends without one."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Final

_GO: Final = b"g"
NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127


class Waiting:
    """A fork of this process, in a session of its own, that becomes the program once it may.

    Should its parent die before the go-ahead, it ends: the pipe on which it waits is closed then.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], folder: str, log: int) -> None:
        source, self._go = os.pipe()
        self._error, sink = os.pipe()  # closed by a successful exec
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._go)
                _become(command, environment=environment, folder=folder, log=log, source=source)
            except OSError as error:
                os.write(sink, b"%d" % (error.errno or errno.EINVAL))
            finally:
                os._exit(NOT_FOUND)
        os.close(source)
        os.close(sink)

    def go(self) -> int:
        """Let it begin; returns 0 when it has, else the number of the error that kept it from it."""
        try:
            os.write(self._go, _GO)
        except BrokenPipeError:
            pass  # it has failed already, and said why
        os.close(self._go)
        raw = os.read(self._error, 16)
        os.close(self._error)
        return int(raw) if raw else 0

    def give_up(self) -> None:
        """No go-ahead: it ends without having begun."""
        os.close(self._go)
        os.close(self._error)


def code_of_error(number: int) -> int:
    """The exit code that shells have for a program that cannot be executed."""
    return NOT_FOUND if number in (errno.ENOENT, errno.ENOTDIR) else NOT_EXECUTABLE


def code_of_status(status: int) -> int:
    """The exit code as shells have it: 128 and the number for a signal."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _become(command: Sequence[str], *, environment: Mapping[str, str], folder: str, log: int, source: int) -> None:
    signal.set_wakeup_fd(-1)  # our parent's pipe
    for number in signal.valid_signals():
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    if os.read(source, 1) != _GO:
        os._exit(0)
    os.execvpe(command[0], list(command), environment)  # noqa: S606 - a shell is what we do not want

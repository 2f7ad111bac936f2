"""Start a program in a process group of its own, and find out what became of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence

from sharedstate.values import Value
from sharedstate_cli.running.guard import Guard, end_group
from sharedstate_cli.running.signals import Signals, name_of
from sharedstate_cli.running.terminal import Terminal

NOT_EXECUTABLE = 126
NOT_FOUND = 127
_SIGNALLED = 128
_FLAGS = os.WNOHANG | os.WUNTRACED | getattr(os, "WCONTINUED", 0)


class NotStarted(Exception):
    """There is no such program, or it cannot be executed; `code` as shells have it: 127 or 126."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(f"{name}: {os.strerror(number)}")
        self.code = NOT_FOUND if number in (errno.ENOENT, errno.ENOTDIR) else NOT_EXECUTABLE


class Stopped(Value):
    """The program has been stopped by this signal."""

    signal: int


class Continued(Value):
    """The program goes on."""


class Ended(Value):
    """The program has ended with an exit code, or by a signal (0 when it was none)."""

    code: int
    signal: int = 0

    @property
    def exit_code(self) -> int:
        """The exit code as shells have it: 128 and the number for a signal."""
        return _SIGNALLED + self.signal if self.signal else self.code

    def text(self) -> str:
        """`exit 3` or `signal SIGTERM`."""
        return f"signal {name_of(self.signal)}" if self.signal else f"exit {self.code}"


Change = Stopped | Continued | Ended


class Program:
    """A running program: `pid`, which is the id of its process group too."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def change(self) -> Change | None:
        """What has happened to it since the last question; None when nothing has. Ask until None."""
        pid, status = os.waitpid(self.pid, _FLAGS)
        if pid == 0:
            return None
        if os.WIFSTOPPED(status):
            return Stopped(signal=os.WSTOPSIG(status))
        if os.WIFCONTINUED(status):
            return Continued()
        if os.WIFSIGNALED(status):
            return Ended(code=0, signal=os.WTERMSIG(status))
        return Ended(code=os.WEXITSTATUS(status))

    def send(self, number: int) -> None:
        """Send a signal to everybody in its group."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # ended, or not ours any more: nothing that waiting for its end would not show

    def end(self, number: int) -> None:
        """Send a signal to everybody in its group, and wake those that are stopped, so that they hear it."""
        end_group(self.pid, number)


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    guard: Guard,
    signals: Signals,
    terminal: Terminal | None,
    stdout_to_stderr: bool,
) -> Program:
    """Start `command`, found on PATH. With `terminal` it begins in the foreground. Raises `NotStarted`.

    By fork and exec, because between the two the program must get its group, the guard its name, and only then the
    terminal: started any other way it could read the terminal before it may, and be stopped for it.
    """
    source, sink = os.pipe()  # closed by a successful exec
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            guard.watch(os.getpid())
            if terminal is not None:
                terminal.lend(os.getpid())
            signals.reset()
            if stdout_to_stderr:
                os.dup2(2, 1)
            os.execvpe(command[0], list(command), environment)  # noqa: S606 - a shell is what we do not want
        except OSError as error:
            os.write(sink, b"%d" % (error.errno or errno.EINVAL))
        finally:
            os._exit(NOT_FOUND)
    os.close(sink)
    raw = os.read(source, 16)
    os.close(source)
    if terminal is not None:
        terminal.lent = True
    if raw:
        os.waitpid(pid, 0)
        raise NotStarted(command[0], int(raw))
    return Program(pid)

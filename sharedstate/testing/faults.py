"""Faults by plan: a host that counts its file calls and lets chosen ones fail, fall short, or be the last.

    host = FaultHost(Host(), crash_at(7, when="after"))
    host = FaultHost(Host(), fail_operation("fsync", nth=1, error=errno.EIO))

Run an operation once with no plan, look at `host.calls`, then run it once for each call and each fault.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from typing import Any, Final, Literal, NoReturn

from sharedstate.host import Host
from sharedstate.testing.disk_calls import Crashed
from sharedstate.testing.interposed import InterposedHost
from sharedstate.values import Value

__all__ = [
    "CRASH_EXIT_CODE",
    "PLAUSIBLE",
    "Call",
    "Crashed",
    "Fault",
    "FaultHost",
    "Plan",
    "crash_at",
    "exit_now",
    "fail_call",
    "fail_operation",
    "kill_now",
    "shorten_call",
]

CRASH_EXIT_CODE: Final = 66
_SPACE, _READ = (errno.ENOSPC, errno.EIO, errno.EROFS), (errno.EIO,)
# Which errors a healthy kernel may answer a call with, on a disk that is full, broken, read-only or not ours.
PLAUSIBLE: Final[dict[str, tuple[int, ...]]] = {
    "open": (errno.EMFILE, errno.EACCES, *_SPACE),
    "open_dir": (errno.EMFILE, errno.EACCES, errno.EIO),
    "mkdir": (errno.EACCES, *_SPACE),
    "rename": (errno.EACCES, *_SPACE),
    "unlink": (errno.EACCES, errno.EROFS, errno.EIO),
    "pwrite": (errno.ENOSPC, errno.EIO),
    "fsync": (errno.EIO, errno.ENOSPC),
    "fdatasync": (errno.EIO, errno.ENOSPC),
    "pread": _READ,
    "listdir": _READ,
    "lstat": (errno.EACCES, errno.EIO),
    "fstat": _READ,
    "close": _READ,
    "try_lock": (errno.ENOLCK,),
    "wait_lock": (errno.ENOLCK,),
}


class Call(Value):
    """One file call: `number` 1, 2, 3 … of this host, `operation` as the method of `Host`, `name` where it has one."""

    number: int
    operation: str
    name: str


class Fault(Value):
    """What happens to a call: it raises `error` without being done; a write is cut to half (`short`); the process dies
    `before` or `after` it. `short` with a death after it leaves a torn write."""

    error: int = 0
    short: bool = False
    crash: Literal["", "before", "after"] = ""


Plan = Callable[[Call], Fault | None]


def fail_call(number: int, *, error: int) -> Plan:
    """Call `number` raises this errno."""
    fault = Fault(error=error)
    return lambda call: fault if call.number == number else None


def shorten_call(number: int, *, crash: Literal["", "after"] = "") -> Plan:
    """Call `number`, a write, takes only half of its bytes; with `crash` the process dies then."""
    fault = Fault(short=True, crash=crash)
    return lambda call: fault if call.number == number else None


def crash_at(number: int, *, when: Literal["before", "after"]) -> Plan:
    """The process dies right before or right after call `number`."""
    fault = Fault(crash=when)
    return lambda call: fault if call.number == number else None


def fail_operation(operation: str, *, nth: int = 1, error: int, forever: bool = False) -> Plan:
    """The `nth` call of an operation raises this errno; with `forever` every later one too, as on a full disk."""
    seen = 0

    def plan(call: Call) -> Fault | None:
        nonlocal seen
        if call.operation != operation:
            return None
        seen += 1
        return Fault(error=error) if seen == nth or (forever and seen > nth) else None

    return plan


def exit_now() -> NoReturn:
    """An end for `FaultHost(on_crash=…)`: leave the process without any cleaning up, code `CRASH_EXIT_CODE`."""
    os._exit(CRASH_EXIT_CODE)


def kill_now() -> None:
    """An end for `FaultHost(on_crash=…)`: SIGKILL to this very process."""
    os.kill(os.getpid(), signal.SIGKILL)


class FaultHost(InterposedHost):
    """Wraps a host, records every file call in `calls`, and applies the faults of `plan`.

    A crash calls `on_crash` (`exit_now`, `kill_now`) if given. Else it closes what this host has open, as the kernel
    does for a dead process, and raises `Crashed`, as every later call does: the objects above are to be thrown away.
    `plan` may be exchanged at any time; None lets everything pass.
    """

    def __init__(self, inner: Host, plan: Plan | None = None, *, on_crash: Callable[[], object] | None = None) -> None:
        super().__init__(inner)
        self.plan = plan
        self.calls: list[Call] = []
        self.crashed = False
        self._on_crash = on_crash
        self._open: set[int] = set()

    def forget_calls(self) -> None:
        """Start counting anew."""
        self.calls.clear()

    def descriptor_count(self) -> int:
        """How many descriptors opened through this host are still open."""
        return len(self._open)

    def crash(self) -> NoReturn:
        """Die now."""
        if self._on_crash is not None:
            self._on_crash()
        self.crashed = True
        for fd in self._open:
            self.inner.close(fd)
        self._open.clear()
        raise Crashed

    def _call(self, operation: str, name: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if self.crashed:
            if operation == "close":
                return None  # finalizers of the dead
            raise Crashed
        call = Call(number=len(self.calls) + 1, operation=operation, name=name)
        self.calls.append(call)
        fault = self.plan(call) if self.plan is not None else None
        if fault is None:
            return self._done(operation, arguments, function(*arguments, **named))
        if fault.crash == "before":
            self.crash()
        if fault.error:
            self._fail(operation, name, fault.error, arguments)
        if fault.short and operation == "pwrite":
            arguments = shortened(arguments)
        try:
            return self._done(operation, arguments, function(*arguments, **named))
        finally:  # also after a call that failed by itself
            if fault.crash == "after":
                self.crash()

    def _done(self, operation: str, arguments: tuple[Any, ...], result: Any) -> Any:
        if operation in ("open", "open_dir"):
            self._open.add(result)
        elif operation == "close" or (operation == "wait_lock" and result is False):
            self._open.discard(arguments[0])
        return result

    def _fail(self, operation: str, name: str, error: int, arguments: tuple[Any, ...]) -> NoReturn:
        fail(self.inner, operation, arguments)
        if operation == "close":
            self._open.discard(arguments[0])
        raise OSError(error, os.strerror(error), name) if name else OSError(error, os.strerror(error))


def shortened(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of a `pwrite` that takes only half of its bytes, and at least one."""
    fd, raw, offset = arguments
    return fd, raw[: max(1, len(raw) // 2)], offset


def fail(inner: Host, operation: str, arguments: tuple[Any, ...]) -> None:
    """What a failing call does all the same: a close frees the descriptor, an fsync drops the dirty marks."""
    if operation == "close":
        inner.close(arguments[0])
    elif operation in ("fsync", "fdatasync"):
        drop = getattr(inner, "fail_fsync", None)
        if drop is not None:
            drop(arguments[0])

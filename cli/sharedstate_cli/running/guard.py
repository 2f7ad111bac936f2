"""A guard for the program: when we are killed, it ends the program, so that no orphan works on under a claim that is
gone.

The claim is bound to us. Killed, we are provably dead, and somebody else may begin at once. Why not PR_SET_PDEATHSIG:
it needs ctypes, which costs 2 to 4 ms of start-up, and it reaches only the program itself, not what that has started.
The guard is a fork that waits for the end of a pipe, and costs under a millisecond.
"""

from __future__ import annotations

import os
import signal

from sharedstate.host import Host

_STEP_S = 0.05
_DESCRIPTORS_MAX = 1 << 20


class Guard:
    """A fork of this process in a session of its own. It does nothing unless this process ends without `dismiss`."""

    def __init__(self, *, grace_ms: int, host: Host) -> None:
        source, self._sink = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _keep_watch(source, grace_ms=grace_ms, host=host)
            finally:
                os._exit(0)
        os.close(source)

    def watch(self, group: int) -> None:
        """End this process group, should we be killed."""
        os.write(self._sink, b"%d" % group)

    def dismiss(self) -> None:
        """The program has ended: so does the guard."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._sink)


def end_group(group: int, number: int) -> bool:
    """Send a signal to a process group, stopped members included; False when nobody is left in it."""
    try:
        os.killpg(group, number)
        os.killpg(group, signal.SIGCONT)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # a member has changed its user; the others got it
    return True


def _keep_watch(source: int, *, grace_ms: int, host: Host) -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    _keep_only(source)
    told = b""
    while raw := os.read(source, 64):
        told += raw
    group = int(told)
    deadline_s = host.monotonic_s() + grace_ms / 1000
    alive = end_group(group, signal.SIGTERM)
    while alive and host.monotonic_s() < deadline_s:
        host.sleep(_STEP_S)
        alive = _is_there(group)
    if alive:
        end_group(group, signal.SIGKILL)


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _keep_only(fd: int) -> None:
    """Hold open nothing of our twin's: neither its streams (their readers wait for the end) nor its locks."""
    os.closerange(3, fd)
    os.closerange(fd + 1, _DESCRIPTORS_MAX)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)

"""A bounded wait for a kernel lock: a few short tries, then the kernel's own queue.

Most holders are done within a millisecond, so a few short pauses usually do, and cost no thread. Polling for longer
starves (one of eight processes got 81 times the share of another); the kernel's queue does not, but has no time-out. So
a thread waits there and the caller waits for the thread. When the time is over the descriptor is abandoned to the
thread, which closes it as soon as it gets the lock: nothing stays held.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Final

if sys.platform == "win32":
    import portalocker
else:
    import fcntl

_TRIES_S: Final = (50e-6, 100e-6, 200e-6, 400e-6, 800e-6)
_STARTING, _HELD, _ABANDONED, _FAILED = range(4)


class _Waiter:
    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.state = _STARTING
        self.error: BaseException | None = None
        self.guard = threading.Lock()
        self.settled = threading.Event()

    def run(self) -> None:
        try:
            _block(self.fd)
        except BaseException as error:  # noqa: BLE001 - reason: handed to the waiting caller, never swallowed
            self.error = error
        with self.guard:
            if self.state == _ABANDONED:
                os.close(self.fd)  # the last descriptor of this open file: the lock goes with it
                return
            self.state = _FAILED if self.error else _HELD
        self.settled.set()


def wait_in_kernel_queue(fd: int, *, timeout_s: float) -> bool:
    """Wait at most `timeout_s` seconds for the exclusive lock of `fd`; True when held.

    After False the descriptor belongs to the waiting thread, which closes it; the caller opens a new one.
    Raises `OSError` when the lock cannot be had at all.
    """
    if _try_briefly(fd, timeout_s=timeout_s):
        return True
    waiter = _Waiter(fd)
    threading.Thread(target=waiter.run, name="sharedstate-lock-wait", daemon=True).start()
    waiter.settled.wait(timeout_s)
    with waiter.guard:
        if waiter.state == _STARTING:
            waiter.state = _ABANDONED
            return False
    if waiter.error is not None:
        raise OSError(f"lock failed: {waiter.error}") from waiter.error
    return True


if sys.platform == "win32":

    def _try_briefly(fd: int, *, timeout_s: float) -> bool:
        return False

    def _block(fd: int) -> None:
        portalocker.lock(fd, portalocker.LockFlags.EXCLUSIVE)

else:

    def _try_briefly(fd: int, *, timeout_s: float) -> bool:
        for pause_s in _TRIES_S:
            if pause_s >= timeout_s:
                return False
            time.sleep(pause_s)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return True
        return False

    def _block(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX)

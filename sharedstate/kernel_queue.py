"""A bounded wait in the kernel's own lock queue.

Polling a lock starves (one of eight processes got 81 times the share of another); the kernel's queue is fair but
has no time-out. So a helper thread waits there, with portalocker's kernel-blocking flags, and the caller waits for
the thread. When the time is over the descriptor is abandoned to the thread, which closes it as soon as it gets the
lock: nothing stays held.

Imported only under contention: portalocker costs 45 ms, and imports redis where that is installed.
"""

from __future__ import annotations

import os
import threading

import portalocker

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
            portalocker.lock(self.fd, portalocker.LockFlags.EXCLUSIVE)
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

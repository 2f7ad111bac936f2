"""A lock that threads and processes of one machine take in turn, with a bounded wait."""

from __future__ import annotations

import errno
import os
import threading

from sharedstate.errors import StoreBusy, StoreUnavailable
from sharedstate.host import Host


class MachineLock:
    """An advisory lock on a file that is never removed. It ends with its process, however that ends."""

    def __init__(self, path: str, *, host: Host) -> None:
        self._path = path
        self._host = host
        self._turn = threading.Lock()
        self._fd: int | None = None

    def acquire(self, *, deadline_s: float) -> None:
        """Wait until `deadline_s` of the host's monotonic clock. Raises `StoreBusy`, `StoreUnavailable`."""
        left_s = deadline_s - self._host.monotonic_s()
        if not self._turn.acquire(timeout=max(0.0, left_s)):
            raise self._busy()
        try:
            if not self._locked(max(0.0, deadline_s - self._host.monotonic_s())):
                raise self._busy()
        except BaseException:
            self._turn.release()
            raise

    def acquire_now(self) -> bool:
        """Take the lock if it is free now."""
        if not self._turn.acquire(blocking=False):
            return False
        try:
            held = self._host.try_lock(self._opened())
        except BaseException:
            self._turn.release()
            raise
        if not held:
            self._turn.release()
        return held

    def release(self) -> None:
        """Let the next one have it."""
        assert self._fd is not None
        try:
            self._host.unlock(self._fd)
        finally:
            self._turn.release()

    def close(self) -> None:
        """Give the descriptor back when nobody holds the lock; the next taker opens another."""
        if self._turn.acquire(blocking=False):
            try:
                if self._fd is not None:
                    os.close(self._fd)
                    self._fd = None
            finally:
                self._turn.release()

    def _locked(self, left_s: float) -> bool:
        fd = self._opened()
        if self._host.try_lock(fd):
            return True
        self._fd = None  # after a wait in vain the descriptor is gone
        try:
            held = self._host.wait_lock(fd, timeout_s=left_s)
        except OSError as error:
            raise StoreUnavailable(f"lock {os.path.basename(self._path)}: {error}") from error
        if held:
            self._fd = fd
        return held

    def _opened(self) -> int:
        if self._fd is None:
            try:
                self._fd = self._host.open(self._path, os.O_RDWR | os.O_CREAT)
            except OSError as error:
                unsafe = " (a link in its place is refused)" if error.errno == errno.ELOOP else ""
                raise StoreUnavailable(f"lock {self._path}: {error.strerror}{unsafe}") from error
        return self._fd

    def _busy(self) -> StoreBusy:
        return StoreBusy(f"lock {os.path.basename(self._path)}: others hold it for too long")

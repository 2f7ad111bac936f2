"""A host around a host: every file call passes one method, everything else goes straight through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sharedstate.clock import Instant
from sharedstate.host import FileInfo, Host
from sharedstate.ids import Process


class InterposedHost(Host):
    """Forwards to `inner`. A subclass overrides `_call`, through which every file call and lock goes."""

    def __init__(self, inner: Host) -> None:
        super().__init__()
        self.inner = inner

    def _call(self, operation: str, name: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """One call of the kind `operation`: do it with `function(*arguments, **named)`, or something else."""
        return function(*arguments, **named)

    # Clock, randomness, processes

    def now(self) -> Instant:
        """As `inner`."""
        return self.inner.now()

    def monotonic_s(self) -> float:
        """As `inner`."""
        return self.inner.monotonic_s()

    def boot_id(self) -> str:
        """As `inner`."""
        return self.inner.boot_id()

    def sleep(self, seconds: float) -> None:
        """As `inner`."""
        self.inner.sleep(seconds)

    def entropy(self, count: int) -> bytes:
        """As `inner`."""
        return self.inner.entropy(count)

    def pid(self) -> int:
        """As `inner`."""
        return self.inner.pid()

    def uid(self) -> int:
        """As `inner`."""
        return self.inner.uid()

    def process(self, pid: int) -> Process | None:
        """As `inner`."""
        return self.inner.process(pid)

    def is_dead(self, process: Process) -> bool:
        """As `inner`."""
        return self.inner.is_dead(process)

    def is_stopped(self, process: Process) -> bool:
        """As `inner`."""
        return self.inner.is_stopped(process)

    def send_signal(self, process: Process, number: int) -> bool:
        """As `inner`."""
        return self.inner.send_signal(process, number)

    def family(self, pid: int) -> tuple[Process, ...]:
        """As `inner`."""
        return self.inner.family(pid)

    # Files and locks

    def open_dir(self, name: str, *, dir_fd: int | None = None) -> int:
        """Through `_call`."""
        fd: int = self._call("open_dir", name, self.inner.open_dir, name, dir_fd=dir_fd)
        return fd

    def open(self, name: str, flags: int, *, dir_fd: int | None = None) -> int:
        """Through `_call`."""
        fd: int = self._call("open", name, self.inner.open, name, flags, dir_fd=dir_fd)
        return fd

    def close(self, fd: int) -> None:
        """Through `_call`."""
        self._call("close", "", self.inner.close, fd)

    def pread(self, fd: int, count: int, offset: int) -> bytes:
        """Through `_call`."""
        raw: bytes = self._call("pread", "", self.inner.pread, fd, count, offset)
        return raw

    def pwrite(self, fd: int, raw: bytes, offset: int) -> int:
        """Through `_call`."""
        count: int = self._call("pwrite", "", self.inner.pwrite, fd, raw, offset)
        return count

    def fsync(self, fd: int) -> None:
        """Through `_call`."""
        self._call("fsync", "", self.inner.fsync, fd)

    def fdatasync(self, fd: int) -> None:
        """Through `_call`."""
        self._call("fdatasync", "", self.inner.fdatasync, fd)

    def fstat(self, fd: int) -> FileInfo:
        """Through `_call`."""
        info: FileInfo = self._call("fstat", "", self.inner.fstat, fd)
        return info

    def lstat(self, name: str, *, dir_fd: int | None = None) -> FileInfo:
        """Through `_call`."""
        info: FileInfo = self._call("lstat", name, self.inner.lstat, name, dir_fd=dir_fd)
        return info

    def rename(self, old: str, new: str, *, dir_fd: int | None = None) -> None:
        """Through `_call`."""
        self._call("rename", new, self.inner.rename, old, new, dir_fd=dir_fd)

    def unlink(self, name: str, *, dir_fd: int | None = None) -> None:
        """Through `_call`."""
        self._call("unlink", name, self.inner.unlink, name, dir_fd=dir_fd)

    def mkdir(self, name: str, *, dir_fd: int | None = None) -> None:
        """Through `_call`."""
        self._call("mkdir", name, self.inner.mkdir, name, dir_fd=dir_fd)

    def listdir(self, dir_fd: int) -> list[str]:
        """Through `_call`."""
        names: list[str] = self._call("listdir", "", self.inner.listdir, dir_fd)
        return names

    def try_lock(self, fd: int) -> bool:
        """Through `_call`."""
        held: bool = self._call("try_lock", "", self.inner.try_lock, fd)
        return held

    def wait_lock(self, fd: int, *, timeout_s: float) -> bool:
        """Through `_call`."""
        held: bool = self._call("wait_lock", "", self.inner.wait_lock, fd, timeout_s=timeout_s)
        return held

    def unlock(self, fd: int) -> None:
        """Through `_call`."""
        self._call("unlock", "", self.inner.unlock, fd)

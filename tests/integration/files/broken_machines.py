"""Machines with one broken promise each, for the self-test; run as a program, a process on such a machine."""

from __future__ import annotations

import errno
import fcntl
import os
import sys

from sharedstate.clock import Instant
from sharedstate.files.selftest_peer import main
from sharedstate.host import Host


class LockDoesNothing(Host):
    """As on a file system that accepts every lock and honours none."""

    def try_lock(self, fd: int) -> bool:
        return True

    def wait_lock(self, fd: int, *, timeout_s: float) -> bool:
        return True

    def unlock(self, fd: int) -> None:
        return


class LockFallsWithAnyClose(Host):
    """POSIX record locks: gone when the process closes any descriptor of the file."""

    def try_lock(self, fd: int) -> bool:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def unlock(self, fd: int) -> None:
        fcntl.lockf(fd, fcntl.LOCK_UN)


class LockRefused(Host):
    """As on a mount without locks."""

    def try_lock(self, fd: int) -> bool:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


class RenameCopies(Host):
    """As on a mount where a rename truncates the target and writes it again."""

    def rename(self, old: str, new: str, *, dir_fd: int | None = None) -> None:
        source = os.open(old, os.O_RDONLY, dir_fd=dir_fd)
        raw = os.read(source, 1 << 20)
        os.close(source)
        target = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=dir_fd)
        for start in range(0, len(raw), 100):
            os.write(target, raw[start : start + 100])
        os.close(target)
        os.unlink(old, dir_fd=dir_fd)


class RenameLeavesAGap(Host):
    """A rename that removes the target first."""

    def rename(self, old: str, new: str, *, dir_fd: int | None = None) -> None:
        try:
            os.unlink(new, dir_fd=dir_fd)
        except FileNotFoundError:
            pass
        super().rename(old, new, dir_fd=dir_fd)


class CreateIsNotExclusive(Host):
    """O_EXCL is ignored, as by old network file systems."""

    def open(self, name: str, flags: int, *, dir_fd: int | None = None) -> int:
        return super().open(name, flags & ~os.O_EXCL, dir_fd=dir_fd)


class LinksAreFollowed(Host):
    """O_NOFOLLOW is ignored."""

    def open(self, name: str, flags: int, *, dir_fd: int | None = None) -> int:
        return os.open(name, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o600, dir_fd=dir_fd)


class FoldersCannotBeSynced(Host):
    """fsync of a directory is refused."""

    def fsync(self, fd: int) -> None:
        if self.fstat(fd).is_dir:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        super().fsync(fd)


class NamesAreCut(Host):
    """A file system that keeps the first 12 characters of a name."""

    def open(self, name: str, flags: int, *, dir_fd: int | None = None) -> int:
        folder, last = os.path.split(name)
        return super().open(os.path.join(folder, last[:12]), flags, dir_fd=dir_fd)


class ClockGoesBack(Host):
    """A boot clock that jumps back now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._readings = 0

    def now(self) -> Instant:
        self._readings += 1
        now = super().now()
        return now.replace(boot_ms=now.boot_ms - 50) if self._readings % 7 == 0 else now


class WritesAreNotInPlace(Host):
    """Every write empties the file first."""

    def pwrite(self, fd: int, raw: bytes, offset: int) -> int:
        before = os.pread(fd, 1 << 16, 0)
        os.ftruncate(fd, 0)
        after = before[:offset].ljust(offset, b"\0") + raw + before[offset + len(raw) :]
        os.pwrite(fd, after, 0)
        return len(raw)


if __name__ == "__main__":
    main(globals()[sys.argv[1]](), sys.argv[2])

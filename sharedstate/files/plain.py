"""Plain files, safely: kept descriptors, reading without being led astray, replacing without tearing."""

from __future__ import annotations

import os

from sharedstate.errors import Corrupt, DurabilityUnknown, UnsafeStore
from sharedstate.files.faults import translated
from sharedstate.host import FileInfo, Host

TEMP_PREFIX = ".tmp-"


class Descriptor:
    """A kept descriptor, closed when its last user lets go of it.

    A thread may replace a stale descriptor while another still works with it. Closing it under that thread would let
    the kernel give its number to some other file, and the thread would write there. So hold the object, not its `fd`,
    for as long as the number is used.
    """

    __slots__ = ("_host", "fd")

    def __init__(self, host: Host, fd: int) -> None:
        self._host = host
        self.fd = fd

    def abandon(self) -> None:
        """Forget the number without closing: somebody else owns it now."""
        self.fd = -1

    def __del__(self) -> None:
        if self.fd >= 0:
            try:
                self._host.close(self.fd)
            except BaseException:  # noqa: BLE001, S110 - reason: a finalizer has nobody to tell
                pass


def check_plain(info: FileInfo, *, uid: int, what: str) -> None:
    """`UnsafeStore` unless it is a regular file of ours with one name (none: replaced while we had it open)."""
    if not info.is_file:
        raise UnsafeStore(f"{what}: not a regular file")
    if info.links > 1:
        raise UnsafeStore(f"{what}: has {info.links} hard links; records have one name")
    if info.uid != uid:
        raise UnsafeStore(f"{what}: belongs to user {info.uid}, not to {uid}")


def read_plain(host: Host, name: str, *, dir_fd: int, uid: int, bytes_max: int, what: str) -> bytes | None:
    """The content of a plain file, None when there is none. Raises `UnsafeStore`, and `Corrupt` above `bytes_max`."""
    try:
        fd = host.open(name, os.O_RDONLY, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translated(error, what=f"opening {what}") from error
    try:
        info = host.fstat(fd)
        check_plain(info, uid=uid, what=what)
        if info.size > bytes_max:
            raise Corrupt(f"{what}: {info.size} bytes, at most {bytes_max} are allowed")
        return read_fully(host, fd, info.size)
    finally:
        host.close(fd)


def read_fully(host: Host, fd: int, count: int, offset: int = 0) -> bytes:
    """`count` bytes at `offset`, fewer only at the end of the file."""
    raw = host.pread(fd, count, offset)
    while 0 < len(raw) < count:
        piece = host.pread(fd, count - len(raw), offset + len(raw))
        if not piece:
            break
        raw += piece
    return raw


def write_fully(host: Host, fd: int, raw: bytes, offset: int = 0) -> None:
    """All of `raw` at `offset`, however short the single writes are."""
    written = host.pwrite(fd, raw, offset)
    while written < len(raw):
        written += host.pwrite(fd, raw[written:], offset + written)


def replace_plain(host: Host, name: str, raw: bytes, *, dir_fd: int, durable: bool, what: str) -> None:
    """Give `name` the content `raw`, whole or not at all.

    Raises `StoreUnavailable` with the old content intact, or `DurabilityUnknown` when only the last fsync failed.
    """
    temp = f"{TEMP_PREFIX}{host.pid()}-{host.entropy(8).hex()}"
    step = "creating"
    try:
        fd = host.open(temp, os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=dir_fd)
        try:
            step = "writing"
            write_fully(host, fd, raw)
            if durable:
                step = "fsync of"  # never retried: after a failure the kernel may have dropped the pages
                host.fsync(fd)
        finally:
            host.close(fd)
        step = "rename of"
        host.rename(temp, name, dir_fd=dir_fd)
    except BaseException as error:
        _discard(host, temp, dir_fd=dir_fd)
        if isinstance(error, OSError):
            raise translated(error, what=f"{step} {what}") from error
        raise
    if durable:
        sync_directory(host, dir_fd, what=what)


def sync_directory(host: Host, dir_fd: int, *, what: str) -> None:
    """Names to stable storage, or `DurabilityUnknown`: the change is visible already."""
    try:
        host.fsync(dir_fd)
    except OSError as error:
        raise DurabilityUnknown(f"{what}: changed, but fsync of its directory failed ({error.strerror})") from error


def _discard(host: Host, temp: str, *, dir_fd: int) -> None:
    try:
        host.unlink(temp, dir_fd=dir_fd)
    except OSError:
        pass  # upkeep removes old ones

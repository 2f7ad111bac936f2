"""Kernel locks: 64 striped lock files for records, one per journal, one for maintenance; never unlinked.

A stripe's lock file doubles as the intent slot of whoever holds it: a line "+journal collection/key" while files of a
record are being changed, its first byte "-" when all is done. A holder that dies in between leaves the "+" behind.
"""

from __future__ import annotations

import errno
import os
from _thread import allocate_lock
from zlib import crc32

from sharedstate.errors import StoreBusy, StoreUnavailable
from sharedstate.files.plain import Descriptor, check_plain, write_fully
from sharedstate.files.roots import LOCKS, Root
from sharedstate.host import Host

STRIPE_COUNT = 64
INTENT_BYTES_MAX = 1024
_DIRTY = b"+"
_CLEAN = b"-"


class Lock:
    """One lock file, held by one thread of one process at a time. Waits are bounded and queue in the kernel."""

    __slots__ = ("_directory", "_file", "_gate", "_inode", "_root", "name")

    def __init__(self, root: Root, name: str) -> None:
        self.name = name
        self._root = root
        self._gate = allocate_lock()
        self._file: Descriptor | None = None
        self._directory: Descriptor | None = None
        self._inode = 0

    @property
    def fd(self) -> int:
        """Descriptor of the lock file; only while held."""
        assert self._file is not None
        return self._file.fd

    def acquire(self, *, timeout_s: float, what: str) -> None:
        """Hold the lock, or raise `StoreBusy` after `timeout_s` seconds; `what` is named in the message."""
        gate = self._gate
        if not gate.acquire(timeout=timeout_s):
            raise StoreBusy(f"{what}: not free within {timeout_s:g} s (another thread holds lock {self.name})")
        try:
            self._take(timeout_s=timeout_s, what=what)
            self._check_current(what)
        except BaseException:
            gate.release()
            raise

    def acquire_now(self) -> bool:
        """Hold the lock if it is free; False when it is not."""
        if not self._gate.acquire(blocking=False):
            return False
        try:
            if self._root.host.try_lock(self._opened().fd):
                self._check_current(f"lock {self.name}")
                return True
        except BaseException:
            self._gate.release()
            raise
        self._gate.release()
        return False

    def release(self) -> None:
        """End the holding; the unlock comes first, the close (if any) later."""
        try:
            self._root.host.unlock(self.fd)
        finally:
            self._gate.release()

    def _take(self, *, timeout_s: float, what: str) -> None:
        host = self._root.host
        file = self._opened()
        if host.try_lock(file.fd):
            return
        try:
            held = host.wait_lock(file.fd, timeout_s=timeout_s)
        except BaseException:
            self._file = None
            raise
        if not held:
            self._file = None
            file.abandon()  # the waiting thread closes it
            raise StoreBusy(f"{what}: not free within {timeout_s:g} s (lock {self.name}{self._holder()})")

    def _opened(self) -> Descriptor:
        directory = self._root.make_directory(LOCKS)
        if self._file is not None and self._directory is directory:
            return self._file
        host = self._root.host
        fd = host.open(self.name, os.O_RDWR | os.O_CREAT, dir_fd=directory.fd)
        file = Descriptor(host, fd)
        info = host.fstat(fd)
        check_plain(info, uid=self._root.uid, what=f"lock file {self.name}")
        self._file, self._directory, self._inode = file, directory, info.inode
        return file

    def _check_current(self, what: str) -> None:
        """A lock on a removed file guards nothing: let go of the tree and fail with the missing file as the cause."""
        try:
            # A kept descriptor keeps its inode from being used again, so the same number is the same file.
            if self._root.host.lstat(f"{self._root.path}/{LOCKS}/{self.name}").inode == self._inode:
                return
            raise FileNotFoundError(errno.ENOENT, "replaced")
        except OSError as error:
            self._root.host.unlock(self.fd)
            self._file = None
            self._root.forget()
            raise StoreUnavailable(f"{what}: {self._root.path} was removed or replaced") from error

    def _holder(self) -> str:
        from sharedstate.files.upkeep import holder_of

        pid = holder_of(self._inode, host=self._root.host)
        return "" if pid is None else f", held by process {pid}"


class Intent:
    """What a holder was about to change."""

    __slots__ = ("collection", "journal", "key")

    def __init__(self, journal: str, collection: str, key: str) -> None:
        self.journal = journal
        self.collection = collection
        self.key = key


class LockTable:
    """The locks of one store object, each opened on first use."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._locks: dict[str, Lock] = {}

    def stripe(self, record: str) -> Lock:
        """The lock that guards the record `collection/key`."""
        return self.named(stripe_name(record))

    def named(self, name: str) -> Lock:
        """The lock with this file name."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks.setdefault(name, Lock(self._root, name))  # atomic: two threads get one lock
        return lock


def stripe_name(record: str) -> str:
    """File name of the lock that guards the record `collection/key`: two hex digits."""
    return f"{crc32(record.encode()) % STRIPE_COUNT:02x}"


def write_intent(fd: int, host: Host, intent: Intent) -> None:
    """Say what is about to change, in one write."""
    write_fully(host, fd, f"+{intent.journal} {intent.collection}/{intent.key}\n".encode())


def clear_intent(fd: int, host: Host) -> None:
    """Say that all is done: one byte in place (truncating would free a block, 0.9 ms on some disks)."""
    host.pwrite(fd, _CLEAN, 0)


def read_intent(fd: int, host: Host) -> Intent | None:
    """What the last holder left unfinished, None when nothing (or nothing that can be understood)."""
    raw = host.pread(fd, INTENT_BYTES_MAX, 0)
    if not raw.startswith(_DIRTY):
        return None
    line, newline, _ = raw[1:].partition(b"\n")
    try:
        journal, _, record = line.decode().partition(" ")
    except UnicodeDecodeError:
        return None
    collection, slash, key = record.partition("/")
    return Intent(journal, collection, key) if newline and slash and key else None

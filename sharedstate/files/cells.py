"""Beat cells: the volatile liveness of one ownership, written in place without fsync.

A cell holds two slots of 128 bytes, `number fence at_ms boot_ms boot_id crc`, written in turn. A reader takes the valid
slot with the higher number, so a torn write costs one beat at most, and a step of the wall clock costs nothing.
A cell exists exactly for records with a living ownership; that makes its directory the index of live records.
"""

from __future__ import annotations

import os
from zlib import crc32

from sharedstate.clock import Instant
from sharedstate.errors import UnsafeStore
from sharedstate.files.plain import check_plain, write_fully
from sharedstate.files.roots import BEATS, Root
from sharedstate.host import Host
from sharedstate.store import Beat

UNKNOWN = Instant(at_ms=0, boot_ms=0, boot_id="")
_SLOT_BYTES = 128
_SLOT_TEXT_MAX = _SLOT_BYTES - 1


class Cell:
    """One beat cell within a transaction: what it says, and a place to write the next beat."""

    __slots__ = ("_fd", "_host", "_next_slot", "_number", "beat", "fence")

    def __init__(self, host: Host, fd: int, raw: bytes) -> None:
        self._host = host
        self._fd = fd
        self._number, self._next_slot = 0, 0
        self.fence: int | None = None
        self.beat: Beat | None = None
        found = _newest(raw)
        if found is not None:
            self._number, slot, self.fence, self.beat = found
            self._next_slot = 1 - slot

    def write(self, fence: int, seen: Instant) -> None:
        """The next beat, into the older slot; `UNKNOWN` says that the fence is alive and no beat of it is known."""
        raw = _slot(self._number + 1, fence, seen)
        write_fully(self._host, self._fd, raw, self._next_slot * _SLOT_BYTES)
        self._number, self._next_slot, self.fence = self._number + 1, 1 - self._next_slot, fence

    def close(self) -> None:
        """Give the descriptor back."""
        _close(self._host, self._fd)


def open_cell(root: Root, collection: str, name: str) -> Cell | None:
    """The cell for reading and writing, None when there is none. Raises `UnsafeStore` for anything but a plain file."""
    directory = root.directory(f"{BEATS}/{collection}")
    if directory is None:
        return None
    try:
        return _open(root, directory.fd, name, os.O_RDWR)
    except FileNotFoundError:
        return None


def make_cell(root: Root, collection: str, name: str) -> Cell:
    """The cell, created empty when missing."""
    directory = root.make_directory(f"{BEATS}/{collection}")
    return _open(root, directory.fd, name, os.O_RDWR | os.O_CREAT)


def remove_cell(root: Root, collection: str, name: str) -> None:
    """No cell afterwards, whether or not there was one."""
    directory = root.directory(f"{BEATS}/{collection}")
    if directory is None:
        return
    try:
        root.host.unlink(name, dir_fd=directory.fd)
    except FileNotFoundError:
        pass


def read_beat(root: Root, collection: str, name: str) -> Beat | None:
    """The last beat, without a lock. None when there is no cell, or none that can be read: it then counts as stale."""
    directory = root.directory(f"{BEATS}/{collection}")
    if directory is None:
        return None
    try:
        fd = root.host.open(name, os.O_RDONLY, dir_fd=directory.fd)
    except OSError:
        return None
    try:
        found = _newest(root.host.pread(fd, 2 * _SLOT_BYTES, 0))
    except OSError:
        return None
    finally:
        _close(root.host, fd)
    return None if found is None else found[3]


def _close(host: Host, fd: int) -> None:
    """An error tells nothing: the record stands, and a beat may get lost."""
    try:
        host.close(fd)
    except OSError:
        pass


def _open(root: Root, dir_fd: int, name: str, flags: int) -> Cell:
    host = root.host
    fd = host.open(name, flags, dir_fd=dir_fd)
    try:
        info = host.fstat(fd)
        check_plain(info, uid=root.uid, what=f"beat cell {name}")
        return Cell(host, fd, host.pread(fd, 2 * _SLOT_BYTES, 0) if info.size else b"")
    except BaseException:
        host.close(fd)
        raise


def _slot(number: int, fence: int, seen: Instant) -> bytes:
    text = f"{number} {fence} {seen.at_ms} {seen.boot_ms} {seen.boot_id or '-'}"
    raw = f"{text} {crc32(text.encode()):08x}".encode()
    if len(raw) > _SLOT_TEXT_MAX:
        raise UnsafeStore(f"a beat of {len(raw)} bytes does not fit in its slot")
    return raw.ljust(_SLOT_TEXT_MAX) + b"\n"


def _newest(raw: bytes) -> tuple[int, int, int, Beat | None] | None:
    first, second = _parsed(raw, 0), _parsed(raw, 1)
    if first is None or (second is not None and second[0] > first[0]):
        return second
    return first


def _parsed(raw: bytes, slot: int) -> tuple[int, int, int, Beat | None] | None:
    piece = raw[slot * _SLOT_BYTES : (slot + 1) * _SLOT_BYTES]
    if len(piece) != _SLOT_BYTES:
        return None
    text, _, check = piece.rstrip().rpartition(b" ")
    if b"%08x" % crc32(text) != check:
        return None
    number, fence, at_ms, boot_ms, boot_id = text.decode().split(" ")
    if at_ms == "0":
        return int(number), slot, int(fence), None  # rebuilt after a reboot: alive by its record, no beat known
    seen = Instant(at_ms=int(at_ms), boot_ms=int(boot_ms), boot_id="" if boot_id == "-" else boot_id)
    return int(number), slot, int(fence), Beat(fence=int(fence), seen=seen)

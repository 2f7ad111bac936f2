"""What `claims doctor` and the sweep look at and tidy; nothing here is needed for the store to be right."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sharedstate import jsonio
from sharedstate.errors import Corrupt, UnsafeStore
from sharedstate.files.faults import warn
from sharedstate.files.plain import TEMP_PREFIX, read_plain
from sharedstate.files.quarantine import NOTE_BYTES_MAX, NOTE_SUFFIX, Quarantined
from sharedstate.files.reading import intents
from sharedstate.files.repair import JournalOf, collections_of, finish, index_is_complete
from sharedstate.files.roots import LOCAL, LOCKS, QUARANTINE, Root
from sharedstate.files.stripes import LockTable, clear_intent, read_intent
from sharedstate.host import Host
from sharedstate.values import Value

LITTER_AGE_MS_MIN = 3_600_000
_LOCK_TABLE = "/proc/locks"
_TABLE_BYTES_MAX = 1024 * 1024


class Litter(Value):
    """A temporary file that a crash left: its `path` below the root and its age in milliseconds (>= 0)."""

    path: str
    age_ms: int


class Holding(Value):
    """A lock that some process holds right now: name of the lock file, pid."""

    lock: str
    pid: int


def repair_all(root: Root, locks: LockTable, journal_of: JournalOf) -> list[str]:
    """Finish every intent whose lock is free and remove old litter; one line for each thing done. Waits for nobody."""
    if not root.refresh():
        return []
    if root.host.boot_id() and not index_is_complete(root):
        return []  # the first writer after a boot repairs everything; two at once would tell an event twice
    done: list[str] = []
    for name in [name for name, _ in intents(root)]:
        lock = locks.named(name)
        if not lock.acquire_now():
            continue
        try:
            intent = read_intent(lock.fd, root.host)
            if intent is not None:
                finish(root, journal_of, intent)
                clear_intent(lock.fd, root.host)
                done.append(f"finished what was begun on {intent.collection}/{intent.key}")
        except UnsafeStore as error:
            warn(f"left unfinished, for something is planted in its place: {error}")
        finally:
            lock.release()
    for litter in litter_of(root):
        _remove(root, litter)
        done.append(f"removed {litter.path}, {litter.age_ms // 60_000} minutes old")
    return done


def litter_of(root: Root) -> list[Litter]:
    """Temporary files older than an hour, in every directory of the root."""
    now_ms = root.host.now().at_ms
    return [
        Litter(path=path, age_ms=now_ms - written_ms)
        for path, written_ms in _temporary(root)
        if now_ms - written_ms > LITTER_AGE_MS_MIN
    ]


def quarantined(root: Root) -> list[Quarantined]:
    """Every kept copy of an unreadable record."""
    place = root.directory(QUARANTINE)
    found: list[Quarantined] = []
    for name in sorted(root.host.listdir(place.fd)) if place is not None else ():
        if place is None or not name.endswith(NOTE_SUFFIX) or name.startswith("."):
            continue
        what = f"{QUARANTINE}/{name}"
        try:
            raw = read_plain(root.host, name, dir_fd=place.fd, uid=root.uid, bytes_max=NOTE_BYTES_MAX, what=what)
            note = jsonio.decode(raw or b"", what=what)
        except (Corrupt, UnsafeStore):
            note = {}
        told = {field: str(note.get(field, "")) for field in ("source", "reason", "at")}
        found.append(Quarantined(name=name.removesuffix(NOTE_SUFFIX), **told))
    return found


def holders(root: Root) -> list[Holding]:
    """Which process holds which lock right now (Linux; elsewhere none can be told)."""
    place = root.directory(LOCKS)
    if place is None:
        return []
    pids = _flock_pids(root.host)
    names = sorted(root.host.listdir(place.fd))
    inodes = {name: root.host.lstat(name, dir_fd=place.fd).inode for name in names}
    return [Holding(lock=name, pid=pids[inode]) for name, inode in inodes.items() if inode in pids]


def holder_of(inode: int, *, host: Host) -> int | None:
    """Pid of the process that holds the kernel lock of the file with this inode, None when it cannot be told."""
    return _flock_pids(host).get(inode)


def _flock_pids(host: Host) -> dict[int, int]:
    try:
        fd = host.open(_LOCK_TABLE, os.O_RDONLY)
    except OSError:
        return {}
    try:
        text = host.pread(fd, _TABLE_BYTES_MAX, 0).decode("ascii", "replace")
    finally:
        host.close(fd)
    # 7: FLOCK ADVISORY WRITE 4711 fe:00:123456 0 EOF, and for those who wait: 7: -> FLOCK …
    rows = [line.split() for line in text.splitlines()]
    held = [row for row in rows if len(row) >= 6 and row[1] == "FLOCK"]
    return {int(row[5].rpartition(":")[2]): int(row[4]) for row in held}


def _temporary(root: Root) -> Iterator[tuple[str, int]]:
    for relative in ("", LOCAL, QUARANTINE, *collections_of(root)):
        directory = root.directory(relative)
        for name in root.host.listdir(directory.fd) if directory is not None else ():
            if directory is None or not name.startswith(TEMP_PREFIX):
                continue
            try:
                info = root.host.lstat(name, dir_fd=directory.fd)
            except FileNotFoundError:
                continue  # its writer is alive and was faster
            if info.is_file:
                yield f"{relative}/{name}".lstrip("/"), info.mtime_ns // 1_000_000


def _remove(root: Root, litter: Litter) -> None:
    relative, _, name = litter.path.rpartition("/")
    directory = root.directory(relative)
    try:
        if directory is not None:
            root.host.unlink(name, dir_fd=directory.fd)
    except FileNotFoundError:
        pass

"""The bridge: a folder into which other programs put JSON files; each is taken in once, then moved aside.

Write elsewhere in the same file system and rename into the folder, so that no half file is seen. Half an object is no
JSON, so a file that was changed a moment ago and cannot be read yet is looked at again before it is refused. A file
whose name begins with a dot or does not end in `.json` is left alone.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from sharedstate import jsonio
from sharedstate.errors import Corrupt, InvalidInput, StoreUnavailable, UnsafeStore
from sharedstate.host import Host
from sharedstate.hub.events import as_entry, checked_event
from sharedstate.hub.model import JOURNAL
from sharedstate.ids import fingerprint
from sharedstate.store import Decision, Document, Snapshot, Store
from sharedstate.values import Value

TAKEN: Final = "hub_bridge"
TAKING: Final = "taking"
DONE: Final = "done"
REFUSED: Final = "refused"
FILE_BYTES_MAX: Final = 128 * 1024
FILES_MAX: Final = 10_000
SETTLED_MS: Final = 5_000
_NAME_BYTES_MAX: Final = 255
_MARK_TIME_DIGITS: Final = 12  # milliseconds in hex, until the year 10889
_FILE_FAULTS: Final = frozenset((errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO, errno.EISDIR))


class Crossing(Value):
    """What one look into the folder did: files taken in, had before, and refused with the reason.

    Names are those under `done` and `refused`: `push.json` becomes `push.019aa1b2c3d43f9a12cd5566.json`.
    """

    taken: tuple[str, ...]
    repeated: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


class Bridge:
    """Takes files of a folder into the hub's journal. Safe for many processes: each file has one effect.

    A file is first renamed to a name that no other ever has, which only one process can do; then it is taken in by a
    transition that remembers this name together with the journal entry; then it is moved. Whatever dies in between, the
    next look of anybody goes on from there, without a second effect. Raises `StoreError` when the store or the folder
    fails; the file then stays where it is.
    """

    def __init__(self, store: Store, folder: str, *, host: Host) -> None:
        self._store = store
        self._folder = folder
        self._host = host

    def cross(self) -> Crossing:
        """Take in what is there now, at most 10,000 files: what an earlier look has found first, then by name."""
        self._check_folders()
        for name in sorted(self._names(self._folder))[:FILES_MAX]:
            self._claim(name)
        taken: list[str] = []
        repeated: list[str] = []
        refused: list[tuple[str, str]] = []
        blocked: Corrupt | None = None
        for name in sorted(self._names(os.path.join(self._folder, TAKING)), key=_turn)[:FILES_MAX]:
            changed_ms: int | None = None
            try:
                raw, changed_ms = self._read(name)
                event = _event_in(raw)
            except FileNotFoundError:
                continue  # another process was faster
            except (Corrupt, InvalidInput) as error:
                if not self._is_fresh(changed_ms) and self._move(name, REFUSED):
                    refused.append((name, str(error)))
                continue
            try:
                known = self._take(name, event)
            except Corrupt as error:  # what is remembered of this file; the others go on
                blocked = error
                continue
            (repeated if known else taken).append(name)
            self._move(name, DONE)
        if blocked is not None and not taken and not refused:
            raise blocked
        return Crossing(taken=tuple(taken), repeated=tuple(repeated), refused=tuple(refused))

    def _check_folders(self) -> None:
        """Others may put files here, and so links: behind one, files of somebody's own would be taken in and moved."""
        for name in (TAKING, DONE, REFUSED):
            path = os.path.join(self._folder, name)
            if os.path.islink(path):
                raise UnsafeStore(f"the bridge follows no link: {path}")

    def _names(self, folder: str) -> list[str]:
        try:
            with os.scandir(folder) as found:
                return [
                    entry.name
                    for entry in found
                    if entry.name.endswith(".json") and entry.name[0] != "." and entry.is_file(follow_symlinks=False)
                ]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreUnavailable(f"the bridge folder {folder}: {error.strerror}") from error

    def _claim(self, name: str) -> None:
        mark = f".{self._host.now().at_ms:0{_MARK_TIME_DIGITS}x}{self._host.entropy(6).hex()}.json"
        stem = name.removesuffix(".json")
        while len(os.fsencode(stem + mark)) > _NAME_BYTES_MAX:
            stem = stem[:-1]
        self._rename(name, os.path.join(TAKING, stem + mark))

    def _read(self, name: str) -> tuple[bytes, int]:
        """What is in it, and when it was last changed."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        path = os.path.join(self._folder, TAKING, name)
        try:
            with open(os.open(path, flags), "rb") as file:
                return file.read(FILE_BYTES_MAX + 1), os.fstat(file.fileno()).st_mtime_ns // 1_000_000
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in _FILE_FAULTS:
                raise InvalidInput(f"cannot be read: {error.strerror}") from None
            raise StoreUnavailable(
                f"the bridge file {path}: {error.strerror}"
            ) from error  # says nothing against the file

    def _is_fresh(self, changed_ms: int | None) -> bool:
        return changed_ms is not None and 0 <= self._host.now().at_ms - changed_ms < SETTLED_MS

    def _take(self, name: str, event: Document) -> bool:
        """Whether it was taken in before."""
        key = fingerprint(name.encode(errors="surrogateescape"), size=16)

        def take(snapshot: Snapshot) -> Decision[bool]:
            if snapshot.value is not None:
                return Decision(result=True)
            return Decision(result=False, write={"name": ascii(name)[1:-1]}, events=(as_entry(event),))

        return self._store.transact(TAKEN, key, take, journal=JOURNAL)

    def _move(self, name: str, where: str) -> bool:
        """Aside; False when another process has done it."""
        return self._rename(os.path.join(TAKING, name), os.path.join(where, name))

    def _rename(self, old: str, new: str) -> bool:
        target = os.path.join(self._folder, new)
        try:
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            os.rename(os.path.join(self._folder, old), target)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreUnavailable(
                f"the bridge cannot move a file into {os.path.dirname(target)}: {error.strerror}"
            ) from error
        return True


def _turn(name: str) -> tuple[int, str]:
    """When a look has found it, then its name: what came while the store was away keeps its order."""
    stem, _, mark = name.removesuffix(".json").rpartition(".")
    try:
        return int(mark[:_MARK_TIME_DIGITS], 16), f"{stem}.json"
    except ValueError:  # nobody's mark: put here by hand
        return 0, name


def _event_in(raw: bytes) -> Document:
    if len(raw) > FILE_BYTES_MAX:
        raise InvalidInput(f"more than {FILE_BYTES_MAX} bytes")
    document = jsonio.decode(raw, what="it must hold one JSON object")
    document.setdefault("type", "bridged")
    return checked_event(document)

"""The bridge: a folder into which other programs put JSON files; each is taken in once, then moved aside.

Write elsewhere in the same file system and rename into the folder, so that no half file is seen. A file whose name
begins with a dot or does not end in `.json` is left alone.
"""

from __future__ import annotations

import os
from typing import Final

from sharedstate import jsonio
from sharedstate.errors import Corrupt, InvalidInput, StoreUnavailable
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
_STEM_CHARACTERS_MAX: Final = 50  # a file's name has at most 255 bytes; these have at most four each


class Crossing(Value):
    """What one look into the folder did: files taken in, had before, and refused with the reason.

    Names are those under `done` and `refused`: `push.json` becomes `push.3f9a12cd5566.json`.
    """

    taken: tuple[str, ...]
    repeated: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


class Bridge:
    """Takes files of a folder into the hub's journal. Safe for many processes: each file has one effect.

    A file is first renamed to a name that no other ever has, which only one process can do; then it is taken in by a
    transition that remembers this name together with the journal entry; then it is moved. Whatever dies in between, the
    next look of anybody goes on from there, without a second effect. Raises `StoreError` when the store fails; the
    file then stays where it is.
    """

    def __init__(self, store: Store, folder: str, *, host: Host) -> None:
        self._store = store
        self._folder = folder
        self._host = host

    def cross(self) -> Crossing:
        """Take in what is there now, in the order of the names, at most 10,000 files."""
        for name in self._names(self._folder):
            self._claim(name)
        taken: list[str] = []
        repeated: list[str] = []
        refused: list[tuple[str, str]] = []
        for name in self._names(os.path.join(self._folder, TAKING)):
            try:
                event = _event_in(self._read(name), name)
            except FileNotFoundError:
                continue  # another process was faster
            except (Corrupt, InvalidInput) as error:
                if self._move(name, REFUSED):
                    refused.append((name, str(error)))
                continue
            known = self._take(name, event)
            (repeated if known else taken).append(name)
            self._move(name, DONE)
        return Crossing(taken=tuple(taken), repeated=tuple(repeated), refused=tuple(refused))

    def _names(self, folder: str) -> list[str]:
        try:
            with os.scandir(folder) as found:
                names = [
                    entry.name
                    for entry in found
                    if entry.name.endswith(".json") and entry.name[0] != "." and entry.is_file(follow_symlinks=False)
                ]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreUnavailable(f"{folder}: {error.strerror}") from error
        return sorted(names)[:FILES_MAX]

    def _claim(self, name: str) -> None:
        mark = self._host.entropy(6).hex()
        claimed = f"{name.removesuffix('.json')[:_STEM_CHARACTERS_MAX]}.{mark}.json"
        self._rename(name, os.path.join(TAKING, claimed))

    def _read(self, name: str) -> bytes:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            fd = os.open(os.path.join(self._folder, TAKING, name), flags)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InvalidInput(f"cannot be read: {error.strerror}") from None
        with open(fd, "rb") as file:
            return file.read(FILE_BYTES_MAX + 1)

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
            raise StoreUnavailable(f"{target}: {error.strerror}") from error
        return True


def _event_in(raw: bytes, name: str) -> Document:
    if len(raw) > FILE_BYTES_MAX:
        raise InvalidInput(f"more than {FILE_BYTES_MAX} bytes")
    document = jsonio.decode(raw, what=f"the file {name[:60]!a}")
    document.setdefault("type", "bridged")
    return checked_event(document)

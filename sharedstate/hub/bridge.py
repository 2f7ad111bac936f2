"""The bridge: a folder into which other programs put JSON files; each is taken in once, then moved aside.

Write elsewhere in the same file system and rename into the folder, so that no half file is seen. A file whose name
begins with a dot or does not end in `.json` is left alone.
"""

from __future__ import annotations

import os
from typing import Final

from sharedstate import jsonio
from sharedstate.errors import Corrupt, InvalidInput, StoreUnavailable
from sharedstate.hub.events import as_entry, checked_event
from sharedstate.hub.model import JOURNAL
from sharedstate.ids import fingerprint
from sharedstate.store import Decision, Document, Snapshot, Store
from sharedstate.values import Value

TAKEN: Final = "hub_bridge"
DONE: Final = "done"
REFUSED: Final = "refused"
FILE_BYTES_MAX: Final = 128 * 1024
FILES_MAX: Final = 10_000


class Crossing(Value):
    """What one look into the folder did: files taken in, had before, and refused with the reason."""

    taken: tuple[str, ...]
    repeated: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


class Bridge:
    """Takes files of a folder into the hub's journal. Safe for many processes: each file has one effect.

    The effect is a transition that remembers the file's name and content together with the journal entry; a death
    between it and the move has no second effect when the file is seen again. Raises `StoreError` when the store fails;
    the file then stays where it is.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder

    def cross(self) -> Crossing:
        """Take in what is there now, in the order of the names, at most 10,000 files."""
        taken: list[str] = []
        repeated: list[str] = []
        refused: list[tuple[str, str]] = []
        for name in self._names():
            try:
                raw = self._read(name)
            except FileNotFoundError:
                continue  # another process was faster
            try:
                event = _event_in(raw, name)
            except (Corrupt, InvalidInput) as error:
                refused.append((name, str(error)))
                self._move(name, REFUSED)
                continue
            known = self._take(name, raw, event)
            (repeated if known else taken).append(name)
            self._move(name, DONE)
        return Crossing(taken=tuple(taken), repeated=tuple(repeated), refused=tuple(refused))

    def _names(self) -> list[str]:
        try:
            with os.scandir(self._folder) as found:
                names = [
                    entry.name
                    for entry in found
                    if entry.name.endswith(".json") and entry.name[0] != "." and entry.is_file(follow_symlinks=False)
                ]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreUnavailable(f"{self._folder}: {error.strerror}") from error
        return sorted(names)[:FILES_MAX]

    def _read(self, name: str) -> bytes:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(os.path.join(self._folder, name), flags)
        with open(fd, "rb") as file:
            return file.read(FILE_BYTES_MAX + 1)

    def _take(self, name: str, raw: bytes, event: Document) -> bool:
        """Whether it was taken in before."""
        key = fingerprint(name.encode(errors="surrogateescape") + b"\0" + raw, size=16)

        def take(snapshot: Snapshot) -> Decision[bool]:
            if snapshot.value is not None:
                return Decision(result=True)
            return Decision(result=False, write={"name": ascii(name)[1:-1]}, events=(as_entry(event),))

        return self._store.transact(TAKEN, key, take, journal=JOURNAL)

    def _move(self, name: str, where: str) -> None:
        """Aside, under its own name or, where that is taken, with a number behind it."""
        folder = os.path.join(self._folder, where)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        source = os.path.join(self._folder, name)
        for number in range(FILES_MAX):
            target = os.path.join(folder, name if number == 0 else f"{name}.{number}")
            try:
                os.link(source, target, follow_symlinks=False)  # unlike a rename it replaces nothing
            except FileExistsError:
                continue
            except FileNotFoundError:
                return  # another process has moved it
            break
        try:
            os.unlink(source)
        except FileNotFoundError:
            pass


def _event_in(raw: bytes, name: str) -> Document:
    if len(raw) > FILE_BYTES_MAX:
        raise InvalidInput(f"more than {FILE_BYTES_MAX} bytes")
    document = jsonio.decode(raw, what=f"the file {name[:60]!a}")
    document.setdefault("type", "bridged")
    return checked_event(document)

"""Looking at records: no locks, no writes, never blocked by a writer."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

from sharedstate.documents import COLLECTIONS_TAKEN, RECORD_BYTES_MAX, check_record
from sharedstate.errors import Corrupt, SharedStateError, UnsafeStore
from sharedstate.files.cells import read_beat
from sharedstate.files.faults import translated
from sharedstate.files.plain import Descriptor, read_plain
from sharedstate.files.records import SUFFIX, Stored, check_key, check_name_of, decode_record
from sharedstate.files.roots import BEATS, FORMAT, JOURNAL, LOCKS, Root
from sharedstate.files.stripes import Intent, read_intent
from sharedstate.host import Host
from sharedstate.ids import record_name
from sharedstate.store import Unreadable, Versioned


class Place:
    """Where one record lives: collection, key, the stem and the name of its file, and how messages call it."""

    __slots__ = ("collection", "file", "key", "name", "what")

    def __init__(self, collection: str, key: str) -> None:
        self.key = check_record(collection, key)
        self.collection = collection
        self.name = record_name(self.key)
        self.file = self.name + SUFFIX
        self.what = f"{collection}/{self.key}"


def read_stored(root: Root, place: Place) -> Stored | None:
    """The record of a key, None when there is none. Raises `Corrupt`, `UnsafeStore`, `OSError` as it comes."""
    directory = root.directory(place.collection)
    if directory is None:
        return None
    stored = read_file(root, directory, place.file, what=place.what)
    if stored is None:
        again = root.reopen(place.collection)
        return None if again is None else read_stored(root, place)
    return check_key(stored, place.key, what=place.what)


def read_file(root: Root, directory: Descriptor, name: str, *, what: str) -> Stored | None:
    """The record in a file, whichever it is. Raises `Corrupt`, `UnsafeStore`, `OSError` as it comes."""
    raw = read_plain(root.host, name, dir_fd=directory.fd, uid=root.uid, bytes_max=RECORD_BYTES_MAX, what=what)
    return None if raw is None else decode_record(raw, what=what)


def with_beat(root: Root, collection: str, name: str, stored: Stored) -> Versioned:
    """The record as callers see it."""
    beat = None if stored.live is None else read_beat(root, collection, name)
    return Versioned(key=stored.key, value=stored.value, revision=stored.revision, beat=beat, live=stored.live)


def collections_of(root: Root) -> list[str]:
    """The collections that hold a record, sorted."""
    top = root.directory("")
    names = [] if top is None else root.host.listdir(top.fd)
    folders = [name for name in names if name[0] != "." and name not in COLLECTIONS_TAKEN and name != FORMAT]
    return sorted(name for name in folders if file_names(root, name))


def journals_of(root: Root) -> list[str]:
    """The journals that exist, sorted."""
    directory = root.directory(JOURNAL)
    return [] if directory is None else sorted(name for name in root.host.listdir(directory.fd) if name[0] != ".")


def file_names(root: Root, collection: str) -> list[str]:
    """Files of every record of a collection."""
    directory = root.directory(collection)
    if directory is None:
        return []
    return [name for name in root.host.listdir(directory.fd) if name.endswith(SUFFIX) and not name.startswith(".")]


def live_file_names(root: Root, collection: str) -> list[str]:
    """Files of every record with a living ownership, and perhaps a few more: those with a beat cell or an intent."""
    cells = root.directory(f"{BEATS}/{collection}")
    stems = [] if cells is None else root.host.listdir(cells.fd)
    stems += [record_name(intent.key) for _, intent in intents(root) if intent.collection == collection]
    return [stem + SUFFIX for stem in dict.fromkeys(stems)]  # not a set: a simulation must replay in every process


def intents(root: Root) -> Iterator[tuple[str, Intent]]:
    """What is being changed right now or was left unfinished: name of the lock file, intent."""
    locks = root.directory(LOCKS)
    if locks is None:
        return
    for name in root.host.listdir(locks.fd):
        if name.startswith("journal-"):
            continue  # only a stripe holds an intent, and there may be a journal for each of many readers
        try:
            intent = _intent_in(root.host, name, dir_fd=locks.fd)
        except OSError as error:
            if isinstance(translated(error, what=name), UnsafeStore):
                continue  # planted: whoever wants this lock is refused, and nobody else
            raise
        if intent is not None:
            yield name, intent


def _intent_in(host: Host, name: str, *, dir_fd: int) -> Intent | None:
    fd = host.open(name, os.O_RDONLY, dir_fd=dir_fd)
    try:
        return read_intent(fd, host)
    finally:
        host.close(fd)


def _directory(root: Root, collection: str) -> Descriptor | None:
    try:
        return root.directory(collection)
    except SharedStateError:
        raise
    except OSError as error:
        raise translated(error, what=f"listing {collection}") from error


def records(root: Root, collection: str, names: Iterable[str], *, live_only: bool) -> Iterator[Versioned | Unreadable]:
    """The records in these files; what cannot be read is told, what is gone is left out."""
    for name in names:
        what = f"{collection}/{name}"
        directory = _directory(root, collection)
        if directory is None:
            return
        try:
            stored = read_file(root, directory, name, what=what)
            if stored is None:
                continue
            check_name_of(stored, name, what=what)
        except (Corrupt, UnsafeStore) as error:
            yield Unreadable(name=name, reason=str(error))
            continue
        except OSError as error:
            if error.errno != errno.EIO:
                raise translated(error, what=f"reading {what}") from error
            yield Unreadable(
                name=name, reason=f"{what}: the disk cannot read it"
            )  # one bad sector hides no other record
            continue
        if not live_only or stored.live is not None:
            yield with_beat(root, collection, name.removesuffix(SUFFIX), stored)

"""Reading a state: records, scans, journals. Nothing here asks the remote."""

from __future__ import annotations

from collections.abc import Iterator

from sharedstate.errors import Corrupt
from sharedstate.ids import record_name
from sharedstate.store import Entry, Unreadable, Versioned
from sharedstate_adapters.git import layout, paths
from sharedstate_adapters.git.beats import LocalBeats
from sharedstate_adapters.git.commits import State
from sharedstate_adapters.git.layout import Stored
from sharedstate_adapters.git.objects import BLOB, Item, Objects, Tree


class Reader:
    """Reads states. Safe for threads."""

    def __init__(self, objects: Objects, beats: LocalBeats) -> None:
        self._objects = objects
        self._beats = beats

    def item(self, state: State, collection: str, key: str) -> Item | None:
        """The file of a record, or None."""
        return paths.found(self._objects, state.tree, layout.record_path(collection, key))

    def stored(self, item: Item, *, collection: str, name: str) -> Stored:
        """The record in a file. Raises `Corrupt`."""
        what = f"{collection}/{name}"
        if item.is_tree:
            raise Corrupt(f"{what}: a folder stands in its place")
        return layout.decode_record(self._objects.read(item.oid, BLOB), what=what, name=name)

    def record(self, state: State, collection: str, key: str) -> Versioned | None:
        """A record with its last beat. Raises `Corrupt`."""
        item = self.item(state, collection, key)
        if item is None:
            return None
        return self.shown(collection, self.stored(item, collection=collection, name=f"{record_name(key)}.json"))

    def shown(self, collection: str, stored: Stored) -> Versioned:
        """A record as callers see it."""
        return Versioned(
            key=stored.key,
            value=stored.value,
            revision=stored.revision,
            beat=self._beats.latest(collection, stored),
            live=stored.live,
        )

    def scan(self, state: State, collection: str, *, live_only: bool) -> Iterator[Versioned | Unreadable]:
        """The records of a collection; with `live_only` no file of another one is opened."""
        for path, item in paths.files(self._objects, state.tree, (layout.RECORDS, collection)):
            if live_only and item.mode != layout.LIVING_FILE:
                continue
            try:
                yield self.shown(collection, self.stored(item, collection=collection, name=path[-1]))
            except Corrupt as error:
                yield Unreadable(name=path[-1], reason=str(error))

    def names(self, state: State, kind: str) -> list[str]:
        """The collections or journals that hold something, sorted."""
        return sorted(paths.folder(self._objects, state.tree, (kind,)))

    # Journals

    def last_of(self, state: State, journal: str) -> int:
        """The last sequence of a journal, 0 when it is empty. Raises `Corrupt`."""
        first, raw = self.last_segment(state, journal)
        return first + raw.count(b"\n") - 1 if first else 0

    def last_segment(self, state: State, journal: str) -> tuple[int, bytes]:
        """The newest segment: its first sequence and bytes; (0, b"") when there is none."""
        blocks = paths.folder(self._objects, state.tree, (layout.JOURNAL, journal))
        if not blocks:
            return 0, b""
        files = self._objects.tree(blocks[max(blocks)].oid)
        name = max(files)
        return _checked_first(name, journal), self._objects.read(files[name].oid, BLOB)

    def entries(self, state: State, journal: str, *, after: int) -> Iterator[Entry]:
        """Entries above `after`, in order. A line that cannot be read raises `Corrupt`."""
        blocks = paths.folder(self._objects, state.tree, (layout.JOURNAL, journal))
        segments = [item for name in sorted(blocks) for item in self._segments(blocks, name, journal)]
        for at, (first, item) in enumerate(segments):
            if at + 1 < len(segments) and segments[at + 1][0] <= after + 1:
                continue
            lines = self._objects.read(item.oid, BLOB).splitlines(keepends=True)
            for line in lines[max(0, after + 1 - first) :]:
                yield layout.entry_of(line, what=f"journal {journal}, entries from {first}")

    def _segments(self, blocks: Tree, name: str, journal: str) -> Iterator[tuple[int, Item]]:
        files = self._objects.tree(blocks[name].oid)
        return ((_checked_first(file, journal), files[file]) for file in sorted(files))


def _checked_first(name: str, journal: str) -> int:
    first = layout.first_of(name)
    if first < 1:
        raise Corrupt(f"journal {journal}: {name[:60]!a} is no segment")
    return first


def lines_of(entries: list[Entry]) -> list[bytes]:
    """Entries as lines of a segment."""
    return [
        layout.entry_line(entry.sequence, at_ms=entry.at_ms, record=entry.record, value=entry.value)
        for entry in entries
    ]

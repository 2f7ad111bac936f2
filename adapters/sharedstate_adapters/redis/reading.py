"""Reading many: collections page by page, journals in order, and what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sharedstate import jsonio
from sharedstate.errors import Corrupt
from sharedstate.paging import Paging
from sharedstate.store import Entry, Unreadable, Versioned
from sharedstate_adapters.redis.records import Keys, versioned
from sharedstate_adapters.redis.scripts import PAGE, PICK

if TYPE_CHECKING:
    from sharedstate_adapters.redis.wire import Patience, Wire

Row = tuple[bytes, bytes | None, bytes | None]  # key, record, beat


class Reader:
    """Looks at much, page by page; each request is given the whole `patience` of an operation."""

    __slots__ = ("_keys", "_patience", "_wire")

    def __init__(self, wire: Wire, keys: Keys, patience: Callable[[], Patience]) -> None:
        self._wire = wire
        self._keys = keys
        self._patience = patience

    def scan(self, collection: str, *, live_only: bool) -> Iterator[Versioned | Unreadable]:
        """The records of a collection; each with the beat of the same moment."""
        found = self._live(collection) if live_only else self._all(collection)
        return _shown(collection, found, live_only=live_only)

    def _all(self, collection: str) -> Iterator[Row]:
        cursor: bytes = b"0"
        seen: set[bytes] = set()  # a hash that grows or shrinks meanwhile may show a field twice
        records, beats = self._keys.records(collection), self._keys.beats(collection)
        paging = Paging()
        while True:
            words = (cursor, paging.rows, beats)
            cursor, *rows = self._wire.run(PAGE, (records,), words, self._patience(), what=f"listing {collection}")
            paging.took(len(rows) // 3, _size(rows[1::3]))
            for row in _threes(rows):
                if row[0] not in seen:
                    seen.add(row[0])
                    yield row
            if cursor == b"0":
                return

    def _live(self, collection: str) -> Iterator[Row]:
        what = f"listing {collection}"
        keys = sorted(self._wire.ask(("SMEMBERS", self._keys.live(collection)), self._patience(), what=what))
        records, beats = self._keys.records(collection), self._keys.beats(collection)
        paging, first = Paging(), 0
        while first < len(keys):
            picked = keys[first : first + paging.rows]
            rows = self._wire.run(PICK, (records,), (beats, *picked), self._patience(), what=what)
            first += len(picked)
            paging.took(len(picked), _size(rows[1::3]))
            yield from _threes(rows)

    def entries(self, journal: str, after: int, limit: int | None) -> Iterator[Entry]:
        """The entries of a journal above `after`, at most `limit`."""
        stream, left, paging = self._keys.journal(journal), limit, Paging()
        while left is None or left > 0:
            count = paging.rows if left is None else min(left, paging.rows)
            words = ("XRANGE", stream, f"({after}-0", "+", "COUNT", count)
            page = self._wire.ask(words, self._patience(), what=f"journal {journal}")
            paging.took(len(page), sum(_size(fields) for _, fields in page))
            for name, fields in page:
                entry = _entry(name, fields, journal=journal)
                after = entry.sequence
                yield entry
            if len(page) < count:
                return
            left = None if left is None else left - count

    def named(self, kind: str, key_of: Callable[[str], str]) -> list[str]:
        """The names of one kind under which there is something, sorted."""
        what = f"listing {kind}s"
        names: list[str] = []
        for raw in self._wire.ask(("SMEMBERS", self._keys.names), self._patience(), what=what):
            found, _, name = raw.decode().partition(" ")
            if found == kind and self._wire.ask(("EXISTS", key_of(name)), self._patience(), what=what):
                names.append(name)
        return sorted(names)


def _size(raws: Sequence[bytes | None]) -> int:
    return sum(len(raw) for raw in raws if raw is not None)


def _threes(rows: Sequence[Any]) -> Iterator[Row]:
    for first in range(0, len(rows), 3):
        yield rows[first], rows[first + 1], rows[first + 2]


def _shown(collection: str, rows: Iterator[Row], *, live_only: bool) -> Iterator[Versioned | Unreadable]:
    for name, raw, beat in rows:
        if raw is None:  # gone since it was listed
            continue
        key = name.decode(errors="replace")
        try:
            held = versioned(key, raw, beat, what=f"{collection}/{key}")
        except Corrupt as error:
            yield Unreadable(name=key, reason=str(error))
            continue
        if held.live is not None or not live_only:
            yield held


def _entry(name: bytes, fields: Sequence[bytes], *, journal: str) -> Entry:
    what = f"journal {journal}, entry {name.decode(errors='replace')}"
    try:
        told = dict(zip(fields[::2], fields[1::2], strict=True))
        sequence, at_ms = int(name.partition(b"-")[0]), int(told[b"t"])
        record, raw = told[b"r"].decode(), told[b"v"]
    except (ValueError, KeyError) as error:
        raise Corrupt(f"{what}: not an entry of ours ({type(error).__name__})") from None
    return Entry(sequence=sequence, at_ms=at_ms, value=jsonio.decode(raw, what=what), record=record)

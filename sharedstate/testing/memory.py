"""A store in memory with the full contract: for unit tests of everything above the store port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from sharedstate import jsonio
from sharedstate.clock import Instant
from sharedstate.documents import check_decision, check_name, check_record, entry_bytes, record_bytes
from sharedstate.errors import Corrupt, InvalidInput, SharedStateError
from sharedstate.host import Host
from sharedstate.store import (
    BEAT,
    DELETE,
    Beat,
    Decision,
    Document,
    Durability,
    Entry,
    Mark,
    Snapshot,
    T,
    Unreadable,
    Versioned,
    check_continues,
)
from sharedstate.testing.clock import FakeHost
from sharedstate.values import Value

_WATCH_STEP_S = 0.02


class _Row(Value):
    raw: bytes
    revision: int
    live: int | None


class MemoryStore:
    """The store port over dictionaries, as strict as files: documents cross as JSON, so types are what a file gives.

    Writers are serialised by one lock; readers never wait. `host` gives clock and sleep, a `FakeHost` when left out.
    `reruns` makes every transaction run `decide` that many times more and throw the earlier decisions away, which shows
    decisions that are not pure. While `outage` is set, every call raises it: the far side is down.
    """

    def __init__(self, host: Host | None = None, *, reruns: int = 0) -> None:
        self.host: Host = host if host is not None else FakeHost()
        self.outage: SharedStateError | None = None
        self.writes = 0
        self._reruns = reruns
        self._guard = threading.Lock()
        self._writer: int | None = None
        self._rows: dict[tuple[str, str], _Row] = {}
        self._beats: dict[tuple[str, str], Beat] = {}
        self._journals: dict[str, list[tuple[bytes, int, str]]] = {}

    # The port

    def now(self) -> Instant:
        """The host's clock."""
        return self.host.now()

    def get(self, collection: str, key: str) -> Versioned | None:
        """The current record, without waiting for writers."""
        key = check_record(collection, key)
        self._check_outage()
        row = self._rows.get((collection, key))
        return None if row is None else self._versioned(collection, key, row)

    def transact(
        self,
        collection: str,
        key: str,
        decide: Callable[[Snapshot], Decision[T]],
        *,
        journal: str = "events",
        durability: Durability = "full",
        derived: bool = False,
    ) -> T:
        """Run `decide` under the store's lock and carry the decision out. A write from inside `decide` is refused."""
        key = check_record(collection, key)
        check_name(journal, what="journal")
        self._check_outage()
        self._enter()
        try:
            for _ in range(self._reruns):
                decide(self._snapshot(collection, key, derived=derived))
            snapshot = self._snapshot(collection, key, derived=derived)
            decision = decide(snapshot)
            row = self._rows.get((collection, key))
            check_decision(decision, alive=None if row is None else row.live, what=f"{collection}/{key}")
            self._carry_out(collection, key, snapshot, decision, journal=journal)
            return decision.result
        finally:
            self._leave()

    def scan(self, collection: str, *, live_only: bool = False) -> Iterator[Versioned | Unreadable]:
        """The records of a collection as they were when the scan began."""
        check_name(collection, what="collection")
        self._check_outage()
        rows = [(key, row) for (held, key), row in list(self._rows.items()) if held == collection]
        return self._shown(collection, [(key, row) for key, row in rows if row.live is not None or not live_only])

    def append(self, journal: str, value: Document) -> int:
        """Append one entry; returns its sequence."""
        check_name(journal, what="journal")
        raw = entry_bytes(value)
        self._check_outage()
        self._enter()
        try:
            return self._log(journal, [raw], at_ms=self.now().at_ms, record="")
        finally:
            self._leave()

    def read(self, journal: str, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        """Entries above `after`, in order, those present when the reading began."""
        check_name(journal, what="journal")
        self._check_outage()
        lines = self._journals.get(journal, ())
        end = len(lines) if limit is None else min(len(lines), max(0, after) + max(0, limit))
        return (_entry(sequence, lines[sequence - 1]) for sequence in range(max(0, after) + 1, end + 1))

    def collections(self) -> list[str]:
        """The collections that hold a record, sorted."""
        self._check_outage()
        return sorted({collection for collection, _ in list(self._rows)})

    def journals(self) -> list[str]:
        """The journals that hold an entry, sorted."""
        self._check_outage()
        return sorted(name for name, lines in list(self._journals.items()) if lines)

    def load_entries(self, journal: str, entries: Sequence[Entry]) -> int:
        """Append entries of another store as they are, where they go on."""
        self._check_outage()
        self._enter()
        try:
            lines = self._journals.setdefault(journal, [])
            check_continues(journal, len(lines), entries)
            lines.extend([(jsonio.encode(entry.value), entry.at_ms, entry.record) for entry in entries])
            return len(lines)
        finally:
            self._leave()

    def watch(self, journal: str, *, after: int, timeout_s: float) -> bool:
        """Look at the journal every 20 ms of the host's time until it holds more than `after` or the time is over."""
        check_name(journal, what="journal")
        deadline_s = self.host.monotonic_s() + timeout_s
        while True:
            self._check_outage()
            if len(self._journals.get(journal, ())) > after:
                return True
            left_s = deadline_s - self.host.monotonic_s()
            if left_s <= 0:
                return False
            self.host.sleep(min(_WATCH_STEP_S, left_s))

    def upkeep(self) -> list[str]:
        """Nothing is ever left behind here."""
        self._check_outage()
        return []

    def close(self) -> None:
        """Nothing to give back; the store stays usable."""

    # What only tests do

    def plant(self, collection: str, key: str, raw: bytes) -> None:
        """Put bytes in place of a record's document, as corruption does."""
        row = self._rows.get((collection, key))
        self._rows[collection, key] = _Row(raw=raw, revision=row.revision if row else 1, live=row.live if row else None)

    def lose_beats(self) -> None:
        """Forget every beat, as a power cut may: claims look older, nothing else changes."""
        self._beats.clear()

    # Inside

    def _check_outage(self) -> None:
        if self.outage is not None:
            raise self.outage

    def _enter(self) -> None:
        if self._writer == threading.get_ident():
            raise InvalidInput("a decision must not write to the store: it may run several times")
        self._guard.acquire()
        self._writer = threading.get_ident()

    def _leave(self) -> None:
        self._writer = None
        self._guard.release()

    def _shown(self, collection: str, rows: list[tuple[str, _Row]]) -> Iterator[Versioned | Unreadable]:
        for key, row in rows:
            try:
                yield self._versioned(collection, key, row)
            except Corrupt as error:
                yield Unreadable(name=key, reason=str(error))

    def _versioned(self, collection: str, key: str, row: _Row) -> Versioned:
        value = jsonio.decode(row.raw, what=f"{collection}/{key}")
        beat = self._beats.get((collection, key))
        return Versioned(key=key, value=value, revision=row.revision, beat=beat, live=row.live)

    def _snapshot(self, collection: str, key: str, *, derived: bool) -> Snapshot:
        row = self._rows.get((collection, key))
        now = self.now()
        absent = Snapshot(value=None, revision=0, beat=None, now=now)
        if row is None:
            return absent
        try:
            held = self._versioned(collection, key, row)
        except Corrupt:
            if derived:
                return absent
            raise
        return Snapshot(value=held.value, revision=held.revision, beat=held.beat, now=now)

    def _carry_out(self, collection: str, key: str, before: Snapshot, decision: Decision[T], *, journal: str) -> None:
        name = (collection, key)
        revision = before.revision
        events = [entry_bytes(event) for event in decision.events]  # what cannot be JSON fails before anything changed
        if not isinstance(decision.write, Mark):
            revision += 1
            raw = record_bytes(decision.write, what=f"{collection}/{key}")
            was = self._rows.get(name)
            self._rows[name] = _Row(raw=raw, revision=revision, live=decision.live)
            self.writes += 1
            self._settle_beat(name, decision.live, None if was is None else was.live, before.now)
        elif decision.write is DELETE:
            self._rows.pop(name, None)
            self._beats.pop(name, None)
        elif decision.write is BEAT and decision.live is not None:
            self._beats[name] = Beat(fence=decision.live, seen=before.now)
        if events:
            self._log(journal, events, at_ms=before.now.at_ms, record=f"{collection}/{key}@{revision}")

    def _settle_beat(self, name: tuple[str, str], live: int | None, was: int | None, now: Instant) -> None:
        """A fence that was alive keeps its beat, lost or not; a new one starts with a beat at `now`."""
        if live is None:
            self._beats.pop(name, None)
        elif live != was:
            self._beats[name] = Beat(fence=live, seen=now)

    def _log(self, journal: str, entries: Sequence[bytes], *, at_ms: int, record: str) -> int:
        lines = self._journals.setdefault(journal, [])
        lines.extend((raw, at_ms, record) for raw in entries)
        return len(lines)


def _entry(sequence: int, line: tuple[bytes, int, str]) -> Entry:
    raw, at_ms, record = line
    return Entry(sequence=sequence, at_ms=at_ms, value=jsonio.decode(raw, what="journal"), record=record)

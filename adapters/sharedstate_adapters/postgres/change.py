"""What a decision means for the rows of a record, worked out here and carried out by one message."""

from __future__ import annotations

from typing import Any, Final

from sharedstate import jsonio
from sharedstate.clock import Instant
from sharedstate.documents import check_decision, entry_bytes, record_bytes
from sharedstate.errors import Corrupt
from sharedstate.ids import fingerprint
from sharedstate.store import BEAT, DELETE, KEEP, Beat, Decision, Document, Entry, Snapshot, Unreadable, Versioned
from sharedstate_adapters.postgres.line import Row
from sharedstate_adapters.postgres.statements import Statements

_HINT: Final = "look at the row of the record (docs/postgres-store.md, Tables); its value stays as it is"
_OFF: Final = "off"


def lock_number(*words: str) -> int:
    """The number of an advisory lock: all programs of a database share one space of them, hence a hash of 64 bits."""
    digest = fingerprint("\0".join(words).encode(), size=8, person=b"sharedstate")
    return int.from_bytes(bytes.fromhex(digest), "big", signed=True)


def instant(at_ms: int) -> Instant:
    """A moment of the server's; it has no boot that could be told apart."""
    return Instant(at_ms=at_ms, boot_ms=0, boot_id="")


def document_of(text: str, *, what: str) -> Document:
    """The document in a column. Raises `Corrupt`."""
    try:
        return jsonio.decode(text.encode(), what=what)
    except Corrupt as error:
        error.hint = _HINT
        raise


def beat_of(fence: int | None, at_ms: int | None) -> Beat | None:
    """A beat from its columns."""
    return None if fence is None or at_ms is None else Beat(fence=fence, seen=instant(at_ms))


def versioned(row: Row, *, collection: str) -> Versioned:
    """The record as callers see it. Raises `Corrupt`."""
    key, revision, live, text, fence, at_ms = row
    value = document_of(text, what=f"{collection}/{key}")
    beat = None if live is None else beat_of(fence, at_ms)
    return Versioned(key=key, value=value, revision=revision, beat=beat, live=live)


def listed(row: Row, *, collection: str) -> Versioned | Unreadable:
    """The record as a scan shows it."""
    try:
        return versioned(row, collection=collection)
    except Corrupt as error:
        return Unreadable(name=row[0], reason=str(error))


def entry_of(row: Row, *, journal: str) -> Entry:
    """A journal entry from its columns. Raises `Corrupt`."""
    sequence, at_ms, record, text = row
    value = document_of(text, what=f"journal {journal}, entry {sequence}")
    return Entry(sequence=sequence, at_ms=at_ms, value=value, record=record)


class Place:
    """One record: collection, key, its lock, and how messages call it."""

    __slots__ = ("collection", "key", "lock", "name", "what")

    def __init__(self, schema: str, collection: str, key: str) -> None:
        self.collection = collection
        self.key = key
        self.name = (collection, key)
        self.what = f"{collection}/{key}"
        self.lock = lock_number(schema, collection, key)


class Look:
    """What the server held when the record's lock was ours. `damage` says why the value cannot be read."""

    __slots__ = ("beat", "confirms", "damage", "level", "live", "now", "revision", "text", "value")

    def __init__(self, place: Place, row: Row, *, derived: bool) -> None:
        at_ms, self.level, confirms, revision, live, text, fence, beat_ms = row
        self.now = instant(at_ms)
        self.confirms: bool = confirms != _OFF
        self.text: str | None = text
        self.revision: int = revision or 0
        self.live: int | None = live
        self.beat = beat_of(fence, beat_ms)
        self.damage = ""
        self.value: Document | None = None
        if text is None:
            return
        try:
            self.value = document_of(text, what=place.what)
        except Corrupt as error:
            if not derived:
                raise
            self.damage = str(error)

    @property
    def snapshot(self) -> Snapshot:
        """What a decision may know of it."""
        if self.value is None:
            return Snapshot(value=None, revision=0, beat=None, now=self.now)
        beat = None if self.live is None else self.beat
        return Snapshot(value=self.value, revision=self.revision, beat=beat, now=self.now)


class Change:
    """A checked decision as statements; `is_empty` when there is nothing to carry out.

    `is_marked`: it must not be carried out twice, so its nonce goes with it. A beat alone may.
    """

    __slots__ = ("_texts", "_values", "is_empty", "is_marked")

    def __init__(
        self,
        sql: Statements,
        place: Place,
        look: Look,
        decision: Decision[Any],
        *,
        nonce: str,
        journal: str,
        durable: bool,
    ) -> None:
        alive = None if look.value is None else look.live
        check_decision(decision, alive=alive, what=place.what)
        revision = 0 if look.value is None else look.revision
        write, live = decision.write, decision.live
        events = [entry_bytes(event).decode() for event in decision.events]
        self._texts: list[str] = []
        self._values: list[Any] = []
        self.is_empty = not events and (write is KEEP or (write is DELETE and look.text is None))
        self.is_marked = bool(events) or write is not BEAT
        if self.is_empty:
            return
        self._commit_mode(look, durable=durable and self.is_marked)
        if isinstance(write, dict):
            revision += 1
            self._put(sql, place, look, live, (revision, live, record_bytes(write, what=place.what).decode()))
            self._sign(sql, place, look, alive, live)
        elif write is DELETE:
            self._add(sql.delete, *place.name)
            self._add(sql.unbeat, *place.name)
        elif write is BEAT and live is not None:
            self._add(sql.beat, *place.name, live, look.now.at_ms)
        if self.is_marked:
            self._add(sql.mark, nonce)
        if events:
            count, transition = len(events), f"{place.what}@{revision}"
            self._add(sql.log, journal, count, journal, count, look.now.at_ms, transition, events)
            self._add(sql.notify, journal)

    def message(self, bounds: str) -> tuple[str, list[Any]]:
        """All statements of the second half of the transaction, and their values; `bounds` come first."""
        return ";\n".join((bounds, *self._texts, "COMMIT")), self._values

    def _add(self, text: str, *values: Any) -> None:
        self._texts.append(text)
        self._values += values

    def _commit_mode(self, look: Look, *, durable: bool) -> None:
        """What shall be durable is, also where the server's habit is otherwise; beats wait for no disk."""
        if durable and not look.confirms:
            self._add("SET LOCAL synchronous_commit = on")
        elif not durable:
            self._add("SET LOCAL synchronous_commit = off")

    def _put(self, sql: Statements, place: Place, look: Look, live: int | None, row: tuple[Any, ...]) -> None:
        if look.damage:
            self._add(sql.keep, *place.name, look.revision, look.text)
        if look.text is None:
            self._add(sql.insert, *place.name, *row)
        else:
            self._add(sql.update, *row, *place.name)

    def _sign(self, sql: Statements, place: Place, look: Look, alive: int | None, live: int | None) -> None:
        """A fence that was alive keeps its beat, a new one starts with one now."""
        if live is not None and live != alive:
            self._add(sql.beat, *place.name, live, look.now.at_ms)
        elif live is None and look.beat is not None:
            self._add(sql.unbeat, *place.name)

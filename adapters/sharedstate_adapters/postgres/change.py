"""What a decision means for the rows of a record, worked out here and carried out by one message."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
# What the server holds of a record and its beat: revision, fence of the living ownership, value, fence, milliseconds.
Seen = tuple[int | None, int | None, str | None, int | None, int | None]
NOTHING: Final[Seen] = (None, None, None, None, None)
_IS: Final = ("revision", "live", "value", "fence", "at_ms")
_WAS: Final = tuple(f"was_{name}" for name in _IS)


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
    """What the server held at one moment. `damage` says why the value cannot be read."""

    __slots__ = ("damage", "now", "seen", "value")

    def __init__(self, place: Place, seen: Seen, now_ms: int, *, derived: bool) -> None:
        self.seen = seen
        self.now = instant(now_ms)
        self.damage = ""
        self.value: Document | None = None
        text = seen[2]
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
        revision, live, _, fence, at_ms = self.seen
        beat = None if live is None else beat_of(fence, at_ms)
        return Snapshot(value=self.value, revision=revision or 0, beat=beat, now=self.now)


class Change:
    """A checked decision, worked out for the server; `is_empty` when there is nothing to carry out.

    `is_marked`: it must not be carried out twice, so its nonce goes with it. A beat alone may. `after`: what there is
    when it is done.
    """

    __slots__ = (
        *("after", "at_ms", "events", "is_empty", "is_marked", "live"),
        *("revision", "seen", "signs", "text", "transition", "writes"),
    )

    def __init__(self, place: Place, look: Look, decision: Decision[Any]) -> None:
        was_revision, was_live, was_text, was_fence, was_at_ms = self.seen = look.seen
        alive = None if look.value is None else was_live
        check_decision(decision, alive=alive, what=place.what)
        write, live = decision.write, decision.live
        self.at_ms = look.now.at_ms
        self.events = [entry_bytes(event).decode() for event in decision.events]
        self.is_empty = not self.events and (write is KEEP or (write is DELETE and was_text is None))
        self.is_marked = bool(self.events) or write is not BEAT
        self.revision = 0 if look.value is None else was_revision or 0
        self.live, self.text, self.writes, self.signs = live, "", "", ""
        self.after = look.seen
        fence, at_ms = was_fence, was_at_ms
        if isinstance(write, dict):
            self.revision += 1
            self.text = record_bytes(write, what=place.what).decode()
            self.writes = "insert" if was_text is None else "update"
            # A fence that was alive keeps its beat, a new one starts with one now.
            if live is not None and live != alive:
                self.signs = "+"
            elif live is None and was_fence is not None:
                self.signs = "-"
        elif write is DELETE:
            self.writes, self.signs = "delete", "-"
        elif write is BEAT:
            self.signs = "+"
        if self.signs:
            fence, at_ms = (live, self.at_ms) if self.signs == "+" else (None, None)
        if self.writes == "delete":
            self.after = NOTHING
        elif self.writes:
            self.after = (self.revision, live, self.text, fence, at_ms)
        else:
            self.after = (*look.seen[:3], fence, at_ms)
        self.transition = f"{place.what}@{self.revision}"


def in_one(
    place: Place,
    change: Change,
    others: Mapping[Place, Seen],
    *,
    level: int,
    nonce: str,
    journal: str,
    channel: str,
    not_after_ms: int,
    wait_ms: int,
    durable: bool,
) -> str:
    """The argument of the function that compares and changes at once (`migrations/0002_change.sql`).

    One text of JSON: thirty values take the client library, and the planner, longer than all of the rest.
    """
    request: dict[str, Any] = {
        **dict(zip(_WAS, change.seen, strict=True)),
        "level": level,
        "lock": place.lock,
        "collection": place.collection,
        "key": place.key,
        "moment_ms": change.at_ms,
        "not_after_ms": not_after_ms,
        "wait_ms": wait_ms,
        "durable": durable and change.is_marked,
        "signs": change.signs,
        "live": change.live,
    }
    if change.writes:
        request |= {"writes": change.writes, "revision": change.revision, "value": change.text}
    if change.is_marked:
        request["nonce"] = nonce
    if change.events:
        request |= {"journal": journal, "transition": change.transition, "events": change.events, "channel": channel}
    if others:
        request["others"] = [
            {"lock": other.lock, "collection": other.collection, "key": other.key} | dict(zip(_IS, seen, strict=True))
            for other, seen in others.items()
        ]
    return json.dumps(request, ensure_ascii=False)


def in_two(
    sql: Statements,
    place: Place,
    look: Look,
    change: Change,
    *,
    nonce: str,
    journal: str,
    durable: bool,
    confirms: bool,
) -> tuple[list[str], list[Any]]:
    """The statements of the second half of a transaction that holds the record's lock, and their values.

    `confirms`: whether the server's habit is to wait for the disk.
    """
    texts: list[str] = []
    values: list[Any] = []

    def add(text: str, *given: Any) -> None:
        texts.append(text)
        values.extend(given)

    # What shall be durable is, also where the server's habit is otherwise; beats wait for no disk.
    if durable and change.is_marked and not confirms:
        add("SET LOCAL synchronous_commit = on")
    elif not (durable and change.is_marked):
        add("SET LOCAL synchronous_commit = off")
    if look.damage and change.writes == "update":
        add(sql.keep, *place.name, look.seen[0], look.seen[2])
    if change.writes == "insert":
        add(sql.insert, *place.name, change.revision, change.live, change.text)
    elif change.writes == "update":
        add(sql.update, change.revision, change.live, change.text, *place.name)
    elif change.writes == "delete":
        add(sql.delete, *place.name)
    if change.signs == "+":
        add(sql.beat, *place.name, change.live, change.at_ms)
    elif change.signs == "-":
        add(sql.unbeat, *place.name)
    if change.is_marked:
        add(sql.mark, nonce)
    if change.events:
        count = len(change.events)
        add(sql.log, journal, count, journal, count, change.at_ms, change.transition, change.events)
        add(sql.notify, journal)
    return texts, values

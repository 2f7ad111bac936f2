"""What a decision means for the keys of a record, worked out here and carried out by one script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sharedstate.clock import Instant
from sharedstate.documents import check_decision, entry_bytes, record_bytes
from sharedstate.errors import Corrupt
from sharedstate.guessing import Name
from sharedstate.store import BEAT, DELETE, KEEP, Decision, Snapshot
from sharedstate_adapters.redis.records import (
    Keys,
    Stored,
    head_of,
    pack,
    pack_beat,
    unpack,
    unpack_beat,
)

BEAT_MS: Final = 31 * 86_400_000  # longer than the longest ttl that can be set


class Place:
    """One record: collection, key, the names of its keys in the server, and how messages call it."""

    __slots__ = ("beat", "collection", "key", "keys", "live", "records", "what")

    def __init__(self, keys: Keys, collection: str, key: str) -> None:
        self.keys = keys
        self.collection = collection
        self.key = key
        self.what = f"{collection}/{key}"
        self.records = keys.records(collection)
        self.live = keys.live(collection)
        self.beat = keys.beats(collection) + key


Seen = tuple[bytes | None, bytes | None]  # the bytes of a record and of its beat


class Look:
    """What the server held at one moment: the bytes of record and beat, and its time. `damage` says why unreadable."""

    __slots__ = ("beat", "damage", "now", "raw", "stored")

    def __init__(self, place: Place, seen: Seen, now_ms: int, *, derived: bool) -> None:
        self.raw, self.beat = seen
        self.now = Instant(at_ms=now_ms, boot_ms=0, boot_id="")
        self.stored: Stored | None = None
        self.damage = ""
        if self.raw is None:
            return
        try:
            self.stored = unpack(self.raw, what=place.what)
        except Corrupt as error:
            if not derived:
                raise
            self.damage = str(error)

    @property
    def snapshot(self) -> Snapshot:
        """What a decision may know of it."""
        stored = self.stored
        if stored is None:
            return Snapshot(value=None, revision=0, beat=None, now=self.now)
        beat = None if stored.live is None else unpack_beat(self.beat)
        return Snapshot(value=stored.value, revision=stored.revision, beat=beat, now=self.now)


class Change:
    """A checked decision as words for the script; `is_empty` when there is nothing to carry out."""

    __slots__ = ("_events", "_words", "beat_after", "is_empty", "raw_after")

    def __init__(self, place: Place, look: Look, decision: Decision[Any], *, nonce: str, journal: str) -> None:
        stored = look.stored
        was = None if stored is None else stored.live
        check_decision(decision, alive=was, what=place.what)
        revision = 0 if stored is None else stored.revision
        write, live = decision.write, decision.live
        self._events = [entry_bytes(event) for event in decision.events]
        action, packed, beat, index = "keep", b"", b"", ""
        if isinstance(write, dict):
            revision += 1
            action = "put"
            packed = pack(revision, live, nonce, record_bytes(write, what=place.what))
            beat, index = _signs(was, live, look)
        elif write is DELETE:
            action, beat, index = "delete", b"-", "-"
        elif write is BEAT and live is not None:
            beat = pack_beat(live, look.now.at_ms)
        self.raw_after = {"put": packed, "delete": None}.get(action, look.raw)
        self.beat_after = look.beat if beat == b"" else None if beat == b"-" else beat
        nothing = write is KEEP or (write is DELETE and look.raw is None)
        self.is_empty = nothing and not self._events
        transition = f"{place.what}@{revision}"
        at_ms = look.now.at_ms
        expected = (head_of(look.raw), look.beat or b"")
        self._words = (*expected, action, packed, beat, BEAT_MS, index, place.collection, journal, at_ms, transition)

    def words(self, place: Place, others: Mapping[Name, Seen], *, op_ms: int, not_after_ms: int) -> list[Any]:
        """The arguments of the script: the mark of this request lives `op_ms`, its last moment is `not_after_ms`.

        `others`: what the decision looked at beside its own record; all of it must still be so.
        """
        words: list[Any] = [place.key, op_ms, not_after_ms, *self._words, len(others)]
        for (_, key), (raw, beat) in others.items():
            words += (key, head_of(raw), beat or b"")
        return words + self._events


def _signs(was: int | None, live: int | None, look: Look) -> tuple[bytes, str]:
    """What becomes of beat and live index: a fence that was alive keeps its beat, a new one starts with one now."""
    unsure = look.damage != ""
    if live is None:
        return (b"-", "-") if was is not None or unsure or look.beat is not None else (b"", "")
    if live == was:
        return b"", ""
    return pack_beat(live, look.now.at_ms), "+" if was is None else ""

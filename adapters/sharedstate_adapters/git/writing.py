"""What a decision, an append or a load changes in the tree: files by path, written as objects, not yet a commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic

from sharedstate.clock import Instant
from sharedstate.documents import check_decision, entry_bytes, record_bytes
from sharedstate.errors import Corrupt
from sharedstate.host import Host
from sharedstate.ids import record_name
from sharedstate.store import BEAT, DELETE, Beat, Decision, Document, Entry, Mark, Snapshot, T, check_continues
from sharedstate.values import Value
from sharedstate_adapters.git import layout
from sharedstate_adapters.git.beats import LocalBeats
from sharedstate_adapters.git.chain import Draft
from sharedstate_adapters.git.commits import State
from sharedstate_adapters.git.layout import Stored
from sharedstate_adapters.git.objects import BLOB, Damaged, Item, Objects
from sharedstate_adapters.git.paths import Path
from sharedstate_adapters.git.reading import Reader, lines_of

_TTL_SHARE: Final = 6


class Outcome(Value, Generic[T]):
    """What one run of a decision gave: its result, or the error that it raised."""

    result: T | None = None
    error: Exception | None = None


class Writer:
    """Makes drafts. Used under the staging lock."""

    def __init__(self, objects: Objects, reader: Reader, beats: LocalBeats, *, host: Host, publish_ms: int) -> None:
        self._objects = objects
        self._reader = reader
        self._beats = beats
        self._host = host
        self._publish_ms = publish_ms

    # A transition of a record

    def transition(
        self,
        state: State,
        decide: Callable[[Snapshot], Decision[T]],
        *,
        collection: str,
        key: str,
        journal: str,
        derived: bool,
    ) -> Draft[Outcome[T]]:
        """Run `decide` upon a record as it stands in `state`, and say what shall change.

        Whatever it raises is part of the outcome: it may come from a state that is not the remote's any more.
        """
        changes: dict[Path, Item | None] = {}
        try:
            stored = self._stored(state, collection, key, changes, derived=derived)
            now = self._host.now()
            beat = None if stored is None else self._beats.latest(collection, stored)
            snapshot = Snapshot(
                value=None if stored is None else stored.value,
                revision=0 if stored is None else stored.revision,
                beat=beat,
                now=now,
            )
            decision = decide(snapshot)
            what = f"{collection}/{key}"
            check_decision(decision, alive=None if stored is None else stored.live, what=what)
            for event in decision.events:
                entry_bytes(event)
            after = self._after(stored, decision, key=key, beat=beat, now=now, what=what)
        except Damaged:  # our own copy, not the state: it is fetched anew, and this runs again
            raise
        except Exception as error:  # noqa: BLE001 - reason: raised again once the state it came from is confirmed
            return Draft(result=Outcome(error=error), changes={})
        if decision.write is BEAT and stored is not None and after is not None:
            self._give(collection, stored, after, now, changes)
        elif after is not None and isinstance(decision.write, dict):
            changes[layout.record_path(collection, key)] = self._file(after)
        elif decision.write is DELETE and (stored is not None or changes):
            changes[layout.record_path(collection, key)] = None
        else:
            changes.clear()  # unreadable bytes are put aside only when something takes their place
        revision = after.revision if after is not None else 0 if stored is None else stored.revision
        record = f"{what}@{revision}"
        events = [Entry(sequence=0, at_ms=now.at_ms, value=event, record=record) for event in decision.events]
        changes |= self.logged(state, journal, events)
        return Draft(result=Outcome(result=decision.result), changes=changes, subject=record)

    def _stored(
        self, state: State, collection: str, key: str, changes: dict[Path, Item | None], *, derived: bool
    ) -> Stored | None:
        item = self._reader.item(state, collection, key)
        if item is None:
            return None
        name = record_name(key)
        try:
            return self._reader.stored(item, collection=collection, name=f"{name}.json")
        except Corrupt:
            if not derived:
                raise
        changes[layout.KEPT, collection, f"{name}-{item.oid[:16]}.json"] = item.replace(mode=layout.PLAIN_FILE)
        return None

    def _after(
        self,
        stored: Stored | None,
        decision: Decision[T],
        *,
        key: str,
        beat: Beat | None,
        now: Instant,
        what: str,
    ) -> Stored | None:
        """The record after the decision, None when there is none."""
        if decision.write is DELETE or (stored is None and isinstance(decision.write, Mark)):
            return None
        if isinstance(decision.write, Mark):
            assert stored is not None
            fence = decision.live
            given = Beat(fence=fence, seen=now) if decision.write is BEAT and fence is not None else stored.beat
            return stored.replace(beat=given)
        record_bytes(decision.write, what=what)
        live = decision.live
        if live is None:
            beat = None
        elif stored is None or stored.live != live:
            beat = Beat(fence=live, seen=now)
        revision = 1 if stored is None else stored.revision + 1
        return Stored(key=key, value=decision.write, revision=revision, live=live, beat=beat)

    def _give(
        self, collection: str, stored: Stored, after: Stored, now: Instant, changes: dict[Path, Item | None]
    ) -> None:
        """A beat: published when the one at the remote is old or of another fence, else kept on this machine."""
        old, new = stored.beat, after.beat
        assert new is not None
        age_ms = -1 if old is None or old.fence != new.fence else now.at_ms - old.seen.at_ms
        if 0 <= age_ms < self._rest_ms(stored):  # less than 0: the clock was set back, or there is none to go on from
            self._beats.give(collection, stored, new)
            return
        changes[layout.record_path(collection, stored.key)] = self._file(after)

    def _rest_ms(self, stored: Stored) -> int:
        """How long a published beat does: less for a claim with a short ttl, which others would think dead."""
        lease = stored.value.get("lease")
        ttl_ms = lease.get("ttl_ms") if isinstance(lease, dict) else None
        return min(self._publish_ms, ttl_ms // _TTL_SHARE) if type(ttl_ms) is int else self._publish_ms

    def _file(self, stored: Stored) -> Item:
        mode = layout.PLAIN_FILE if stored.live is None else layout.LIVING_FILE
        return Item(mode=mode, oid=self._objects.write(BLOB, layout.encode_record(stored)))

    # Journals

    def appended(self, state: State, journal: str, value: Document) -> Draft[Outcome[int]]:
        """One entry more; the result is its sequence."""
        try:
            last = self._reader.last_of(state, journal)
        except Corrupt as error:
            return Draft(result=Outcome(error=error), changes={})
        entry = Entry(sequence=0, at_ms=self._host.now().at_ms, value=value)
        changes = self.logged(state, journal, [entry])
        return Draft(result=Outcome(result=last + 1), changes=changes, subject=f"journal {journal}: {last + 1}")

    def loaded(self, state: State, journal: str, entries: Sequence[Entry]) -> Draft[Outcome[int]]:
        """Entries of another store, where they go on; the result is the last sequence."""
        try:
            last = self._reader.last_of(state, journal)
            check_continues(journal, last, entries)
        except (Corrupt, ValueError) as error:
            return Draft(result=Outcome(error=error), changes={})
        changes = self.logged(state, journal, entries)
        last += len(entries)
        return Draft(result=Outcome(result=last), changes=changes, subject=f"journal {journal}: loaded up to {last}")

    def logged(self, state: State, journal: str, entries: Sequence[Entry]) -> dict[Path, Item | None]:
        """The files that entries change; they get the sequences that follow."""
        if not entries:
            return {}
        first, raw = self._reader.last_segment(state, journal)
        last = first + raw.count(b"\n") - 1 if first else 0
        numbered = [entry.replace(sequence=last + at) for at, entry in enumerate(entries, start=1)]
        changes: dict[Path, Item | None] = {}
        first = first or 1
        for entry, line in zip(numbered, lines_of(numbered), strict=True):
            full = len(raw) + len(line) > layout.SEGMENT_BYTES_MAX or raw.count(b"\n") >= layout.SEGMENT_ENTRIES_MAX
            if raw and full:
                self._put(changes, journal, first, raw)
                first, raw = entry.sequence, b""
            raw += line
        self._put(changes, journal, first, raw)
        return changes

    def _put(self, changes: dict[Path, Item | None], journal: str, first: int, raw: bytes) -> None:
        item = Item(mode=layout.PLAIN_FILE, oid=self._objects.write(BLOB, raw))
        changes[layout.segment_path(journal, first)] = item

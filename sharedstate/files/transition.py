"""One transition of one record, under its lock: finish what a dead holder left, look, decide, carry out.

The record is written first and is the truth; beat cell and journal follow it. An intent in the lock file covers the
time in between, so that whoever comes after a crash brings them in line.
"""

from __future__ import annotations

from collections.abc import Callable

from sharedstate.clock import Instant
from sharedstate.documents import check_decision
from sharedstate.errors import Corrupt, DurabilityUnknown, NewerFormat, SharedStateError, StoreUnavailable
from sharedstate.files.cells import UNKNOWN, Cell, make_cell, open_cell, remove_cell
from sharedstate.files.faults import translated, warn
from sharedstate.files.journal import Journal, body_of
from sharedstate.files.plain import replace_plain, sync_directory
from sharedstate.files.quarantine import quarantine
from sharedstate.files.reading import Place, read_stored
from sharedstate.files.records import LastEvents, Stored, encode_record
from sharedstate.files.repair import JournalOf, finish
from sharedstate.files.roots import Root
from sharedstate.files.stripes import Intent, Lock, clear_intent, read_intent, write_intent
from sharedstate.store import BEAT, DELETE, KEEP, Decision, Document, Snapshot, T

Decide = Callable[[Snapshot], Decision[T]]


class Transition:
    """The state of one transaction while its lock is held."""

    __slots__ = ("_cell", "_derived", "_durable", "_journal", "_lock", "_now", "_place", "_root", "_stored")

    def __init__(self, root: Root, place: Place, lock: Lock, journal: Journal, *, durable: bool, derived: bool) -> None:
        self._root = root
        self._place = place
        self._lock = lock
        self._journal = journal
        self._durable = durable
        self._derived = derived
        self._now: Instant = root.host.now()
        self._stored: Stored | None = None
        self._cell: Cell | None = None

    def run(self, decide: Decide[T], journal_of: JournalOf) -> T:
        """The decision's result, once it is carried out."""
        unfinished = self._finish_what_was_left(journal_of)
        self._stored = self._read()
        try:
            if self._stored is not None:
                self._cell = open_cell(self._root, self._place.collection, self._place.name)
            decision = self._decide(decide)
            check_decision(decision, alive=None if self._stored is None else self._stored.live, what=self._place.what)
            changes = decision.write is not KEEP and decision.write is not BEAT
            if unfinished is not None and (changes or decision.prompt):
                raise unfinished
            self._carry_out(decision)
            return decision.result
        finally:
            if self._cell is not None:
                self._cell.close()

    # Looking

    def _finish_what_was_left(self, journal_of: JournalOf) -> SharedStateError | None:
        """Repair after a dead holder. A failure stops further writes of this stripe, but no beat and no look."""
        intent = read_intent(self._lock.fd, self._root.host)
        if intent is None:
            return None
        try:
            finish(self._root, journal_of, intent)
            clear_intent(self._lock.fd, self._root.host)
        except SharedStateError as error:
            return error
        except OSError as error:
            return translated(error, what=f"repairing {intent.collection}/{intent.key}")
        return None

    def _read(self) -> Stored | None:
        """The record under the lock. The bytes of an unreadable one are kept; a derived one then counts as absent."""
        try:
            return read_stored(self._root, self._place)
        except NewerFormat:
            raise
        except Corrupt as error:
            quarantine(self._root, collection=self._place.collection, name=self._place.file, reason=str(error))
            if self._derived:
                return None
            raise

    def _decide(self, decide: Decide[T]) -> Decision[T]:
        try:
            return decide(self._snapshot())
        except NewerFormat:
            raise
        except Corrupt as error:  # sound JSON, but not what this collection holds
            if self._stored is not None:
                place = self._place
                quarantine(self._root, collection=place.collection, name=place.file, reason=str(error))
            raise

    def _snapshot(self) -> Snapshot:
        stored, cell = self._stored, self._cell
        if stored is None:
            return Snapshot(value=None, revision=0, beat=None, now=self._now)
        beat = None if cell is None else cell.beat
        return Snapshot(value=stored.value, revision=stored.revision, beat=beat, now=self._now)

    # Carrying out

    def _carry_out(self, decision: Decision[T]) -> None:
        bodies = [body_of(event) for event in decision.events]
        write = decision.write
        if isinstance(write, dict):
            self._replace(write, decision, bodies)
            return
        if write is BEAT and decision.live is not None:
            self._write_cell(decision.live, self._now)
        if bodies:  # before a removal: the record that could carry them goes away
            self._log(bodies, 0 if self._stored is None else self._stored.revision)
        if write is DELETE and self._stored is not None:
            self._delete()

    def _replace(self, document: Document, decision: Decision[T], bodies: list[bytes]) -> None:
        live, events = decision.live, list(decision.events)
        place, revision = self._place, 1 if self._stored is None else self._stored.revision + 1
        last = None
        if events:
            after = self._journal.last_known()
            last = LastEvents(journal=self._journal.name, after=after, at_ms=self._now.at_ms, events=events)
        raw = encode_record(document, key=place.key, revision=revision, live=live, last_events=last)
        directory = self._root.make_directory(place.collection)
        self._intend()
        try:
            replace_plain(self._root.host, place.file, raw, dir_fd=directory.fd, durable=self._durable, what=place.what)
        except StoreUnavailable:
            self._done()  # nothing was changed
            raise
        try:
            self._settle_cell(live)
            if bodies:
                self._log(bodies, revision)
        except (OSError, SharedStateError) as error:
            # The record is in place; the intent stays, so that the next access finishes the rest.
            late = f"{place.what}: changed, but its beat or journal entry is late: {error}"
            if decision.prompt:
                raise DurabilityUnknown(late) from error
            warn(late)
            return
        self._done()

    def _delete(self) -> None:
        place = self._place
        directory = self._root.make_directory(place.collection)
        self._intend()
        self._root.host.unlink(place.file, dir_fd=directory.fd)
        if self._durable:
            sync_directory(self._root.host, directory.fd, what=place.what)
        try:
            remove_cell(self._root, place.collection, place.name)
        except (OSError, SharedStateError) as error:
            warn(f"{place.what}: removed, but its beat cell is late to go: {error}")  # as above: the intent stays
            return
        self._done()

    def _log(self, bodies: list[bytes], revision: int) -> None:
        record = f"{self._place.what}@{revision}"
        self._journal.append(bodies, at_ms=self._now.at_ms, record=record, durable=self._durable)

    def _settle_cell(self, live: int | None) -> None:
        """The live rule: a fence that was alive keeps its beat, a new one starts with a beat at `now`."""
        before = None if self._stored is None else self._stored.live
        if live is None:
            if before is not None or self._cell is not None:
                remove_cell(self._root, self._place.collection, self._place.name)
        elif live != before:
            self._write_cell(live, self._now)
        elif self._cell is None:
            self._write_cell(live, UNKNOWN)  # the beat was lost: the claim may look older, never younger

    def _write_cell(self, live: int, seen: Instant) -> None:
        if self._cell is None:
            self._cell = make_cell(self._root, self._place.collection, self._place.name)
        self._cell.write(live, seen)

    def _intend(self) -> None:
        intent = Intent(self._journal.name, self._place.collection, self._place.key)
        write_intent(self._lock.fd, self._root.host, intent)

    def _done(self) -> None:
        try:
            clear_intent(self._lock.fd, self._root.host)
        except OSError:
            pass  # the next holder repairs a state that needs no repair

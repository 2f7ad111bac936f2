"""Unreadable records come back: their bytes go to quarantine first, then the record is rebuilt as last known.

A task is rebuilt from the journal (`sharedstate.tasks.restoration`), the table of scopes from the live tasks. Records
of the machine's own ledger are derived from task states, so of them only the bytes are kept. What cannot be restored
without guessing stays.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from sharedstate.claims.checkup import LEDGER
from sharedstate.claims.model import load_local
from sharedstate.clock import Instant
from sharedstate.errors import Corrupt, InvalidInput, NewerFormat, SharedStateError, StoreUnavailable
from sharedstate.files.cells import open_cell, remove_cell
from sharedstate.files.faults import translated
from sharedstate.files.journal import Journal
from sharedstate.files.plain import check_plain, read_fully, read_plain, replace_plain, sync_directory
from sharedstate.files.quarantine import BYTES_SUFFIX, COPY_BYTES_MAX, quarantine
from sharedstate.files.reading import Place, file_names, read_file
from sharedstate.files.records import SUFFIX, LastEvents, Stored, check_name_of, encode_record
from sharedstate.files.repair import collections_of, finish, index_is_complete, rebuild
from sharedstate.files.roots import BEATS, JOURNAL, QUARANTINE, Root
from sharedstate.files.stripes import Intent, Lock, LockTable, clear_intent, read_intent, write_intent
from sharedstate.host import Host
from sharedstate.ids import check_id, record_name
from sharedstate.messages.spool import DELIVERIES
from sharedstate.messages.turns import BACKLOGS, SEQUENCES
from sharedstate.store import Decision, Document, Entry
from sharedstate.tasks.model import TaskState, load
from sharedstate.tasks.restoration import Holding, restore
from sharedstate.tasks.service import ARCHIVE, TASKS
from sharedstate.values import Value

EVENTS: Final = "events"
SCOPES: Final = "scopes"
DERIVED: Final = frozenset((LEDGER, "sightings", "upkeep", DELIVERIES, BACKLOGS, SEQUENCES))
RESTORED: Final = "restored"
SET_ASIDE: Final = "set aside"
LEFT: Final = "left"
_REVISION_MAX: Final = 10**9
_ID: Final = re.compile(rb'"id":\s*("(?:[^"\\\x00-\x1f]|\\.){1,2000}")')
_FENCE: Final = re.compile(rb'"fence":\s*(\d{1,18})\b')
_REVISION: Final = re.compile(rb'"revision":\s*(\d{1,10})\b')


class Restoration(Value):
    """What became of an unreadable record: `restored`, `set aside` (its bytes are kept, its content comes back by
    use), or `left` with the reason."""

    where: str
    outcome: str
    detail: str


class Restorer:
    """Restores the unreadable records of one state root. `holdings`: what this machine's ledger knows, by task."""

    def __init__(
        self, path: str, *, host: Host, allow_network: bool, timeout_s: float, holdings: Mapping[str, Holding]
    ) -> None:
        self._root = Root(path, host=host, allow_network=allow_network)
        self._host = host
        self._timeout_s = timeout_s
        self._holdings = holdings
        self._locks = LockTable(self._root)
        self._journals: dict[str, Journal] = {}
        self._told: dict[str, list[Entry]] | None = None
        self._complete = True

    def run(self) -> list[Restoration]:
        """Restore what can be restored, record by record; one bad record stops no other. Raises `StoreError`."""
        if self._root.directory("") is None:
            return []
        self._root.prepare()
        gate = self._locks.named("doctor")  # two doctors would set aside what the other has just restored
        gate.acquire(timeout_s=self._timeout_s, what="another `claims doctor --fix`")
        try:
            return [self._restored(collection, name, reason) for collection, name, reason in list(self._broken())]
        finally:
            gate.release()

    def journal(self, name: str) -> Journal:
        """The journal of this name."""
        if name not in self._journals:
            lock = self._locks.named(f"journal-{name}")
            self._journals[name] = Journal(self._root, name, lock, timeout_s=self._timeout_s)
        return self._journals[name]

    def mend_index(self) -> list[str]:
        """Put every live record into the index of live records; one line for each. Raises `StoreError`."""
        if self._root.directory("") is None:
            return []
        self._root.prepare()
        done: list[str] = []
        if self._host.boot_id() and not index_is_complete(self._root):
            gate = self._locks.named("maintenance")
            gate.acquire(timeout_s=self._timeout_s, what="rebuilding the index of live records")
            try:
                rebuild(self._root, self.journal)
            finally:
                gate.release()
            done.append(f"rebuilt the index of live records of {self._root.path}")
        for collection, key in missing_in_index(self._root):
            place = Place(collection, key)
            lock = self._locks.stripe(place.what)
            lock.acquire(timeout_s=self._timeout_s, what=place.what)
            try:
                left = read_intent(lock.fd, self._host)
                if left is not None:
                    finish(self._root, self.journal, left)
                    clear_intent(lock.fd, self._host)
                finish(self._root, self.journal, Intent(EVENTS, collection, key))
            finally:
                lock.release()
            done.append(f"put {place.what} back into the index of live records")
        return done

    # Which, and what is known of them

    def _broken(self) -> Iterator[tuple[str, str, str]]:
        for collection in (TASKS, ARCHIVE, SCOPES, *sorted(DERIVED)):  # scopes are rebuilt from restored tasks
            for name in sorted(file_names(self._root, collection)):
                try:
                    examine(self._root, collection, name)
                except NewerFormat:
                    continue
                except Corrupt as error:
                    yield collection, name, str(error)

    def _restored(self, collection: str, name: str, reason: str) -> Restoration:
        where = f"{collection}/{name}"
        try:
            raw = self._read(collection, name)
            self._keep_bytes(collection, name, raw, reason)
            if collection in DERIVED:
                return self._set_aside(collection, name)
            key = self._key_of(collection, name.removesuffix(SUFFIX), raw)
            if key is None:
                return Restoration(where=where, outcome=LEFT, detail="nothing tells which id it belongs to")
            return self._rebuild(Place(collection, key), raw)
        except SharedStateError as error:
            return Restoration(where=where, outcome=LEFT, detail=str(error))
        except OSError as error:
            return Restoration(where=where, outcome=LEFT, detail=str(translated(error, what=f"restoring {where}")))

    def _key_of(self, collection: str, stem: str, raw: bytes) -> str | None:
        if collection == SCOPES:
            return "live" if record_name("live") == stem else None
        candidates = [*_ids_in(raw), *self._events(), *self._holdings]
        return next((key for key in candidates if record_name(key) == stem), None)

    def _events(self) -> dict[str, list[Entry]]:
        """All journal entries by task; read once."""
        if self._told is None:
            self._told, before = {}, 0
            for entry in self.journal(EVENTS).read():
                self._complete = self._complete and entry.sequence == before + 1
                before = entry.sequence
                task = entry.value.get("task")
                if isinstance(task, str):
                    self._told.setdefault(task, []).append(entry)
            self._complete = self._complete and not self.journal(EVENTS).damage()
        return self._told

    # The bytes

    def _read(self, collection: str, name: str) -> bytes:
        directory = self._root.make_directory(collection)
        fd = self._host.open(name, os.O_RDONLY, dir_fd=directory.fd)
        try:
            info = self._host.fstat(fd)
            check_plain(info, uid=self._root.uid, what=f"{collection}/{name}")
            if info.size > COPY_BYTES_MAX:
                raise InvalidInput(
                    f"{collection}/{name}: {info.size} bytes are too many to keep a copy; move it by hand"
                )
            return read_fully(self._host, fd, info.size)
        finally:
            self._host.close(fd)

    def _keep_bytes(self, collection: str, name: str, raw: bytes, reason: str) -> None:
        """Nothing is replaced before its bytes are seen in quarantine."""
        quarantine(self._root, collection=collection, name=name, reason=reason)
        kept = f"{name.removesuffix(SUFFIX)}-{blake2b(raw, digest_size=8).hexdigest()}{BYTES_SUFFIX}"
        place = self._root.make_directory(QUARANTINE)
        found = read_plain(
            self._host, kept, dir_fd=place.fd, uid=self._root.uid, bytes_max=COPY_BYTES_MAX, what=f"{QUARANTINE}/{kept}"
        )
        if found != raw:
            raise StoreUnavailable(f"{collection}/{name}: its bytes could not be kept in {QUARANTINE}, so it stays")

    # The record

    def _set_aside(self, collection: str, name: str) -> Restoration:
        """No lock of the record is needed: while it is unreadable, no writer touches it, and doctors take turns."""
        directory = self._root.make_directory(collection)
        self._host.unlink(name, dir_fd=directory.fd)
        sync_directory(self._host, directory.fd, what=f"{collection}/{name}")
        remove_cell(self._root, collection, name.removesuffix(SUFFIX))
        detail = "bytes kept in quarantine; the next claim or sweep writes it anew"
        return Restoration(where=f"{collection}/{name}", outcome=SET_ASIDE, detail=detail)

    def _rebuild(self, place: Place, raw: bytes) -> Restoration:
        events, lock = self._events(), self._locks.stripe(place.what)
        where = f"{place.collection}/{place.file}"
        lock.acquire(timeout_s=self._timeout_s, what=place.what)
        try:
            left = read_intent(lock.fd, self._host)
            if left is not None:
                finish(self._root, self.journal, left)
                clear_intent(lock.fd, self._host)
            try:
                examine(self._root, place.collection, place.file)
                return Restoration(where=where, outcome=LEFT, detail="can be read again")
            except Corrupt:
                pass
            now = self._host.now()
            decision, told = self._decision(place, raw, events.get(place.key, []), now)
            revision = 1 + max((*_numbers(_REVISION, raw, _REVISION_MAX), *_revisions(told, place.what)), default=0)
            self._write(place, lock, decision, revision=revision, now=now)
        finally:
            lock.release()
        return Restoration(where=where, outcome=RESTORED, detail=str(decision.result))

    def _decision(self, place: Place, raw: bytes, told: list[Entry], now: Instant) -> tuple[Decision[str], list[Entry]]:
        if place.collection == SCOPES:
            entries = dict(self._live_scopes())
            return Decision(result=f"scopes of {len(entries)} live tasks", write={"entries": entries}), told
        holding = self._holdings.get(place.key)
        archived = self._archived(place) if place.collection == TASKS else None
        fences = [
            *_numbers(_FENCE, raw, 2 * now.at_ms // 1000),
            self._beat_fence(place),
            0 if holding is None else holding.fence,
            0 if archived is None else archived.fence,
        ]
        decision = restore(
            place.key,
            told,
            record=place.what,
            now=now,
            fences=fences,
            complete=self._complete,
            base=archived,
            holding=holding,
        )
        assert isinstance(decision.write, dict)
        result = f"{decision.result.status}, fence {decision.result.fence}, {decision.events[0]['detail']}"
        return Decision(result=result, write=decision.write, events=decision.events), told

    def _write(self, place: Place, lock: Lock, decision: Decision[str], *, revision: int, now: Instant) -> None:
        assert isinstance(decision.write, dict)
        last = None
        if decision.events:
            after = self.journal(EVENTS).last_known()
            last = LastEvents(journal=EVENTS, after=after, at_ms=now.at_ms, events=list(decision.events))
        raw = encode_record(decision.write, key=place.key, revision=revision, live=None, last_events=last)
        intent = Intent(EVENTS, place.collection, place.key)
        write_intent(lock.fd, self._host, intent)
        dir_fd = self._root.make_directory(place.collection).fd
        replace_plain(self._host, place.file, raw, dir_fd=dir_fd, durable=True, what=place.what)
        finish(self._root, self.journal, intent)  # the beat cell goes, the journal hears of it
        clear_intent(lock.fd, self._host)

    def _archived(self, place: Place) -> TaskState | None:
        try:
            stored = self._stored(ARCHIVE, place.file)
            return None if stored is None else load(place.key, stored.value)
        except Corrupt:
            return None

    def _live_scopes(self) -> Iterator[tuple[str, Document]]:
        for name in file_names(self._root, TASKS):
            try:
                stored = examine(self._root, TASKS, name)
            except SharedStateError:
                continue
            state = None if stored is None or stored.live is None else load(stored.key, stored.value)
            if state is not None and state.lease is not None and state.live is not None and state.lease.scope:
                yield state.task, {"fence": state.fence, "owner": state.lease.owner, "paths": list(state.lease.scope)}

    def _beat_fence(self, place: Place) -> int:
        cell = open_cell(self._root, place.collection, place.name)
        if cell is None:
            return 0
        try:
            return cell.fence or 0
        finally:
            cell.close()

    def _stored(self, collection: str, name: str) -> Stored | None:
        directory = self._root.directory(collection)
        return None if directory is None else read_file(self._root, directory, name, what=f"{collection}/{name}")


def examine(root: Root, collection: str, name: str) -> Stored | None:
    """The record in a file, looked at as deeply as its readers do. Raises `Corrupt`, `NewerFormat`, `UnsafeStore`."""
    directory = root.directory(collection)
    if directory is None:
        return None
    what = f"{collection}/{name}"
    stored = read_file(root, directory, name, what=what)
    if stored is None:
        return None
    check_name_of(stored, name, what=what)
    if collection in (TASKS, ARCHIVE):
        load(stored.key, stored.value)
    elif collection == LEDGER:
        load_local(stored.key, stored.value)
    return stored


def missing_in_index(root: Root) -> list[tuple[str, str]]:
    """Collection and key of live records without a beat cell."""
    found: list[tuple[str, str]] = []
    for collection in collections_of(root):
        cells = root.directory(f"{BEATS}/{collection}")
        stems = set(root.host.listdir(cells.fd)) if cells is not None else set()
        for name in file_names(root, collection):
            if name.removesuffix(SUFFIX) in stems:
                continue
            try:
                stored = examine(root, collection, name)
            except SharedStateError:
                continue
            if stored is not None and stored.live is not None:
                found.append((collection, stored.key))
    return found


def places_of_journals(root: Root) -> list[str]:
    """Names of the journals that exist."""
    place = root.directory(JOURNAL)
    return [] if place is None else sorted(name for name in root.host.listdir(place.fd) if not name.startswith("."))


def _ids_in(raw: bytes) -> list[str]:
    """Ids that the bytes seem to name; the hash in the file's name tells which is right."""
    found: list[str] = []
    for match in _ID.findall(raw)[:20]:
        try:
            found.append(check_id(json.loads(match.decode())))
        except ValueError:
            continue
    return found


def _numbers(pattern: re.Pattern[bytes], raw: bytes, limit: int) -> list[int]:
    """Numbers in the bytes; one above the limit is taken for damage."""
    return [number for number in map(int, pattern.findall(raw)[:1000]) if number <= limit]


def _revisions(told: Sequence[Entry], record: str) -> list[int]:
    named = [entry.record.rpartition("@") for entry in told]
    return [
        int(revision) for name, _, revision in named if name == record and revision.isdecimal() and len(revision) < 10
    ]

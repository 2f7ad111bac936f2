"""`FileStore`: the store port over one directory tree of JSON files, guarded by advisory kernel locks."""

from __future__ import annotations

import os
from _thread import get_ident
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from sharedstate.clock import Instant
from sharedstate.documents import check_name
from sharedstate.errors import ForkedStore, InvalidInput, SharedStateError, StoreUnavailable
from sharedstate.files.faults import translated
from sharedstate.files.journal import Journal, body_of
from sharedstate.files.reading import (
    Place,
    collections_of,
    file_names,
    journals_of,
    live_file_names,
    read_stored,
    records,
    with_beat,
)
from sharedstate.files.repair import index_is_complete, rebuild
from sharedstate.files.roots import Root
from sharedstate.files.stripes import LockTable
from sharedstate.files.transition import Transition
from sharedstate.host import Host
from sharedstate.store import Decision, Document, Durability, Entry, Snapshot, T, Unreadable, Versioned

LOCK_TIMEOUT_S = 10.0
_ATTEMPTS_MAX = 4
_WATCH_STEPS_S = (0.02, 0.03, 0.05, 0.07, 0.1)


class FileStore:
    """JSON files under advisory kernel locks; the contract is that of `sharedstate.store.Store`.

    `root` is the directory of the store; it is made by the first write, mode 0700. A lock that is not free within
    `lock_timeout_s` seconds (> 0) raises `StoreBusy`. Writing to a root on a network file system is refused unless
    `allow_network`. `durability="relaxed"` leaves every sync to the operating system: what was acknowledged survives a
    crash of the process, not a power cut. `private` keeps the whole root out of git, not only what is this machine's.
    Safe for threads; refuses to work in a forked child. `close` gives the
    descriptors back.
    """

    def __init__(
        self,
        root: str,
        *,
        host: Host | None = None,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        allow_network: bool = False,
        durability: Durability = "full",
        private: bool = False,
    ) -> None:
        if not lock_timeout_s > 0:
            raise InvalidInput(f"lock_timeout_s is {lock_timeout_s}; it must be above 0")
        self._host = host if host is not None else Host()
        self.root = Root(os.path.abspath(root), host=self._host, allow_network=allow_network, private=private)
        self._timeout_s = lock_timeout_s
        self._relaxed = durability == "relaxed"
        self._pid = self._host.pid()
        self._deciding: set[int] = set()
        self._locks = LockTable(self.root)
        self._journals: dict[str, Journal] = {}

    def now(self) -> Instant:
        """The clock of this host."""
        return self._host.now()

    def get(self, collection: str, key: str) -> Versioned | None:
        """The current record. Raises `Corrupt`, `UnsafeStore`, `StoreUnavailable`; never waits for a writer."""
        self._check_process()
        place = Place(collection, key)
        try:
            stored = read_stored(self.root, place) if self.root.refresh() else None
            return None if stored is None else with_beat(self.root, place.collection, place.name, stored)
        except SharedStateError:
            raise
        except OSError as error:
            raise translated(error, what=f"reading {place.what}") from error

    def scan(self, collection: str, *, live_only: bool = False) -> Iterator[Versioned | Unreadable]:
        """Every record, or only those with a living ownership; what cannot be read is yielded as `Unreadable`."""
        self._check_process()
        check_name(collection, what="collection")
        try:
            if not self.root.refresh():
                return iter(())
            indexed = live_only and index_is_complete(self.root)
            names = live_file_names(self.root, collection) if indexed else file_names(self.root, collection)
        except SharedStateError:
            raise
        except OSError as error:
            raise translated(error, what=f"listing {collection}") from error
        return records(self.root, collection, names, live_only=live_only)

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
        """Run `decide` under the record's lock and carry its decision out.

        Raises `StoreBusy` when the lock is not free in time, `StoreUnavailable` with the old state intact,
        `DurabilityUnknown`, `Corrupt` (the bytes are kept, the record stays blocked), `UnsafeStore`.
        """
        place = Place(collection, key)
        log = self._journal(journal)

        def once() -> T:
            lock = self._locks.stripe(place.what)
            lock.acquire(timeout_s=self._timeout_s, what=place.what)
            try:
                durable = durability == "full" and not self._relaxed
                transition = Transition(self.root, place, lock, log, durable=durable, derived=derived)
                return transition.run(self._guarded(decide), self._journal)
            finally:
                lock.release()

        return self._write(once, what=place.what)

    def append(self, journal: str, value: Document) -> int:
        """Append one entry, durably; returns its sequence. Raises `InvalidInput`, `StoreBusy`, `StoreUnavailable`."""
        log = self._journal(journal)
        bodies = [body_of(value)]
        return self._write(lambda: log.append(bodies, at_ms=self._host.now().at_ms), what=f"journal {journal}")

    def read(self, journal: str, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        """Entries of a journal above `after`, in order, at most `limit`; waits for nobody.

        Raises `StoreUnavailable`, `UnsafeStore`, also in the middle.
        """
        self._check_process()
        entries = self._entries(self._journal(journal), after)
        return entries if limit is None else islice(entries, max(0, limit))

    def collections(self) -> list[str]:
        """The collections that hold a record, sorted."""
        return self._listed(collections_of)

    def journals(self) -> list[str]:
        """The journals that hold an entry, sorted."""
        return [name for name in self._listed(journals_of) if next(self.read(name, limit=1), None) is not None]

    def load_entries(self, journal: str, entries: Sequence[Entry]) -> int:
        """Append entries of another store as they are, where they go on; see `sharedstate.store.Portable`."""
        log = self._journal(journal)
        return self._write(lambda: log.load(entries), what=f"journal {journal}")

    def watch(self, journal: str, *, after: int, timeout_s: float) -> bool:
        """Look at the end of a journal every 20 to 100 ms until it is above `after` or `timeout_s` seconds are over."""
        log = self._journal(journal)
        deadline_s = self._host.monotonic_s() + timeout_s
        seen: tuple[int, int] | None = None
        step = 0
        while True:
            self._check_process()
            state = log.state() if self.root.refresh() else None
            if state is not None and state != seen and next(self.read(journal, after=after), None) is not None:
                return True
            seen = state
            left_s = deadline_s - self._host.monotonic_s()
            if left_s <= 0:
                return False
            self._host.sleep(min(_WATCH_STEPS_S[step], left_s))
            step = min(step + 1, len(_WATCH_STEPS_S) - 1)

    def upkeep(self) -> list[str]:
        """Finish what crashes left behind and remove old temporary files; one line for each. Never waits for a lock."""
        from sharedstate.files.upkeep import repair_all

        self._check_process()
        try:
            return repair_all(self.root, self._locks, self._journal)
        except SharedStateError:
            raise
        except OSError as error:
            raise translated(error, what=f"upkeep of {self.root.path}") from error

    def journal_damage(self, journal: str) -> int:
        """How many whole lines of a journal cannot be read: torn by a crash, or damaged. Their entries are lost."""
        self._check_process()
        return self._journal(journal).damage() if self.root.refresh() else 0

    def close(self) -> None:
        """Give back every descriptor; the next call opens them again."""
        self.root.forget()
        self._locks = LockTable(self.root)
        self._journals = {}

    def _listed(self, names_of: Callable[[Root], list[str]]) -> list[str]:
        self._check_process()
        try:
            return names_of(self.root) if self.root.refresh() else []
        except SharedStateError:
            raise
        except OSError as error:
            raise translated(error, what=f"listing {self.root.path}") from error

    def _check_process(self) -> None:
        if self._host.pid() != self._pid:
            raise ForkedStore(f"the store at {self.root.path} was opened by process {self._pid}")

    def _journal(self, name: str) -> Journal:
        journal = self._journals.get(name)
        if journal is None:
            lock = self._locks.named(f"journal-{check_name(name, what='journal')}")
            made = Journal(self.root, name, lock, timeout_s=self._timeout_s)
            journal = self._journals.setdefault(name, made)  # atomic: two threads get one
        return journal

    def _entries(self, journal: Journal, after: int) -> Iterator[Entry]:
        try:
            if self.root.refresh():
                yield from journal.read(after)
        except SharedStateError:
            raise
        except OSError as error:
            raise translated(error, what=f"journal {journal.name}") from error

    def _guarded(self, decide: Callable[[Snapshot], Decision[T]]) -> Callable[[Snapshot], Decision[T]]:
        """`decide`, with this thread marked, so that a write from inside is refused at once and not by a time-out."""

        def guarded(snapshot: Snapshot) -> Decision[T]:
            thread = get_ident()
            self._deciding.add(thread)
            try:
                return decide(snapshot)
            finally:
                self._deciding.discard(thread)

        return guarded

    def _write(self, once: Callable[[], T], *, what: str) -> T:
        """Prepare the root and run `once`; a few times more when the tree was removed in between."""
        self._check_process()
        if get_ident() in self._deciding:
            raise InvalidInput(f"{what}: a decision must not write to the store: it may run several times")
        attempt = 1
        while True:
            try:
                if self.root.prepare():
                    self._rebuild()
                    self.root.prepared()
                return once()
            except OSError as error:
                if attempt == _ATTEMPTS_MAX or not _is_vanished(error):
                    if isinstance(error, SharedStateError):
                        raise
                    raise translated(error, what=what) from error
                attempt += 1
                self.root.forget()

    def _rebuild(self) -> None:
        if index_is_complete(self.root):
            return
        lock = self._locks.named("maintenance")
        lock.acquire(timeout_s=self._timeout_s, what=f"first write to {self.root.path} since the machine started")
        try:
            rebuild(self.root, self._journal)
        finally:
            lock.release()


def _is_vanished(error: OSError) -> bool:
    """Whether a file or directory that was just there is gone: somebody removed the tree."""
    cause = error.__cause__ if isinstance(error, StoreUnavailable) else error
    return isinstance(cause, FileNotFoundError)

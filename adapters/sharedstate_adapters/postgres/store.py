"""`PostgresStore`: the store port over one PostgreSQL database.

    SHARED_STATE_URL=postgresql://USER@HOST/DATABASE?schema=NAME

A transition is one transaction under an advisory lock of its record, mostly in one message, in two where many want the
record (`transitions`). Time is the server's. docs/postgres-store.md has the guarantees, roles and deployment.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from sharedstate.clock import Instant
from sharedstate.documents import check_name, check_record, entry_bytes
from sharedstate.errors import BadSettings, ForkedStore, InvalidInput
from sharedstate.host import Host
from sharedstate.paging import Paging
from sharedstate.store import (
    TRIAL_PREFIX,
    Decision,
    Document,
    Durability,
    Entry,
    Snapshot,
    T,
    Unreadable,
    Versioned,
    check_continues,
    check_trial,
)
from sharedstate_adapters.postgres.address import Address, read_address
from sharedstate_adapters.postgres.statements import Statements

if TYPE_CHECKING:
    from sharedstate.findings import Finding
    from sharedstate.settings import Settings
    from sharedstate_adapters.postgres.ear import Ears
    from sharedstate_adapters.postgres.line import Dial, Line, Row, ServerClock
    from sharedstate_adapters.postgres.migrator import Migration
    from sharedstate_adapters.postgres.wire import Patience, Wire

PATIENCE_S: Final = 10.0


class PostgresStore:
    """Records in the schema `address.schema`; the contract is that of `sharedstate.store.Store` and `Portable`.

    `patience_s` bounds every operation, waits and new connections included. `relaxed`: commits wait for no disk. Safe
    for threads; refuses to work in a forked child. Every call may raise `StoreUnavailable` (nobody answers),
    `BadSettings` (user, password, grants), `NewerFormat` (tables of a newer version); writes also `StoreBusy` and
    `DurabilityUnknown`. The first write makes the tables.
    """

    optimistic: Final = True

    def __init__(
        self,
        dial: Dial,
        clock: ServerClock,
        *,
        address: Address,
        sql: Statements,
        steps: Sequence[Migration],
        host: Host,
        patience_s: float = PATIENCE_S,
        relaxed: bool = False,
    ) -> None:
        from sharedstate_adapters.postgres.ear import Ears
        from sharedstate_adapters.postgres.wire import Wire
        from sharedstate_adapters.postgres.writing import Writer

        self.address = address
        self.sql = sql
        self._host = host
        self._clock = clock
        self._patience_s = patience_s
        self._wire: Wire = Wire(dial, host=host, where=address.shown)
        self._ears: Ears = Ears(self._wire, sql, host=host)
        self._writer = Writer(self._wire, sql, steps=steps, host=host, where=address.shown)
        self._relaxed = relaxed
        self._pid = host.pid()

    @classmethod
    def from_url(cls, url: str, *, settings: Settings, host: Host) -> PostgresStore:
        """The store of a URL (docs/postgres-store.md); nobody is asked yet. Raises `BadSettings`."""
        address = read_address(url)
        try:
            from sharedstate_adapters.postgres.line import ServerClock, dialer
            from sharedstate_adapters.postgres.migrator import shipped
            from sharedstate_adapters.postgres.wire import ANSWER_SHARE
        except ModuleNotFoundError as error:
            raise BadSettings(
                f"SHARED_STATE_URL {address.shown}: the client library is not installed ({error.name})",
                hint="pip install 'sharedstate[postgres]'",
            ) from None
        patience_s = settings.lock_timeout_ms / 1000
        sql, steps = Statements(address.schema, address.channel), shipped()
        answer_s, clock = patience_s / ANSWER_SHARE, ServerClock(host)
        dial = dialer(address, clock=clock, timeout_s=answer_s, level_query=sql.level, level_known=len(steps))
        relaxed = settings.durability == "relaxed"
        return cls(
            *(dial, clock),
            address=address,
            sql=sql,
            steps=steps,
            host=host,
            patience_s=patience_s,
            relaxed=relaxed,
        )

    # Reading

    def now(self) -> Instant:
        """The server's time."""
        from sharedstate_adapters.postgres.change import instant

        return instant(self._clock.heard(self._read(self.sql.now, (), what="the server's time")[0][0]))

    def get(self, collection: str, key: str) -> Versioned | None:
        """The current record. Raises `Corrupt`. What a decision reads is compared when it is carried out."""
        from sharedstate_adapters.postgres.change import versioned

        key = check_record(collection, key)
        if (sight := self._writer.mind.deciding.get(get_ident())) is not None:
            self._check_process()
            seen = sight.look((collection, key))
            return None if seen[2] is None else versioned((key, *seen), collection=collection)
        rows = self._read(self.sql.get, (collection, key), what=f"{collection}/{key}")
        return versioned(rows[0], collection=collection) if rows else None

    def scan(self, collection: str, *, live_only: bool = False) -> Iterator[Versioned | Unreadable]:
        """Every record, page by page, in the order of keys; each with the beat of the same moment."""
        check_name(collection, what="collection")
        self._check_process()
        return self._pages(collection, self.sql.page_live if live_only else self.sql.page)

    def read(self, journal: str, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        """Entries above `after`, in order, page by page."""
        check_name(journal, what="journal")
        self._check_process()
        return self._entries(journal, max(0, after), limit)

    def collections(self) -> list[str]:
        """The collections that hold a record, sorted."""
        return [row[0] for row in self._read(self.sql.collections, (), what="listing collections")]

    def journals(self) -> list[str]:
        """The journals that hold an entry, sorted."""
        return [row[0] for row in self._read(self.sql.journals, (), what="listing journals")]

    def watch(self, journal: str, *, after: int, timeout_s: float) -> bool:
        """Wait for a hint of the server that the journal goes on after `after`; it is also looked at each second."""
        check_name(journal, what="journal")
        if self._last(journal) > after:
            return True
        end_s = self._host.monotonic_s() + timeout_s
        if timeout_s <= 0:
            return False
        ear = self._ears.take(self._patience())
        try:
            while self._last(journal) <= after:  # asked after the listening began: nothing is missed in between
                if (left_s := end_s - self._host.monotonic_s()) <= 0:
                    return False
                ear = self._ears.wait(ear, journal, left_s)
            return True
        finally:
            self._ears.give_back(ear)

    # Writing

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
        """Decide here, and change all at once if nothing happened in between. A lost answer is looked for.

        Nothing is ever done twice. Where others want the record, too, its lock is waited for before the decision, which
        may take half of the operation's time; then the server ends the transaction, and it runs again.
        Raises `StoreBusy` when others hold the record until the end of the operation's time, `Corrupt`, and what every
        write may raise.
        """
        from sharedstate_adapters.postgres.change import Place

        place = Place(self.sql.schema, collection, check_record(collection, key))
        check_name(journal, what="journal")
        self._begin_write(place.what)
        durable = durability == "full" and not self._relaxed
        return self._writer.transact(
            place,
            decide,
            self._patience(),
            journal=journal,
            durable=durable,
            derived=derived,
        )

    def append(self, journal: str, value: Document) -> int:
        """Append one entry, once also after a lost answer; returns its sequence."""
        check_name(journal, what="journal")
        raw = entry_bytes(value)
        self._begin_write(f"journal {journal}")
        return self._writer.append(journal, raw.decode(), self._patience())

    def load_entries(self, journal: str, entries: Sequence[Entry]) -> int:
        """Append entries of another store as they are, where they go on; see `sharedstate.store.Portable`."""
        check_name(journal, what="journal")
        check_continues(journal, entries[0].sequence - 1 if entries else 0, entries)
        rows = [(entry.sequence, entry.at_ms, entry.record, entry_bytes(entry.value).decode()) for entry in entries]
        self._begin_write(f"journal {journal}")
        return self._writer.load(journal, entries, rows, self._patience())

    def upkeep(self) -> list[str]:
        """Remove old marks of changes, which is nothing to tell of: a transition is one transaction."""
        self._check_process()
        self._writer.prune(self._patience())
        return []

    def migrate(self, *, plan: bool) -> list[str]:
        """Make or bring up to date the tables; the names of the steps. With `plan` only tell what would be done."""
        self._check_process()
        done = self._writer.migrate(self._patience(), plan_only=plan)
        return [f"{step.version:04} {step.name}" for step in done]

    def checkup(self) -> list[Finding]:
        """What is to be said about the server, for `claims doctor`. Never raises; writes nothing."""
        from sharedstate_adapters.postgres.checkup import examine

        return examine(self._wire, self.sql, address=self.address, host=self._host, patience=self._patience())

    # Room for a self-test

    def trial_url(self, url: str, name: str) -> str:
        """The same schema: a trial keeps to a collection and a journal of its name."""
        del name
        return url

    def trials(self) -> list[str]:
        """The names of self-tests of which something is there."""
        return sorted({name for name in (*self.collections(), *self.journals()) if name.startswith(TRIAL_PREFIX)})

    def forget_trial(self, name: str) -> None:
        """Remove all that a self-test has written. `InvalidInput` for any other name."""
        self._begin_write(name)
        self._writer.forget(check_trial(name), self._patience())

    def close(self) -> None:
        """Hang up; the next call connects again."""
        if self._host.pid() == self._pid:
            self._ears.close()
            self._wire.close()
            self._writer.mind.memory.clear()

    # Inside

    def _check_process(self) -> None:
        if self._host.pid() != self._pid:
            raise ForkedStore(f"the store at {self.address.shown} was opened by process {self._pid}")

    def _begin_write(self, what: str) -> None:
        self._check_process()
        if get_ident() in self._writer.mind.deciding:
            raise InvalidInput(f"{what}: a decision must not write to the store: it may run several times")

    def _patience(self) -> Patience:
        from sharedstate_adapters.postgres.wire import Patience

        return Patience(self._host, limit_s=self._patience_s)

    def _read(self, text: str, values: Sequence[Any], *, what: str) -> list[Row]:
        """The rows of a statement that only reads; none where there are no tables yet."""
        from sharedstate_adapters.postgres.edge import Absent

        self._check_process()
        patience = self._patience()

        def work(line: Line) -> list[Row]:
            return line.ask(text, values, patience.answer_s, what=what)

        try:
            return self._wire.do(work, patience, what=what)
        except Absent:
            return []

    def _last(self, journal: str) -> int:
        rows = self._read(self.sql.last, (journal,), what=f"journal {journal}")
        return int(rows[0][0]) if rows else 0

    def _pages(self, collection: str, text: str) -> Iterator[Versioned | Unreadable]:
        from sharedstate_adapters.postgres.change import listed

        after, paging = "", Paging()
        while True:
            count = paging.rows
            rows = self._read(text, (collection, after, count), what=f"listing {collection}")
            paging.took(len(rows), sum(len(row[3]) for row in rows))
            for row in rows:
                yield listed(row, collection=collection)
            if len(rows) < count:
                return
            after = rows[-1][0]

    def _entries(self, journal: str, after: int, limit: int | None) -> Iterator[Entry]:
        from sharedstate_adapters.postgres.change import entry_of

        left, paging = limit, Paging()
        while left is None or left > 0:
            count = paging.rows if left is None else min(left, paging.rows)
            rows = self._read(self.sql.entries, (journal, after, count), what=f"journal {journal}")
            paging.took(len(rows), sum(len(row[3]) for row in rows))
            for row in rows:
                entry = entry_of(row, journal=journal)
                after = entry.sequence
                yield entry
            if len(rows) < count:
                return
            left = None if left is None else left - count

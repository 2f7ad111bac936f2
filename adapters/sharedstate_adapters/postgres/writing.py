"""The writing side: transactions that are carried out once, also when the server's answer is lost.

What changes something carries a nonce, a row of the same transaction. Whoever lost the answer connects again, takes
the lock of the record, which an earlier try still holds as long as it may yet commit, and looks for its nonce: it is
there, or it never will be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sharedstate.errors import StoreBusy
from sharedstate.host import Host
from sharedstate.store import Decision, Entry, Snapshot, T, check_continues
from sharedstate_adapters.postgres.change import Place
from sharedstate_adapters.postgres.edge import BUSY_HINT, Absent, Away, Taken
from sharedstate_adapters.postgres.line import Line
from sharedstate_adapters.postgres.migrator import Migration, apply, plan
from sharedstate_adapters.postgres.statements import BEGIN, Statements, bounds
from sharedstate_adapters.postgres.transitions import (
    AT_ONCE_MAX,
    KEPT_S,
    Mind,
    Terms,
    Transition,
    doubt,
    idleness,
    server_ms,
)
from sharedstate_adapters.postgres.wire import Patience, Wire

PRUNED_MAX: Final = 5000
_PRUNE_EVERY: Final = 1000
_LOAD_BYTES_MAX: Final = 4 * 1024 * 1024


class Writer:
    """Carries out changes through a `Wire`. `at_once_max`: how often without waiting for a record's lock."""

    at_once_max = AT_ONCE_MAX

    def __init__(self, wire: Wire, sql: Statements, *, steps: Sequence[Migration], host: Host, where: str) -> None:
        self._wire = wire
        self._sql = sql
        self._steps = steps
        self._host = host
        self._where = where
        self._written = 0
        self.mind = Mind()

    def transact(
        self,
        place: Place,
        decide: Callable[[Snapshot], Decision[T]],
        patience: Patience,
        *,
        journal: str,
        durable: bool,
        derived: bool,
    ) -> T:
        """Look, decide, change; see `PostgresStore.transact`."""
        terms = Terms(
            sql=self._sql,
            level=len(self._steps),
            where=self._where,
            new_nonce=self._nonce,
            journal=journal,
            durable=durable,
            derived=derived,
        )
        transition = Transition(place, decide, terms, self.mind, patience)

        def work(line: Line) -> T:
            self._prepare(line, patience)
            return transition.run(line, at_once_max=self.at_once_max)

        result = self._until_done(work, patience, what=place.what)
        transition.end()
        self._now_and_then(patience)
        return result

    def append(self, journal: str, text: str, patience: Patience) -> int:
        """Append one entry in one message; its sequence."""
        what = f"journal {journal}"
        sql, nonce, sent = self._sql, self._nonce(), False

        def work(line: Line) -> int:
            nonlocal sent
            self._prepare(line, patience)
            if sent:
                with doubt(what):
                    found = line.ask(sql.applied, (nonce,), patience.left_s, what=what)
                if found:
                    return int(found[0][0])
            for _ in range(2):
                not_after_ms = self._time(line, patience) + int(patience.left_s * 1000)
                message = f"{BEGIN}; {bounds(server_ms(patience.commit_s))}; {sql.notify}; {sql.mark_result}; COMMIT"
                values = (journal, journal, 1, not_after_ms, journal, text, nonce)
                with doubt(what, only_if=sent):
                    sent = True
                    told = line.ask(message, values, patience.commit_s, what=what, changes=True)
                if told:
                    return int(told[0][0])
                line.clock.forget()  # late; or the server's clock was set: it is asked, and then believed
            raise StoreBusy(f"{what}: the server got the request too late", hint=BUSY_HINT)

        sequence = self._until_done(work, patience, what=what)
        self._now_and_then(patience)
        return sequence

    def load(
        self, journal: str, entries: Sequence[Entry], rows: Sequence[tuple[int, int, str, str]], patience: Patience
    ) -> int:
        """Put entries where the journal ends; the last sequence."""
        what = f"journal {journal}"
        sql, nonce, sent = self._sql, self._nonce(), False

        def work(line: Line) -> int:
            nonlocal sent
            self._prepare(line, patience)
            begin = f"{BEGIN}; {bounds(server_ms(patience.left_s))}; {idleness(patience)}"
            text = f"{begin}; {sql.make_head}; {sql.hold_head}"
            with doubt(what, only_if=sent):
                last = int(line.ask(text, (journal, journal), patience.left_s, what=what)[0][0])
                if sent and line.ask(sql.applied, (nonce,), patience.left_s, what=what):
                    line.roll_back()
                    return entries[-1].sequence
            sent = False  # an earlier try would still hold the journal's row
            check_continues(journal, last, entries)
            for piece in _pieces(rows):
                places = ", ".join(["(%s, %s, %s, %s, %s)"] * len(piece))
                values = [value for row in piece for value in (journal, *row)]
                line.ask(f"{sql.load}{places}", values, patience.left_s, what=what)
            sent = True
            text = f"{sql.set_head}; {sql.mark}; {sql.notify}; COMMIT"
            values = [entries[-1].sequence, journal, nonce, journal]
            line.ask(text, values, patience.commit_s, what=what, changes=True)
            return entries[-1].sequence

        return self._until_done(work, patience, what=what)

    def prune(self, patience: Patience) -> None:
        """Remove marks that nobody can ask for any more, a bounded number; nothing where there are no tables."""
        limit = bounds(server_ms(patience.left_s))

        def work(line: Line) -> None:
            if line.level:
                text = f"{BEGIN}; {limit}; {self._sql.prune}; COMMIT"
                line.ask(text, (KEPT_S, PRUNED_MAX), patience.left_s, what="removing old marks")

        self._until_done(work, patience, what="removing old marks")

    def forget(self, trial: str, patience: Patience) -> None:
        """Remove the collection and the journal of a self-test; nothing where there are no tables."""
        limit = bounds(server_ms(patience.left_s))

        def work(line: Line) -> None:
            if line.level:
                text = f"{BEGIN}; {limit}; {self._sql.forget}; COMMIT"
                line.ask(text, (trial,) * self._sql.forget.count("%s"), patience.left_s, what="forgetting a self-test")

        self._until_done(work, patience, what="forgetting a self-test")

    def migrate(self, patience: Patience, *, plan_only: bool) -> list[Migration]:
        """Apply, or only tell, the steps that the server lacks."""

        def work(line: Line) -> list[Migration]:
            does = plan if plan_only else apply
            return does(line, self._sql, self._steps, patience.left_s)

        return self._wire.do(work, patience, what="migrating")

    # Inside

    def _prepare(self, line: Line, patience: Patience) -> None:
        """The tables are there, and of this version."""
        if line.level < len(self._steps):
            apply(line, self._sql, self._steps, patience.left_s)

    def _time(self, line: Line, patience: Patience) -> int:
        now_ms = line.clock.reckoned_ms()
        if now_ms is None:
            answer = line.ask(self._sql.now, (), patience.answer_s, what="the server's time")
            now_ms = line.clock.heard(int(answer[0][0]))
        return now_ms

    def _until_done(self, work: Callable[[Line], T], patience: Patience, *, what: str) -> T:
        """`work`, again where a connection was lost, tables have to be made, or a mark was found."""

        def once(line: Line) -> T:
            try:
                return work(line)
            except Absent as error:  # somebody removed the tables
                line.level = 0
                raise Away(str(error), sent=False) from None
            except Taken as error:  # an earlier try has been carried out meanwhile: the next look finds its mark
                raise Away(str(error), sent=True) from None

        return self._wire.do(once, patience, what=what)

    def _now_and_then(self, patience: Patience) -> None:
        self._written += 1
        if self._written % _PRUNE_EVERY == 0:
            self.prune(patience)

    def _nonce(self) -> str:
        raw = self._host.entropy(16).hex()
        return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"


def _pieces(rows: Sequence[tuple[int, int, str, str]]) -> list[list[tuple[int, int, str, str]]]:
    """The rows in groups that are not too long for one message."""
    pieces: list[list[tuple[int, int, str, str]]] = [[]]
    size = 0
    for row in rows:
        size += len(row[3])
        if size > _LOAD_BYTES_MAX and pieces[-1]:
            pieces.append([])
            size = len(row[3])
        pieces[-1].append(row)
    return pieces

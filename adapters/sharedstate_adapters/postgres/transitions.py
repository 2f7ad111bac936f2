"""One transition of one record: at once where nobody else is at it, else under the record's lock.

At once: what was decided upon (remembered, or looked at) goes with the change, and one function of the server compares
and changes. When it was something else, the answer says what there is. Where others want the same record at the same
time that could go on for ever, so then the lock is waited for, in a queue, and the decision is made while it is held.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, Generic

from sharedstate.errors import OutcomeUnknown, SharedStateError, StoreUnavailable
from sharedstate.guessing import Attempt, Memory, Name, Sight, Step
from sharedstate.store import Decision, Snapshot, T
from sharedstate.values import Value
from sharedstate_adapters.postgres.change import NOTHING, Change, Look, Place, Seen, in_one, in_two
from sharedstate_adapters.postgres.line import Line, Row, check_level
from sharedstate_adapters.postgres.statements import BEGIN, Statements, bounds, bounds_of_idleness
from sharedstate_adapters.postgres.wire import Patience

KEPT_S: Final = 3600  # how long the mark of a change stays; no operation is under way longer
USED_UP: Final = -1  # what stands beside a nonce that nobody may use any more
AT_ONCE_MAX: Final = 2  # then the lock is waited for
_GUESS_MS_MAX: Final = 1_000
_GUESSED_CHARACTERS_MAX: Final = 16_384
_OFF: Final = "off"
_SERVER_SHARE: Final = 900  # ms of a second: the server gives up a little before we do, so that its answer is heard


class Mind:
    """What a store remembers of records, and what its decisions under way see, by thread."""

    __slots__ = ("deciding", "memory")

    def __init__(self) -> None:
        self.memory: Memory[Seen] = Memory(NOTHING)
        self.deciding: dict[int, Sight[Seen]] = {}

    def keep(self, name: Name, seen: Seen, at_ms: int) -> None:
        """Remember what there is; what is large is not guessed: it would be sent in vain."""
        large = seen[2] is not None and len(seen[2]) > _GUESSED_CHARACTERS_MAX
        self.memory.keep(name, None if large else seen, at_ms)


class Terms(Value):
    """What holds for one transition, whoever tries it."""

    sql: Statements
    level: int
    where: str
    new_nonce: Callable[[], str]
    journal: str
    durable: bool
    derived: bool


class Transition(Generic[T]):
    """One transition, over all its tries and connections."""

    def __init__(
        self, place: Place, decide: Callable[[Snapshot], Decision[T]], terms: Terms, mind: Mind, patience: Patience
    ) -> None:
        self._place = place
        self._terms = terms
        self._mind = mind
        self._patience = patience
        self._line: Line | None = None
        self._nonce = terms.new_nonce()
        self._sent: Decision[T] | None = None  # what may have been carried out although no answer came
        self._began_ms = 0
        self._runs: Attempt[T, Look, Change, Seen] = Attempt(
            place.name,
            decide,
            see=lambda seen, now_ms: Look(place, seen, now_ms, derived=terms.derived),
            work=lambda look, decision: Change(place, look, decision),
            ask=self._ask,
            memory=mind.memory,
            deciding=mind.deciding,
        )

    def run(self, line: Line, *, at_once_max: int = AT_ONCE_MAX) -> T:
        """Carry it out by this connection. After an `Away` it is called again, with another one."""
        self._line = line
        if self._was_applied(line):
            assert self._sent is not None
            return self._sent.result
        self._sent = None
        done = self._at_once(line, tries_max=at_once_max)
        return self._locked(line) if done is None else done.result

    def end(self) -> None:
        """Its parts refer to each other: nothing is left to the garbage collector, which takes longer than a claim."""
        del self._runs

    # At once

    def _at_once(self, line: Line, *, tries_max: int) -> Decision[T] | None:
        """The decision that was carried out, or that needs nothing; None when the lock has to be waited for."""
        now_ms = line.clock.reckoned_ms()
        step = None if now_ms is None or not tries_max else self._runs.guess(now_ms)
        for _ in range(tries_max):
            if step is None:
                step = self._runs.upon(*self._peek(line), {})
            if step.change.is_empty:
                return step.decision
            if step.look.damage:
                return None
            rows = self._send(line, step)
            done, free, now_ms, level = rows[0][:4]
            line.clock.heard(now_ms)
            check_level(level, self._terms.level, where=self._terms.where)
            if done:
                self._mind.keep(self._place.name, step.change.after, step.change.at_ms)
                return step.decision
            self._sent = None
            step = self._runs.upon(rows[0][4:], now_ms, self._told(rows, step, now_ms))
            if step.change.is_empty:
                return step.decision
            if not free:
                return None
        return None

    def _send(self, line: Line, step: Step[T, Look, Change, Seen]) -> list[Row]:
        terms, change = self._terms, step.change
        commit_s, left_ms = self._patience.commit_s, int(self._patience.left_s * 1000)
        others = {Place(terms.sql.schema, *name): seen for name, seen in step.others.items()}
        request = in_one(
            self._place,
            change,
            others,
            level=terms.level,
            nonce=self._nonce,
            journal=terms.journal,
            channel=terms.sql.channel,
            not_after_ms=change.at_ms + (min(left_ms, _GUESS_MS_MAX) if step.reckoned else left_ms),
            wait_ms=server_ms(commit_s),
            durable=terms.durable,
        )
        self._note(step)
        return line.ask(terms.sql.change, (request,), commit_s, what=self._place.what, changes=True)

    def _told(self, rows: list[Row], step: Step[T, Look, Change, Seen], now_ms: int) -> dict[Name, Seen]:
        told: dict[Name, Seen] = {name: row[4:] for name, row in zip(step.others, rows[1:], strict=True)}
        for name, seen in {self._place.name: rows[0][4:], **told}.items():
            self._mind.keep(name, seen, now_ms)
        return told

    def _peek(self, line: Line) -> tuple[Seen, int]:
        """The record without its lock, and the time."""
        row = line.ask(self._terms.sql.look, self._place.name, self._patience.answer_s, what=self._place.what)[0]
        return self._looked(line, row)

    def _looked(self, line: Line, row: Row) -> tuple[Seen, int]:
        check_level(row[1], self._terms.level, where=self._terms.where)
        seen: Seen = row[3:]
        now_ms = line.clock.heard(row[0])
        self._mind.keep(self._place.name, seen, now_ms)
        return seen, now_ms

    def _ask(self, name: Name) -> Seen:
        """Another record, truly, by the same connection; within its transaction, if there is one."""
        assert self._line is not None
        sql, what = self._terms.sql, f"{name[0]}/{name[1]}"
        seen: Seen = self._line.ask(sql.look, name, self._patience.answer_s, what=what)[0][3:]
        return seen

    # Under the lock

    def _locked(self, line: Line) -> T:
        sql, what = self._terms.sql, self._place.what
        row = line.ask(
            f"{self._begin()}; {sql.lock}; {sql.look}",
            (self._place.lock, *self._place.name),
            self._patience.left_s,
            what=what,
        )[0]
        seen, now_ms = self._looked(line, row)
        step = self._runs.upon(seen, now_ms, {}, guessing=False)
        if step.change.is_empty:
            line.roll_back()
            return step.decision.result
        terms = self._terms
        texts, values = in_two(
            *(sql, self._place, step.look, step.change),
            nonce=self._nonce,
            journal=terms.journal,
            durable=terms.durable,
            confirms=row[2] != _OFF,
        )
        commit_s = self._patience.commit_s
        text = ";\n".join((bounds(server_ms(commit_s)), *texts, "COMMIT"))
        self._note(step)
        line.ask(text, values, commit_s, what=what, changes=True)
        self._mind.keep(self._place.name, step.change.after, now_ms)
        return step.decision.result

    def _note(self, step: Step[T, Look, Change, Seen]) -> None:
        """It may be carried out from now on, whatever answer comes. A beat alone may be done twice."""
        if step.change.is_marked:
            self._sent = step.decision
            self._began_ms = self._began_ms or step.change.at_ms

    def _was_applied(self, line: Line) -> bool:
        """Whether an earlier try, whose answer was lost, was carried out; if not, it never will be.

        Its lock is waited for first. It may not even have arrived: then its nonce is used up here, so that it fails
        when it does. Else what it changes would look like somebody else's to the next try.
        """
        if self._sent is None:
            return False
        sql, what, left_s = self._terms.sql, self._place.what, self._patience.left_s
        with doubt(what):
            text = f"{self._begin()}; {sql.lock}; {sql.now}"
            now_ms = line.ask(text, (self._place.lock,), left_s, what=what)[0][0]
            text = f"{sql.use_up}; {sql.applied}; COMMIT"
            found = line.ask(text, (self._nonce, USED_UP, self._nonce), self._patience.left_s, what=what)
            if found[0][0] != USED_UP:
                return True
            if now_ms - self._began_ms > KEPT_S * 500:
                raise StoreUnavailable("its answer was lost too long ago")
        self._nonce = self._terms.new_nonce()
        return False

    def _begin(self) -> str:
        return f"{BEGIN}; {bounds(server_ms(self._patience.left_s))}; {idleness(self._patience)}"


def idleness(patience: Patience) -> str:
    """Who falls silent in a transaction is ended after half of an operation's time."""
    return bounds_of_idleness(max(1, int(patience.limit_s * 500)))


@contextmanager
def doubt(what: str, *, only_if: bool = True) -> Generator[None]:
    """What fails in here leaves an earlier try, whose answer was lost, in doubt."""
    try:
        yield
    except SharedStateError as error:
        if not only_if:
            raise
        raise OutcomeUnknown(
            f"{what}: an answer was lost, and whether it was carried out is not known: {error}",
            hint="read the state again before acting; it was carried out wholly or not at all",
        ) from None


def server_ms(limit_s: float) -> int:
    """How long the server may take for what is waited for `limit_s` here."""
    return max(1, int(limit_s * _SERVER_SHARE))

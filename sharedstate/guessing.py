"""For stores that decide here and compare there: what is remembered of records, so that a transition is one request.

A guess is what a server was last seen to hold; of a record that was never seen, that there is none. It is never
believed: what the decision saw goes to the server with the change, which is carried out only if all of it still holds.
What was wrong costs one decision in vain and no request, because the server that refuses tells what there is. What a
decision reads of other records (an archive, say) is compared, too, and so it may be guessed as well.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from sharedstate.store import Decision, Snapshot, T

ENTRIES_MAX: Final = 1_024
Name = tuple[str, str]  # collection and key
S = TypeVar("S")  # what a server holds of a record, and its beat, as a store compares it
L = TypeVar("L", bound="Looked")
C = TypeVar("C", bound="Worked")


class Looked(Protocol):
    """What a store makes of what was seen."""

    damage: str

    @property
    def snapshot(self) -> Snapshot:
        """What a decision may know of it."""
        ...


class Worked(Protocol):
    """What a store makes of a decision."""

    is_empty: bool


class Memory(Generic[S]):
    """The last known state of a few records, and when it was that. `nothing` is what an absent record looks like."""

    __slots__ = ("_known", "_nothing")

    def __init__(self, nothing: S) -> None:
        self._nothing: tuple[S, int] = (nothing, 0)
        self._known: dict[Name, tuple[S, int] | None] = {}

    def keep(self, name: Name, seen: S | None, at_ms: int) -> None:
        """Remember; None: that it cannot be guessed (it is too large, say). The oldest is forgotten."""
        self._known.pop(name, None)
        self._known[name] = None if seen is None else (seen, at_ms)
        while len(self._known) > ENTRIES_MAX:
            try:
                self._known.pop(next(iter(self._known)), None)
            except (StopIteration, RuntimeError):  # another thread is at it, too
                return

    def find(self, name: Name) -> tuple[S, int] | None:
        """What is remembered of a record; None: not to be guessed."""
        return self._known.get(name, self._nothing)

    def clear(self) -> None:
        """Forget all."""
        self._known = {}


class Sight(Generic[S]):
    """What one run of a decision sees beside its own record: told by the server, guessed, or asked for; each once."""

    __slots__ = ("_ask", "_memory", "_name", "_own", "_told", "guessed", "seen")

    def __init__(
        self, name: Name, own: S, told: dict[Name, S], ask: Callable[[Name], S], memory: Memory[S] | None
    ) -> None:
        self._name = name
        self._own = own
        self._told = told
        self._ask = ask
        self._memory = memory
        self.guessed = False
        self.seen: dict[Name, S] = {}

    def look(self, name: Name) -> S:
        """A record, the same each time; guesses only with a memory."""
        if name == self._name:
            return self._own
        if name not in self.seen:
            self.seen[name] = self._told[name] if name in self._told else self._find(name)
        return self.seen[name]

    def _find(self, name: Name) -> S:
        known = None if self._memory is None else self._memory.find(name)
        if known is None:
            return self._ask(name)
        self.guessed = True
        return known[0]


class Step(Generic[T, L, C, S]):
    """What was looked at, what was decided upon it, and what that means. `others`: seen beside the record itself.

    `reckoned`: it was not looked at but remembered, and the time is reckoned.
    """

    __slots__ = ("change", "decision", "guessed", "look", "others", "reckoned")

    def __init__(self, look: L, decision: Decision[T], change: C, sight: Sight[S]) -> None:
        self.look = look
        self.decision = decision
        self.change = change
        self.guessed = sight.guessed
        self.others = sight.seen
        self.reckoned = False


class Attempt(Generic[T, L, C, S]):
    """All runs of one decision about the record `name`. `deciding` holds, by thread, what a run under way sees.

    `see` makes a look of what a server holds and its time, `work` a change of a look and a decision; `ask` looks at
    another record truly.
    """

    def __init__(
        self,
        name: Name,
        decide: Callable[[Snapshot], Decision[T]],
        *,
        see: Callable[[S, int], L],
        work: Callable[[L, Decision[Any]], C],
        ask: Callable[[Name], S],
        memory: Memory[S],
        deciding: dict[int, Sight[S]],
    ) -> None:
        self._name = name
        self._decide = decide
        self._see = see
        self._work = work
        self._ask = ask
        self._memory = memory
        self._deciding = deciding
        self._guessed = False

    def guess(self, now_ms: int) -> Step[T, L, C, S] | None:
        """A decision upon what is remembered, if that changes anything: then the server finds out whether it was right.

        What changes nothing, or fails, is to be decided upon a true look: nothing is ever told or raised from memory.
        """
        known = self._memory.find(self._name)
        if known is None:
            return None
        seen, seen_ms = known
        try:
            step = self._run(self._see(seen, max(now_ms, seen_ms)), seen, {}, self._memory)
        except Exception:  # noqa: BLE001 - reason: whatever it is, it comes again from the true state, or it was wrong
            return None
        step.reckoned = True
        return None if step.change.is_empty or step.look.damage else step

    def upon(self, seen: S, now_ms: int, told: dict[Name, S], *, guessing: bool = True) -> Step[T, L, C, S]:
        """A decision upon a true look. Other records are guessed only where the server will find out about them.

        Never without `guessing`: for a server that does not compare, because it holds the record's lock.
        """
        look = self._see(seen, now_ms)
        if not guessing:
            return self._run(look, seen, told, None)
        try:
            step = self._run(look, seen, told, self._memory)
            if not (step.guessed and step.change.is_empty):
                return step
        except Exception:
            if not self._guessed:
                raise
        return self._run(look, seen, told, None)

    def _run(self, look: L, seen: S, told: dict[Name, S], memory: Memory[S] | None) -> Step[T, L, C, S]:
        """`decide`, with this thread marked, so that a write from inside is refused and what it looks at is noted."""
        sight = Sight(self._name, seen, told, self._ask, memory)
        thread = get_ident()
        self._deciding[thread] = sight
        try:
            decision = self._decide(look.snapshot)
        finally:
            del self._deciding[thread]
            self._guessed = sight.guessed
        return Step(look, decision, self._work(look, decision), sight)

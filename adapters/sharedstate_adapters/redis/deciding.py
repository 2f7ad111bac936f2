"""One transition on its way: decided upon what is known, and upon what the server tells when that was wrong.

A decision may look at other records (that of an archive, say). What it saw of them goes to the script with the rest,
which compares it too; so they may be guessed like the record itself, and nothing changes between look and write.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from typing import Any, Generic

from sharedstate.clock import Instant
from sharedstate.store import Decision, Snapshot, T
from sharedstate_adapters.redis.change import Change, Look, Place, Seen
from sharedstate_adapters.redis.clock import Memory

Ask = Callable[[Place], Seen]
Told = dict[tuple[str, str], Seen]


class Sight:
    """What one run of a decision sees beside its own record: told by the server, guessed, or asked for; each once."""

    __slots__ = ("_ask", "_memory", "_own", "_told", "guessed", "seen")

    def __init__(self, own: Seen, told: Told, ask: Ask, memory: Memory | None) -> None:
        self._own = own
        self._told = told
        self._ask = ask
        self._memory = memory
        self.guessed = False
        self.seen: Told = {}

    def look(self, place: Place) -> Seen:
        """A record, the same each time; guesses only with a memory."""
        name = (place.collection, place.key)
        if name == (self._own[0].collection, self._own[0].key):
            return self._own
        found = self.seen.get(name) or self._told.get(name) or self._guess(place) or self._ask(place)
        self.seen[name] = found
        return found

    def _guess(self, place: Place) -> Seen | None:
        known = None if self._memory is None else self._memory.find(place.collection, place.key)
        if known is None:
            return None
        self.guessed = True
        return (place, known[0], known[1])


class Step(Generic[T]):
    """What was looked at, what was decided upon it, and what that means. `others`: seen beside the record itself."""

    __slots__ = ("change", "decision", "guessed", "look", "others")

    def __init__(self, look: Look, decision: Decision[T], change: Change, sight: Sight) -> None:
        self.look = look
        self.decision = decision
        self.change = change
        self.guessed = sight.guessed
        self.others = tuple(sight.seen.values())


class Attempt(Generic[T]):
    """All runs of one decision. `deciding` holds, by thread, what a run under way sees."""

    def __init__(
        self,
        place: Place,
        decide: Callable[[Snapshot], Decision[T]],
        make: Callable[[Look, Decision[Any]], Change],
        *,
        memory: Memory,
        ask: Ask,
        deciding: dict[int, Sight],
        derived: bool,
    ) -> None:
        self._place = place
        self._decide = decide
        self._make = make
        self._memory = memory
        self._ask = ask
        self._deciding = deciding
        self._derived = derived
        self._guessed = False

    def guess(self, now_ms: int) -> Step[T] | None:
        """A decision upon what is remembered, if that changes anything: then the script finds out whether it was right.

        What changes nothing, or fails, is decided upon a true look: nothing is ever told or raised from memory.
        """
        known = self._memory.find(self._place.collection, self._place.key)
        if known is None:
            return None
        raw, beat, seen_ms = known
        now = Instant(at_ms=max(now_ms, seen_ms), boot_ms=0, boot_id="")
        try:
            step = self._run(Look(self._place, raw, beat, now, derived=self._derived, guessed=True), {}, self._memory)
        except Exception:  # noqa: BLE001 - reason: whatever it is, it comes again from the true state, or it was wrong
            return None
        return None if step.change.is_empty or step.look.damage else step

    def upon(self, look: Look, told: Told) -> Step[T]:
        """A decision upon a true look. Other records are guessed only where the script will find out about them."""
        try:
            step = self._run(look, told, self._memory)
            if not (step.guessed and step.change.is_empty):
                return step
        except Exception:
            if not self._guessed:
                raise
        return self._run(look, told, None)

    def _run(self, look: Look, told: Told, memory: Memory | None) -> Step[T]:
        """`decide`, with this thread marked, so that a write from inside is refused and what it looks at is noted."""
        sight = Sight((self._place, look.raw, look.beat), told, self._ask, memory)
        thread = get_ident()
        self._deciding[thread] = sight
        try:
            decision = self._decide(look.snapshot)
        finally:
            del self._deciding[thread]
            self._guessed = sight.guessed
        return Step(look, decision, self._make(look, decision), sight)

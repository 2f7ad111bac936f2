"""Whose turn it is: a later message of a sender never overtakes a spooled one to the same recipient.

A send looks at what its sender has in the spool before it writes its own message. What an earlier send has accepted is
seen by that look; two that are under way at once have no order. Nothing is written for it on the way: to replace a file
frees its blocks, and that alone was seen to take as long as six durable writes (ext4 mounted with `discard`).
"""

from __future__ import annotations

from _thread import allocate_lock
from typing import Final

from sharedstate import logs
from sharedstate.errors import Corrupt, NewerFormat, StoreError
from sharedstate.host import Host
from sharedstate.ids import ID_CHARACTERS_MAX
from sharedstate.jsonio import COUNT_MAX
from sharedstate.messages.model import EVERYBODY
from sharedstate.messages.policy import Head, follows, waits_behind
from sharedstate.messages.spool import JOURNAL, Spool
from sharedstate.store import KEEP, Decision, Document, Snapshot, Unreadable
from sharedstate.values import Value

BACKLOGS: Final = "backlogs"
SEQUENCES: Final = "sequences"
BACKLOG_MIN: Final = 16
COVERED_MAX: Final = 200
_CLOCK: Final = "clock"
_BASE_MAX: Final = COUNT_MAX // 2  # the year 2112: a clock that is far off leaves room to go on counting


class Look(Value):
    """What a send has seen: whether something earlier blocks it, ids of what its sender has in the spool, sequence.

    `certain`: it looked at all of it, and not only at one message that blocks.
    """

    blocked: bool
    certain: bool
    seen: frozenset[str]
    sequence: int


class Turns:
    """Looks and sequences. Methods raise `StoreError`. Safe for threads."""

    def __init__(self, spool: Spool, *, host: Host) -> None:
        self._spool = spool
        self._store = spool.store
        self._sequences = Sequences(spool, host=host)

    def look(self, sender: str, recipients: tuple[str, ...]) -> Look:
        """What stands in the way of a message to these recipients, and the sequence that it gets."""
        heads: list[Head] = []
        for head in self._spool.heads(sender):
            heads.append(head)
            if len(heads) == BACKLOG_MIN and self._is_covered(sender, recipients):
                return Look(blocked=True, certain=False, seen=frozenset(), sequence=self._sequences.next())
        if len(heads) >= BACKLOG_MIN:
            self._cover(sender, heads)
        return Look(
            blocked=any(waits_behind(recipients, head) for head in heads),
            certain=True,
            seen=frozenset(head.id for head in heads),
            sequence=self._sequences.next(above=max((head.sequence for head in heads), default=0)),
        )

    def line(self, sender: str) -> tuple[list[Head], frozenset[str]]:
        """All that a sender has in the spool, and the ids of what may be tried: everything earlier is in sight.

        A look is no moment: of two messages that come while it lasts, it may see the later one alone. So it is looked
        at twice, and only what the first look saw may be tried.
        """
        first = list(self._spool.heads(sender))
        heads = self._spool.still(first, list(self._spool.heads(sender))) if first else []
        return heads, frozenset(head.id for head in first)

    def tidy(self) -> None:
        """Away with notes about backlogs that are over. A failure is only a warning: nothing depends on it."""
        try:
            for found in list(self._store.scan(BACKLOGS)):
                if isinstance(found, Unreadable):
                    continue
                covered = _covered(found.value)
                left = {name: key for name, key in covered.items() if self._spool.holds(found.key, key)}
                if left != covered:
                    self._rewrite(found.key, left)
        except StoreError as error:
            logs.warn("notes about backlogs were not tidied: %s", error)

    # Inside

    def _is_covered(self, sender: str, recipients: tuple[str, ...]) -> bool:
        """Whether a message is noted that is in the way: while it stands in the spool, nobody has to look on."""
        try:
            found = self._store.get(BACKLOGS, sender)
        except NewerFormat:
            raise
        except Corrupt:
            return False
        covered = {} if found is None else _covered(found.value)
        return any(self._spool.holds(sender, key) for key in _blockers(covered, recipients))

    def _cover(self, sender: str, heads: list[Head]) -> None:
        """Note a message that waits for each recipient, the latest: it will leave last."""
        covered: dict[str, str] = {}
        for head in sorted(heads, key=follows):
            covered.update(dict.fromkeys(head.recipients, head.id))
        if len(covered) <= COVERED_MAX:
            try:
                self._rewrite(sender, covered)
            except StoreError as error:
                logs.warn("the backlog of %r was not noted, the next send looks at all of it: %s", sender, error)

    def _rewrite(self, sender: str, covered: dict[str, str]) -> None:
        document: Document = {"covered": covered}

        def decide(snapshot: Snapshot) -> Decision[None]:
            return Decision(result=None, write=KEEP if snapshot.value == document else document)

        self._store.transact(BACKLOGS, sender, decide, journal=JOURNAL, durability="relaxed", derived=True)


class Sequences:
    """Numbers that grow, in all processes of the machine, without a write for each: microseconds of the boot's clock.

    They begin where the wall clock stood when the boot's first message was sent, and above all that stood in the spool
    then. That is written down once for each boot, so that a step of the wall clock moves nothing.
    """

    def __init__(self, spool: Spool, *, host: Host) -> None:
        self._spool = spool
        self._host = host
        self._guard = allocate_lock()
        self._boot_id: str | None = None
        self._base = 0
        self._last = 0

    def next(self, *, above: int = 0) -> int:
        """A number above every one that this machine gave before, and above `above`."""
        if self._boot_id is None or self._boot_id != self._host.boot_id():
            self._base = self._agree()
            self._boot_id = self._host.boot_id()
        with self._guard:
            self._last = max(self._base + self._micros(), self._last + 1, above + 1)
            return self._last

    def _micros(self) -> int:
        return round(self._host.monotonic_s() * 1_000_000)

    def _agree(self) -> int:
        """The base of this boot: as it is written down, or written down now."""
        boot_id, store = self._host.boot_id(), self._spool.store
        try:
            found = store.get(SEQUENCES, _CLOCK)
            if found is not None and boot_id and found.value.get("boot_id") == boot_id:
                return _base(found.value)
        except NewerFormat:
            raise
        except Corrupt:
            pass  # made anew below
        floor = self._spool.highest_sequence()

        def decide(snapshot: Snapshot) -> Decision[int]:
            known = snapshot.value or {}
            if boot_id and known.get("boot_id") == boot_id:
                return Decision(result=_base(known))
            micros = self._micros()
            wall = min(_BASE_MAX, snapshot.now.at_ms * 1000)
            base = max(wall - micros, floor - micros, _base(known)) + 1
            return Decision(result=base, write={"boot_id": boot_id, "base": base})

        return store.transact(SEQUENCES, _CLOCK, decide, journal=JOURNAL, derived=True)


def _blockers(covered: dict[str, str], recipients: tuple[str, ...]) -> list[str]:
    if EVERYBODY in recipients:
        return list(dict.fromkeys(covered.values()))[:BACKLOG_MIN]
    keys = [covered[name] for name in (*recipients, EVERYBODY) if name in covered]
    return list(dict.fromkeys(keys))


def _covered(document: Document) -> dict[str, str]:
    covered = document.get("covered")
    if not isinstance(covered, dict):
        return {}
    return {name: key for name, key in covered.items() if isinstance(key, str) and 0 < len(key) <= ID_CHARACTERS_MAX}


def _base(document: Document) -> int:
    value = document.get("base", 0)
    return value if type(value) is int and 0 <= value <= COUNT_MAX else 0

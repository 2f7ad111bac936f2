"""Following the hub's journal: what was missed, then what comes; also while the shared store is away, and after a loss.

The last event told is read again with each look: where it is gone, or another stands in its place, the journal has lost
its end (a failover, a backup), and what is common to both is found by the last thousand events this follower has seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from sharedstate.errors import StoreError
from sharedstate.host import Host
from sharedstate.hub.cursors import Cursor
from sharedstate.hub.ends import RETRY_MIN_S
from sharedstate.hub.journals import end_of, event_of, mark_of, name_of
from sharedstate.hub.kept import KeptHere
from sharedstate.hub.model import JOURNAL, Gap, Outage, Told, Unified
from sharedstate.store import Entry, Store

BATCH: Final = 500
REMEMBERED: Final = 1_000
RETRY_MAX_S: Final = 5.0


class Follower:
    """One subscriber. Not safe for threads: it is the state of one iterator."""

    def __init__(
        self,
        shared: Store,
        cursor: Cursor,
        kept: KeptHere | None,
        *,
        host: Host,
        snapshot: Callable[[], Unified],
        only_new: bool,
    ) -> None:
        self._shared = shared
        self._cursor = cursor
        self._kept = kept
        self._host = host
        self._snapshot = snapshot
        self._only_new = only_new
        self._recent: deque[tuple[int, str]] = deque(maxlen=REMEMBERED)
        self._joined = False
        self._away = False
        self._missed: StoreError | None = None
        self._retry_at_s = 0.0
        self._pause_s = RETRY_MIN_S

    def follow(self, *, timeout_s: float | None, poll_s: float) -> Iterator[Told]:
        """All there is, then what comes, until the time is over."""
        ends_s = None if timeout_s is None else self._host.monotonic_s() + timeout_s
        while True:
            found, is_whole = self._turn()
            yield from found
            if not is_whole:
                continue
            left_s = poll_s if ends_s is None else min(poll_s, ends_s - self._host.monotonic_s())
            if left_s <= 0:
                return
            self._wait(left_s)

    def _turn(self) -> tuple[list[Told], bool]:
        """What there is to tell now, and whether that is all."""
        if self._away and self._host.monotonic_s() < self._retry_at_s:
            return self._of_this_machine(), True
        before = self._cursor, self._only_new
        try:
            if self._missed is not None:
                raise self._missed
            found, is_whole = self._look()
        except StoreError as error:
            self._missed, (self._cursor, self._only_new) = None, before  # a look that was cut short has told nothing
            return [*self._lost(error), *self._of_this_machine()], True
        return [*self._back(), *found], is_whole

    def _wait(self, left_s: float) -> None:
        if self._away:
            self._host.sleep(left_s)
            return
        try:
            self._shared.watch(JOURNAL, after=self._cursor.sequence, timeout_s=left_s)
        except StoreError as error:
            self._missed = error

    # The shared store

    def _look(self) -> tuple[list[Told], bool]:
        store = self._shared
        found = [] if self._joined else self._join(store)
        self._joined = True
        before = self._cursor.sequence
        entries = list(store.read(JOURNAL, after=max(0, before - 1), limit=BATCH))
        problem = self._problem(entries)
        if problem:
            self._cursor = self._common(store)
            return [*found, self._gap(problem)], False
        if entries and not self._cursor.identity:
            self._cursor = self._cursor.replace(identity=name_of(store))
        for entry in entries:
            if entry.sequence > before:
                found += self._told(entry)
        return found, len(entries) < BATCH

    def _join(self, store: Store) -> list[Told]:
        """Begin, or begin again after an outage: is it still the same journal?"""
        cursor, name = self._cursor, name_of(store)
        if self._only_new:
            self._go_to_end(store, name)
            self._only_new = False
            return [self._gap("what came before the shared store was reached is not told")] if self._away else []
        if cursor.identity and name and cursor.identity != name:
            self._go_to_end(store, name)
            return [self._gap("the cursor belongs to another journal")]
        self._cursor = cursor.replace(identity=name or cursor.identity)
        return []

    def _problem(self, entries: list[Entry]) -> str:
        """Why the journal does not go on where this follower stands; empty when it does."""
        sequence, mark = self._cursor.sequence, self._cursor.mark
        if not sequence:
            return ""
        if not entries:
            return f"the journal ends before event {sequence}"
        first = entries[0]
        if first.sequence == sequence and mark and mark_of(first) != mark:
            return f"the journal has lost its end: event {sequence} is another one now"
        return ""

    def _common(self, store: Store) -> Cursor:
        """Where to go on: behind the last event that is still there as it was seen; else at what is there now."""
        name = name_of(store)
        if self._recent and name == self._cursor.identity:
            begin = self._recent[0][0]
            there = {one.sequence: mark_of(one) for one in store.read(JOURNAL, after=begin - 1, limit=REMEMBERED)}
            while self._recent:
                sequence, mark = self._recent[-1]
                if there.get(sequence) == mark:
                    return self._cursor.replace(sequence=sequence, mark=mark)
                self._recent.pop()
            if begin == 1:
                return self._cursor.replace(sequence=0, mark="")  # all that was there was seen, none of it is left
        self._recent.clear()
        self._go_to_end(store, name)
        return self._cursor

    def _go_to_end(self, store: Store, name: str) -> None:
        last = end_of(store)
        mark = "" if last is None else mark_of(last)
        sequence = 0 if last is None else last.sequence
        self._cursor = self._cursor.replace(identity=name, sequence=sequence, mark=mark)

    def _told(self, entry: Entry) -> list[Told]:
        cursor, mark, found = self._cursor, mark_of(entry), list[Told]()
        if cursor.sequence and entry.sequence != cursor.sequence + 1:
            self._cursor = cursor.replace(sequence=entry.sequence - 1, mark="")
            found += [self._gap(f"events {cursor.sequence + 1} to {entry.sequence - 1} are not there any more")]
        self._cursor = cursor.replace(sequence=entry.sequence, mark=mark)
        self._recent.append((entry.sequence, mark))
        if self._kept is not None:
            was_told = self._kept.was_told(entry)
            self._cursor = self._cursor.replace(kept=self._kept.place)
            if was_told:
                return found
        return [*found, event_of(entry, str(self._cursor))]

    def _gap(self, reason: str) -> Gap:
        return Gap(reason=reason, snapshot=self._snapshot(), cursor=str(self._cursor))

    # While it is away

    def _lost(self, error: StoreError) -> list[Told]:
        first, self._away, self._joined = not self._away, True, False
        self._pause_s = RETRY_MIN_S if first else min(RETRY_MAX_S, self._pause_s * 2)
        self._retry_at_s = self._host.monotonic_s() + self._pause_s
        return [Outage(over=False, reason=str(error), cursor=str(self._cursor))] if first else []

    def _back(self) -> list[Told]:
        was_away, self._away = self._away, False
        return [Outage(over=True, reason="", cursor=str(self._cursor))] if was_away else []

    def _of_this_machine(self) -> list[Told]:
        """What this machine has kept meanwhile, each once."""
        found: list[Told] = []
        for entry in () if self._kept is None else self._kept.new():
            self._cursor = self._cursor.replace(kept=self._kept.place if self._kept else None)
            found.append(event_of(entry, str(self._cursor), local=True))
        return found

"""Who held what, when: the journal of task events as bars, for pictures, text and JSON. Pure.

A bar is one ownership: one task, one owner, one fence, from its beginning to its ending. A journal that keeps the
promise of one owner at a time never begins one while another of the same task is open; the timeline says where it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sharedstate.clock import iso_of_ms
from sharedstate.store import Document, Entry
from sharedstate.values import Value

# How an ownership ended. The first three are the owner's own word.
COMPLETE: Final = "complete"
FAILED: Final = "failed"
ABANDONED: Final = "abandoned"
RECLAIMED: Final = "reclaimed"
TAKEN_OVER: Final = "taken_over"
SWEPT: Final = "swept"
WITHDRAWN: Final = "withdrawn"
HELD: Final = "held"
ENDINGS: Final = (COMPLETE, FAILED, ABANDONED, RECLAIMED, TAKEN_OVER, SWEPT, WITHDRAWN, HELD)

_BEGINS: Final = frozenset(("claimed", "reclaimed", "taken_over"))
_RESTORES: Final = frozenset(("imported", "restored"))
_MARKS: Final = frozenset(("ignored", "unignored", "reopened", "imported", "restored", "archived", "conflict"))
_RELEASES: Final = frozenset((COMPLETE, FAILED, ABANDONED))

_Key = tuple[str, str, int]


class Bar(Value):
    """One ownership. Times are Unix milliseconds, `begin_ms <= end_ms`.

    `began`: the event that began it (`claimed`, `reclaimed`, `taken_over`, `imported`, `restored`). `ending`: one of
    `ENDINGS`; `held` means that nothing in the journal ended it, and `end_ms` is then the end of the timeline.
    `silent_ms`: how long before the end its owner gave its last sign of life, where the event tells. `reason` and
    `detail`: why it ended.
    """

    task: str
    owner: str
    fence: int
    begin_ms: int
    end_ms: int
    began: str
    ending: str
    attempt: int = 0
    silent_ms: int = 0
    reason: str = ""
    detail: str = ""


class Note(Value):
    """A moment in the life of a task that is no ownership: `kind` is the event's type, `text` is for people."""

    task: str
    at_ms: int
    kind: str
    text: str


class Timeline(Value):
    """A journal as bars and notes: `tasks` by their first ownership, those without one last; `owners` by name.

    `double`: pairs of ownerships of one task that were open at the same time, judged by the order of the journal and
    not by its clock. Any is a broken promise.
    """

    bars: tuple[Bar, ...]
    notes: tuple[Note, ...]
    tasks: tuple[str, ...]
    owners: tuple[str, ...]
    begin_ms: int
    end_ms: int
    double: tuple[tuple[Bar, Bar], ...] = ()

    def count(self, *endings: str) -> int:
        """How many bars ended in one of these ways."""
        return sum(bar.ending in endings for bar in self.bars)

    def latest(self, task_count: int) -> Timeline:
        """Only the `task_count` tasks (>= 1) that were touched last; everything else as it is."""
        if len(self.tasks) <= task_count:
            return self
        touched = {note.task: note.at_ms for note in self.notes}
        for bar in self.bars:
            touched[bar.task] = max(bar.end_ms, touched.get(bar.task, 0))
        kept = set(sorted(self.tasks, key=lambda task: touched[task])[-task_count:])
        bars = tuple(bar for bar in self.bars if bar.task in kept)
        notes = tuple(note for note in self.notes if note.task in kept)
        moments = [bar.begin_ms for bar in bars] + [note.at_ms for note in notes]
        return self.replace(
            bars=bars,
            notes=notes,
            tasks=tuple(task for task in self.tasks if task in kept),
            owners=_sorted_owners(bars),
            begin_ms=min(moments),
        )


def timeline_of(entries: Iterable[Entry], *, now_ms: int | None = None) -> Timeline:
    """The timeline of a journal's entries, in their order. Events of unknown types are passed over.

    `now_ms`: until when ownerships that have not ended are drawn; default: the last entry.
    """
    reading = _Reading()
    for entry in entries:
        reading.take(entry)
    return reading.timeline(now_ms)


def document_of(timeline: Timeline) -> Document:
    """The timeline as a JSON object: `begin_at`, `end_at`, `tasks`, `owners`, `bars`, `notes`, `double_claims`."""
    return {
        "begin_at": iso_of_ms(timeline.begin_ms),
        "end_at": iso_of_ms(timeline.end_ms),
        "tasks": list(timeline.tasks),
        "owners": list(timeline.owners),
        "bars": [_bar_document(bar) for bar in timeline.bars],
        "notes": [
            {"task": note.task, "at": iso_of_ms(note.at_ms), "type": note.kind, "text": note.text}
            for note in timeline.notes
        ],
        "double_claims": [
            {"task": one.task, "owners": [one.owner, other.owner], "fences": [one.fence, other.fence]}
            for one, other in timeline.double
        ],
    }


def _bar_document(bar: Bar) -> Document:
    document: Document = {
        "task": bar.task,
        "owner": bar.owner,
        "fence": bar.fence,
        "began_at": iso_of_ms(bar.begin_ms),
        "ended_at": None if bar.ending == HELD else iso_of_ms(bar.end_ms),
        "began": bar.began,
        "ending": bar.ending,
        "attempt": bar.attempt,
        "duration_s": (bar.end_ms - bar.begin_ms) / 1000,
    }
    if bar.reason:
        document["reason"] = bar.reason
    if bar.detail:
        document["detail"] = bar.detail
    return document


class _Reading:
    """The open ownerships while a journal is read: usually one per task, more where it shows two owners at once."""

    def __init__(self) -> None:
        self._open: dict[str, list[Bar]] = {}
        self._done: list[Bar] = []
        self._notes: list[Note] = []
        self._double: list[tuple[_Key, _Key]] = []
        self._first_ms: int | None = None
        self._last_ms = 0

    def take(self, entry: Entry) -> None:
        event = entry.value
        kind, task = event.get("type"), event.get("task")
        if not isinstance(kind, str) or not isinstance(task, str):
            return
        self._first_ms = entry.at_ms if self._first_ms is None else min(self._first_ms, entry.at_ms)
        self._last_ms = max(self._last_ms, entry.at_ms)
        if kind in _BEGINS:
            self._begin(entry, kind, task)
        elif kind in _RESTORES:
            self._restore(entry, kind, task)
        elif kind in ("released", "swept"):
            self._end(entry, task, ending=SWEPT if kind == "swept" else _released_as(event))
        elif kind == "conflict" and entry.record:  # a claim taken back; a plain entry is about another ledger
            self._end(entry, task, ending=WITHDRAWN)
        if kind in _MARKS:
            self._notes.append(Note(task=task, at_ms=entry.at_ms, kind=kind, text=_words(event)))

    def _begin(self, entry: Entry, kind: str, task: str) -> None:
        event = entry.value
        owner = _text(event, "owner") or "?"
        opened = self._open.setdefault(task, [])
        if kind == "taken_over":
            self._close_all(opened, entry, owner=_text(event, "previous_owner"), ending=TAKEN_OVER)
        elif kind == "reclaimed":
            self._close_all(opened, entry, owner=owner, ending=RECLAIMED)
        bar = Bar(
            task=task,
            owner=owner,
            fence=_number(event, "fence"),
            begin_ms=entry.at_ms,
            end_ms=entry.at_ms,
            began=kind,
            ending=HELD,
            attempt=_number(event, "attempt"),
        )
        self._double += [(_key(other), _key(bar)) for other in opened]
        opened.append(bar)

    def _restore(self, entry: Entry, kind: str, task: str) -> None:
        """A record written as a whole: the ownership it shows is the only one, and may be open already."""
        event = entry.value
        opened = self._open.setdefault(task, [])
        live = event.get("status") == "claimed"
        if live and any(bar.fence == event.get("fence") and bar.owner == event.get("owner") for bar in opened):
            return
        self._close_all(opened, entry, owner="", ending=ABANDONED)
        if live:
            self._begin(entry, kind, task)

    def _close_all(self, opened: list[Bar], entry: Entry, *, owner: str, ending: str) -> None:
        """Close what this owner (anybody, when the event names none) has open."""
        for bar in [bar for bar in opened if not owner or bar.owner == owner]:
            opened.remove(bar)
            self._close(bar, entry, ending=ending)

    def _end(self, entry: Entry, task: str, *, ending: str) -> None:
        """Close the ownership with the event's fence; without such a one, the latest."""
        opened = self._open.get(task)
        if not opened:
            return
        fence = entry.value.get("fence")
        bar = next((bar for bar in opened if bar.fence == fence), opened[-1])
        opened.remove(bar)
        self._close(bar, entry, ending=ending)

    def _close(self, bar: Bar, entry: Entry, *, ending: str) -> None:
        event, end_ms = entry.value, max(bar.begin_ms, entry.at_ms)
        self._done.append(
            bar.replace(
                end_ms=end_ms,
                ending=ending,
                silent_ms=min(_number(event, "age_ms"), end_ms - bar.begin_ms),
                reason=_text(event, "reason"),
                detail=_text(event, "error") or _text(event, "detail"),
            )
        )

    def timeline(self, now_ms: int | None) -> Timeline:
        end_ms = max(self._last_ms, now_ms or 0)
        held = [bar.replace(end_ms=max(end_ms, bar.begin_ms)) for bars in self._open.values() for bar in bars]
        bars = tuple(sorted([*self._done, *held], key=lambda bar: (bar.begin_ms, bar.task, bar.fence)))
        by_key = {_key(bar): bar for bar in bars}
        tasks = dict.fromkeys(bar.task for bar in bars) | dict.fromkeys(note.task for note in self._notes)
        return Timeline(
            bars=bars,
            notes=tuple(self._notes),
            tasks=tuple(tasks),
            owners=_sorted_owners(bars),
            begin_ms=end_ms if self._first_ms is None else self._first_ms,
            end_ms=end_ms,
            double=tuple((by_key[one], by_key[other]) for one, other in self._double),
        )


def _key(bar: Bar) -> _Key:
    return bar.task, bar.owner, bar.fence


def _sorted_owners(bars: Iterable[Bar]) -> tuple[str, ...]:
    """By name, numbers by value: `agent-2` before `agent-10`."""

    def parts(owner: str) -> list[tuple[int, str]]:
        return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split("([0-9]+)", owner)]

    return tuple(sorted({bar.owner for bar in bars}, key=parts))


def _released_as(event: Mapping[str, Any]) -> str:
    status = _text(event, "status")
    return status if status in _RELEASES else ABANDONED


def _words(event: Mapping[str, Any]) -> str:
    """What an event that is no ownership says to people: who and why."""
    kind, by = _text(event, "type"), _text(event, "by")
    why = _text(event, "detail") or _text(event, "reason")
    words = f"{kind} by {by}" if by else kind
    return f"{words}: {why}" if why else words


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""


def _number(event: Mapping[str, Any], name: str) -> int:
    value = event.get(name)
    return value if isinstance(value, int) and value >= 0 else 0

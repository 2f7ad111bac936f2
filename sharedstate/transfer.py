"""Copy everything from one store to another: records with their fences, journals with their sequences; then compare.

Both stores should be quiet: what is written during a copy may be missed, and the comparison says so. A copy that was
cut off goes on when it is started again. Nothing is ever deleted, and no fence is lowered: a record of the target that
is not what this copy wrote, or would lose a higher fence, is reported and left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from sharedstate import jsonio
from sharedstate.errors import Corrupt, InvalidInput
from sharedstate.store import (
    KEEP,
    LOADED_ENTRIES_MAX,
    Decision,
    Entry,
    Portable,
    Snapshot,
    Unreadable,
    Versioned,
)
from sharedstate.values import Value

SHOWN_MAX: Final = 100
PIECE_CHARACTERS_MAX: Final = 1024 * 1024
Progress = Callable[[str, int], None]


class TransferReport(Value):
    """What a copy did: how many records and entries were copied or `same` already, and what could not be.

    `problems` (at most 100 are kept, `problem_count` counts all) names records and journals that differ in the target,
    or cannot be read in the source. `verified` says that the target was read again and holds all of the source.
    """

    records: int
    entries: int
    same: int
    problems: tuple[str, ...]
    problem_count: int
    verified: bool


class _Tally:
    def __init__(self) -> None:
        self.records = self.entries = self.same = self.problem_count = 0
        self.problems: list[str] = []

    def problem(self, text: str) -> None:
        self.problem_count += 1
        if len(self.problems) < SHOWN_MAX:
            self.problems.append(text)


def copy_store(source: Portable, target: Portable, *, progress: Progress | None = None) -> TransferReport:
    """Copy all of `source` into `target`, then read both and compare.

    `progress(what, count)` is called now and then with a collection or journal and how much of it is done. A living
    ownership begins with a fresh heartbeat in the target, so its owner has one ttl of time to find its way there.
    Raises what the stores raise; started again, it goes on.
    """
    tally, tell = _Tally(), progress or _silent
    for journal in source.journals():
        try:
            _copy_journal(source, target, journal, tally, tell)
        except Corrupt as error:
            tally.problem(f"journal {journal}: cannot be read: {error}")
    for collection in source.collections():
        for count, found in enumerate(source.scan(collection), start=1):
            _copy_record(target, collection, found, tally)
            if count % 100 == 0:
                tell(collection, count)
    verified = tally.problem_count == 0 and not any(_differences(source, target, tally))
    return TransferReport(
        records=tally.records,
        entries=tally.entries,
        same=tally.same,
        problems=tuple(tally.problems),
        problem_count=tally.problem_count,
        verified=verified,
    )


def _silent(what: str, count: int) -> None:
    """Nobody looks."""


def _copy_record(target: Portable, collection: str, found: Versioned | Unreadable, tally: _Tally) -> None:
    if isinstance(found, Unreadable):
        tally.problem(f"{collection}/{found.name}: cannot be read in the source: {found.reason}")
        return

    def put(snapshot: Snapshot) -> Decision[str]:
        if snapshot.value is None:
            return Decision(result="copied", write=found.value, live=found.live)
        if jsonio.text_of(snapshot.value) == jsonio.text_of(found.value):
            return Decision(result="same")
        return Decision(result="other", write=KEEP)

    try:
        result = target.transact(collection, found.key, put)
    except Corrupt as error:
        tally.problem(f"{collection}/{found.key}: cannot be read in the target: {error}")
        return
    if result == "other":
        tally.problem(f"{collection}/{found.key}: the target holds another record of this name; it was left alone")
    elif result == "same":
        tally.same += 1
    else:
        tally.records += 1


def _copy_journal(source: Portable, target: Portable, journal: str, tally: _Tally, tell: Progress) -> None:
    """Entries that the target has must be the same; the rest is appended in pieces."""
    held = target.read(journal)
    last = 0
    for mine in source.read(journal):
        theirs = next(held, None)
        if theirs is None:
            break
        if _telling(theirs) != _telling(mine):
            tally.problem(f"journal {journal}: entry {mine.sequence} differs in the target; the journal was left alone")
            return
        last = mine.sequence
        tally.same += 1
    for piece in _pieces(source.read(journal, after=last)):
        try:
            last = target.load_entries(journal, piece)
        except InvalidInput as error:  # a gap in the source (damage), or the target has grown meanwhile
            tally.problem(f"{error}")
            return
        tally.entries += len(piece)
        tell(f"journal {journal}", last)


def _pieces(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Entries in groups that a store takes in at once, also over a slow line: by count and by size."""
    piece: list[Entry] = []
    size = 0
    for entry in entries:
        characters = len(jsonio.text_of(entry.value))
        if piece and (len(piece) == LOADED_ENTRIES_MAX or size + characters > PIECE_CHARACTERS_MAX):
            yield piece
            piece, size = [], 0
        piece.append(entry)
        size += characters
    if piece:
        yield piece


def _differences(source: Portable, target: Portable, tally: _Tally) -> Iterator[str]:
    """Every record or journal of the source that the target does not hold alike, also told to `tally`."""
    for text in (*_record_differences(source, target), *_journal_differences(source, target)):
        tally.problem(text)
        yield text


def _record_differences(source: Portable, target: Portable) -> Iterator[str]:
    for collection in source.collections():
        for found in source.scan(collection):
            if isinstance(found, Unreadable):
                yield f"{collection}/{found.name}: cannot be read in the source: {found.reason}"
                continue
            try:
                there = target.get(collection, found.key)
            except Corrupt as error:
                yield f"{collection}/{found.key}: cannot be read in the target: {error}"
                continue
            if there is None or _essence(there) != _essence(found):
                yield f"{collection}/{found.key}: the target does not hold the same"


def _essence(found: Versioned) -> tuple[str, int | None]:
    """What must be alike, as text: in Python 1, 1.0 and true are equal, in JSON they are three values."""
    return jsonio.text_of(found.value), found.live


def _telling(entry: Entry | None) -> tuple[int, int, str, str] | None:
    return None if entry is None else (entry.sequence, entry.at_ms, entry.record, jsonio.text_of(entry.value))


def _journal_differences(source: Portable, target: Portable) -> Iterator[str]:
    for journal in source.journals():
        theirs = target.read(journal)
        try:
            for mine in source.read(journal):
                if _telling(next(theirs, None)) != _telling(mine):
                    yield f"journal {journal}: entry {mine.sequence} is not the same in the target"
                    break
        except Corrupt as error:
            yield f"journal {journal}: cannot be read: {error}"

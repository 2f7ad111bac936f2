"""The timeline as plain text, ASCII only: one line per task, one letter per owner, a sign for every ending. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sharedstate.overview.timeline import HELD, RECLAIMED, Bar, Note, Timeline
from sharedstate.overview.words import headline, outcome_of, short_names, tick_label, tick_step_ms

WIDTH_MIN: Final = 60
TASKS_SHOWN_MAX: Final = 200
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SIGNS: Final = {
    "complete": "+",
    "failed": "x",
    "abandoned": "-",
    "taken_over": ">",
    "swept": "#",
    "withdrawn": "!",
    "reclaimed": "|",
    HELD: "~",
}
_LABEL_MAX: Final = 32
_STATE_WIDTH: Final = 22


def chart_lines(timeline: Timeline, *, width: int = 100) -> list[str]:
    """Lines of at most `width` columns (at least 60): the 200 tasks touched last; the headline counts all."""
    shown = timeline.latest(TASKS_SHOWN_MAX)
    width = max(width, WIDTH_MIN)
    names = short_names(shown.tasks)
    label = min(max((len(name) for name in names.values()), default=4), _LABEL_MAX, width // 3)
    columns = width - label - _STATE_WIDTH - 2
    letters = {owner: _LETTERS[index % len(_LETTERS)] for index, owner in enumerate(shown.owners)}
    lines = [headline(timeline).replace(" · ", ", ")]
    lines += [f"TWO OWNERS AT ONCE: {one.task} held by {one.owner} and {other.owner}" for one, other in timeline.double]
    lines.append(" " * (label + 1) + _axis(shown, columns))
    bars: dict[str, list[Bar]] = {task: [] for task in shown.tasks}
    notes: dict[str, list[Note]] = {task: [] for task in shown.tasks}
    for bar in shown.bars:
        bars[bar.task].append(bar)
    for note in shown.notes:
        notes[note.task].append(note)
    for task in shown.tasks:
        track = _track(bars[task], notes[task], shown, letters, columns)
        outcome = outcome_of(bars[task], notes[task])[0].replace("·", "-")
        lines.append(f"{_cut(names[task], label):<{label}} {track} {outcome}".rstrip())
    return [*lines, *_legend(shown, letters, width)]


def _track(
    bars: Sequence[Bar], notes: Sequence[Note], timeline: Timeline, letters: dict[str, str], columns: int
) -> str:
    """The line of one task: letters while it is held, dots while it waits for its next attempt."""
    cells = [" "] * columns
    if bars:
        first, last = _column(bars[0].begin_ms, timeline, columns), _column(bars[-1].begin_ms, timeline, columns)
        cells[first:last] = "." * (last - first)
    for bar in bars:
        begin, end = _column(bar.begin_ms, timeline, columns), _column(bar.end_ms, timeline, columns)
        cells[begin : end + 1] = letters[bar.owner] * (end + 1 - begin)
    for bar in bars:  # afterwards: the next bar must not hide the sign
        if bar.ending != RECLAIMED:
            cells[_column(bar.end_ms, timeline, columns)] = _SIGNS[bar.ending]
    for note in notes:
        if note.kind == "ignored":
            cells[_column(note.at_ms, timeline, columns)] = "i"
    return "".join(cells)


def _column(at_ms: int, timeline: Timeline, columns: int) -> int:
    span_ms = max(timeline.end_ms - timeline.begin_ms, 1)
    return min(max(at_ms - timeline.begin_ms, 0) * (columns - 1) // span_ms, columns - 1)


def _axis(timeline: Timeline, columns: int) -> str:
    span_ms = max(timeline.end_ms - timeline.begin_ms, 1)
    step = tick_step_ms(span_ms, ticks_max=max(2, columns // 10))
    line = ""
    for offset in range(0, span_ms + 1, step):
        label, at = tick_label(offset, step), _column(timeline.begin_ms + offset, timeline, columns)
        if at >= len(line) and at + len(label) <= columns:
            line = f"{line:<{at}}{label} "
    return line.rstrip()


def _legend(timeline: Timeline, letters: dict[str, str], width: int) -> Iterator[str]:
    endings = {bar.ending for bar in timeline.bars}
    parts = [f"{letter} {owner}" for owner, letter in letters.items()]
    signs = [f"{sign} {ending.replace('_', ' ')}" for ending, sign in _SIGNS.items() if ending in endings]
    if any(note.kind == "ignored" for note in timeline.notes):
        signs.append("i ignored")
    for group in (parts, signs):
        line = ""
        for part in group:
            if line and len(line) + 3 + len(part) > width:
                yield line
                line = ""
            line = f"{line}   {part}" if line else part
        if line:
            yield line


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 2] + ".."

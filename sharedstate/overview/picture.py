"""The timeline as a picture: lanes of owners, rows of tasks, every ending marked by colour and shape. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sharedstate.clock import iso_of_ms
from sharedstate.overview import svg
from sharedstate.overview.timeline import COMPLETE, HELD, RECLAIMED, Bar, Note, Timeline
from sharedstate.overview.words import duration, headline, outcome_of, short_names, tick_label, tick_step_ms
from sharedstate.values import Value

TASKS_DRAWN_MAX: Final = 400
LANES_DRAWN_MAX: Final = 24
_WIDTH: Final = 1240.0
_MARGIN: Final = 28.0
_LABEL_MAX: Final = 280.0
_STATE_WIDTH: Final = 158.0
_BAR_WIDTH_MIN: Final = 2.5
# Up to how many tasks, the height of a row, the size of its text.
_ROWS: Final = ((12, 28.0, 12.5), (40, 23.0, 11.5), (90, 17.0, 10.5), (TASKS_DRAWN_MAX, 13.0, 9.5))
_LEGEND: Final = ("complete", "failed", "abandoned", "taken_over", "swept", "ignored")
_MEANING: Final = {
    "complete": "complete",
    "failed": "failed",
    "abandoned": "given up",
    "taken_over": "taken over",
    "swept": "ended by the sweep",
    "ignored": "ignored by a person",
}


class _Frame(Value):
    """Where things stand: the time axis in pixels, the height of a row and of its text; short names; fills."""

    left: float
    right: float
    begin_ms: int
    span_ms: int
    row: float
    size: float
    names: dict[str, str]
    fills: dict[str, str]

    def x(self, at_ms: int) -> float:
        return self.left + (self.right - self.left) * (at_ms - self.begin_ms) / self.span_ms


def picture_of(timeline: Timeline, *, title: str = "Who held what, and when") -> str:
    """A complete SVG document (UTF-8 text). At most the 400 tasks touched last are drawn; the headline counts all."""
    drawn = timeline.latest(TASKS_DRAWN_MAX)
    frame = _frame(drawn)
    about = headline(timeline)
    parts = [svg.text(_MARGIN, 40, title, size=21, bold=True), svg.text(_MARGIN, 62, about, size=12.5, look="soft")]
    y = 90.0
    if timeline.double:
        parts += _alarm(timeline, y)
        y += 34
    parts += _legend(drawn, y)
    lanes, y = _lanes(drawn, frame, y + 46)
    parts += lanes
    rows, y = _rows(drawn, frame, y + 40)
    parts += rows
    hidden = len(timeline.tasks) - len(drawn.tasks)
    if hidden:
        parts.append(svg.text(_MARGIN, y + 18, f"{hidden} earlier tasks are not drawn", size=11, look="soft"))
        y += 20
    height = y + 26
    ground = svg.box(0, 0, _WIDTH, height, look="page")
    return svg.document([ground, *parts], width=_WIDTH, height=height, title=title, about=about)


def _frame(timeline: Timeline) -> _Frame:
    count = len(timeline.tasks)
    row, size = next((row, size) for most, row, size in _ROWS if count <= most)
    owners = short_names(timeline.owners)
    widest = max((svg.width_of(text, size=size) for text in (*timeline.tasks, *owners.values())), default=0)
    span_ms = max(timeline.end_ms - timeline.begin_ms, 1)
    return _Frame(
        left=_MARGIN + min(max(widest, 70), _LABEL_MAX) + 14,
        right=_WIDTH - _MARGIN - _STATE_WIDTH,
        begin_ms=timeline.begin_ms,
        span_ms=span_ms + span_ms // 60,
        row=row,
        size=size,
        names=short_names(timeline.tasks) | owners,
        fills={owner: f"o{index % len(svg.OWNER_FILLS)}" for index, owner in enumerate(timeline.owners)},
    )


def _alarm(timeline: Timeline, y: float) -> Iterator[str]:
    one, other = timeline.double[0]
    more = f", and {len(timeline.double) - 1} more" if len(timeline.double) > 1 else ""
    words = f"TWO OWNERS AT ONCE: {one.task} held by {one.owner} and {other.owner}{more}"
    yield svg.box(_MARGIN, y - 16, _WIDTH - 2 * _MARGIN, 26, look="banner", round_=4)
    yield svg.text(_MARGIN + 12, y + 2, svg.fitted(words, size=13, width=_WIDTH - 100), size=13, look="on", bold=True)


def _legend(timeline: Timeline, y: float) -> Iterator[str]:
    """Signs of endings; owners need no legend, since each has a lane with its name."""
    x = _MARGIN + 6
    seen = {bar.ending for bar in timeline.bars} | {note.kind for note in timeline.notes}
    for kind in _LEGEND:
        if kind not in seen:
            continue
        yield svg.icon(kind, x, y - 4, radius=5.5)
        yield svg.text(x + 11, y, _MEANING[kind], size=12, look="soft")
        x += svg.width_of(_MEANING[kind], size=12) + 36
    words = "colour: owner · dotted: waiting for the next attempt"
    if any(bar.silent_ms for bar in timeline.bars):
        words += " · hatched: no sign of life"
    yield svg.text(x, y, words, size=12, look="soft")


# Lanes of owners


def _lanes(timeline: Timeline, frame: _Frame, y: float) -> tuple[list[str], float]:
    owners = timeline.owners[:LANES_DRAWN_MAX]
    row = 26.0 if len(owners) <= 10 else 18.0
    parts = [*_ground("Owners", frame, top=y, row=row, count=len(owners))]
    held: dict[str, list[Bar]] = {owner: [] for owner in owners}
    for bar in timeline.bars:
        if bar.owner in held:
            held[bar.owner].append(bar)
    for index, owner in enumerate(owners):
        parts += _lane(owner, held[owner], frame, top=y + index * row, row=row)
    y += row * max(1, len(owners))
    if len(timeline.owners) > len(owners):
        more = f"and {len(timeline.owners) - len(owners)} more owners"
        parts.append(svg.text(frame.left - 10, y + 14, more, size=11, look="soft", anchor="end"))
        y += 18
    return parts, y


def _lane(owner: str, bars: Sequence[Bar], frame: _Frame, *, top: float, row: float) -> Iterator[str]:
    size = min(12.0, row * 0.55)
    name = svg.fitted(frame.names[owner], size=size, width=frame.left - _MARGIN - 12)
    yield svg.text(frame.left - 10, top + row / 2 + size * 0.36, name, size=size, anchor="end")
    slots = _slots(bars)
    depth = max(slots, default=0) + 1
    inner = (row - 6) / depth
    for bar, slot in zip(bars, slots, strict=True):
        x1, x2 = _ends(bar, frame)
        y = top + 3 + slot * inner
        yield svg.box(x1, y, x2 - x1, max(inner - 1, 1.5), look=frame.fills[owner], title=_title(bar), round_=2.5)
        label = _label(frame.names[bar.task], width=x2 - x1 - 14) if inner >= 12 else ""
        if label:
            yield svg.text(x1 + 5, y + inner / 2 + 3.2, label, size=10, look="on")
        if bar.ending not in (COMPLETE, RECLAIMED, HELD) and inner >= 8:
            yield svg.icon(bar.ending, x2, y + inner / 2 - 0.5, radius=4.6)
    busy_ms = sum(bar.end_ms - bar.begin_ms for bar in bars)
    words = f"{len(bars)} held · {duration(busy_ms)}"
    yield svg.text(frame.right + 12, top + row / 2 + size * 0.36, words, size=size, look="soft")


def _label(name: str, *, width: float) -> str:
    """The name, or its last part where the whole does not fit."""
    if svg.width_of(name, size=10) <= width:
        return name
    return svg.fitted(re.split(r"[./:]", name)[-1].strip() or name, size=10, width=width)


def _slots(bars: Sequence[Bar]) -> list[int]:
    """For each bar the lowest free sub-lane: an owner may hold several tasks at once (drawn up to four)."""
    free_at: list[int] = []
    slots: list[int] = []
    for bar in bars:
        slot = next((index for index, at_ms in enumerate(free_at) if at_ms <= bar.begin_ms), len(free_at))
        if slot == len(free_at):
            free_at.append(bar.end_ms)
        else:
            free_at[slot] = bar.end_ms
        slots.append(min(slot, 3))
    return slots


# Rows of tasks


def _rows(timeline: Timeline, frame: _Frame, y: float) -> tuple[list[str], float]:
    bottom = y + frame.row * max(1, len(timeline.tasks))
    parts = [*_ground("Tasks", frame, top=y, row=frame.row, count=len(timeline.tasks))]
    bars: dict[str, list[Bar]] = {task: [] for task in timeline.tasks}
    notes: dict[str, list[Note]] = {task: [] for task in timeline.tasks}
    for bar in timeline.bars:
        bars[bar.task].append(bar)
    for note in timeline.notes:
        notes[note.task].append(note)
    doubled = {one.task for one, _ in timeline.double}
    for index, task in enumerate(timeline.tasks):
        top = y + index * frame.row
        parts += _row(task, bars[task], notes[task], frame, top=top, doubled=task in doubled)
    parts += _axis(frame, bottom + 14)
    return parts, bottom + 18


def _row(
    task: str, bars: Sequence[Bar], notes: Sequence[Note], frame: _Frame, *, top: float, doubled: bool
) -> Iterator[str]:
    middle, base = top + frame.row / 2, top + frame.row / 2 + frame.size * 0.36
    name = svg.fitted(task, size=frame.size, width=frame.left - _MARGIN - 12)
    yield svg.text(frame.left - 10, base, name, size=frame.size, anchor="end")
    if len(bars) > 1:
        yield svg.line(frame.x(bars[0].end_ms), middle, frame.x(bars[-1].begin_ms), middle, look="waiting")
    slots = _slots(bars) if doubled else [0] * len(bars)
    last_x = 0.0
    for bar, slot in zip(bars, slots, strict=True):
        yield from _bar(bar, frame, top=top, slot=slot, depth=max(slots) + 1, after_x=last_x)
        last_x = _ends(bar, frame)[1]
    if doubled:
        x1, x2 = frame.x(min(bar.begin_ms for bar in bars)), frame.x(max(bar.end_ms for bar in bars))
        yield svg.box(x1 - 3, top + 1, x2 - x1 + 6, frame.row - 2, look="alarm", round_=3)
    yield from _signs(bars, frame, middle)
    yield from _notes(notes, frame, middle=middle, base=base, alone=not bars)
    state, look = ("two owners at once", "bad") if doubled else outcome_of(bars, notes)
    yield svg.text(frame.right + 12, base, state, size=frame.size, look=look, bold=doubled)


def _bar(bar: Bar, frame: _Frame, *, top: float, slot: int, depth: int, after_x: float) -> Iterator[str]:
    """`after_x`: where the bar before it ended, with an icon that the text must not touch."""
    pad = max(1.5, frame.row * 0.14)
    height = (frame.row - 2 * pad) / depth
    x1, x2 = _ends(bar, frame)
    y = top + pad + slot * height
    yield svg.box(x1, y, x2 - x1, height, look=frame.fills[bar.owner], title=_title(bar), round_=min(3, height / 4))
    if bar.silent_ms:
        x3 = max(x1, frame.x(bar.end_ms - bar.silent_ms))
        yield svg.box(x3, y, max(x2 - x3, 0.5), height, look="silent")
    x4 = max(x1 + 5, after_x + 11 if after_x else 0)
    label = svg.fitted(frame.names[bar.owner], size=frame.size - 1.5, width=x2 - x4 - 9) if height >= 11 else ""
    if label:
        yield svg.text(x4, y + height / 2 + frame.size * 0.32, label, size=frame.size - 1.5, look="on")


def _signs(bars: Sequence[Bar], frame: _Frame, middle: float) -> Iterator[str]:
    """An icon at every ending; only a stroke where the next icon would cover it."""
    radius = min(6.5, frame.row * 0.3)
    ended = sorted((bar for bar in bars if bar.ending not in (HELD, RECLAIMED)), key=lambda bar: bar.end_ms)
    for index, bar in enumerate(ended):
        x = _ends(bar, frame)[1]
        crowded = index + 1 < len(ended) and _ends(ended[index + 1], frame)[1] - x < 2 * radius + 2
        if crowded:
            yield svg.tick(bar.ending, x, middle - frame.row * 0.36, height=frame.row * 0.72)
        else:
            yield svg.icon(bar.ending, x, middle, radius=radius)
    for bar in bars:
        if bar.ending == RECLAIMED:
            yield svg.tick("abandoned", _ends(bar, frame)[1], middle - frame.row * 0.36, height=frame.row * 0.72)


def _notes(notes: Sequence[Note], frame: _Frame, *, middle: float, base: float, alone: bool) -> Iterator[str]:
    radius = min(6.0, frame.row * 0.28)
    for note in notes:
        if note.kind == "conflict":
            continue
        x = frame.x(note.at_ms) + (radius + 2 if alone else 0)
        yield svg.icon("ignored" if note.kind == "ignored" else "abandoned", x, middle, radius=radius)
        if alone:
            words = svg.fitted(note.text, size=frame.size - 0.5, width=frame.right - x - 20)
            yield svg.text(x + radius + 6, base, words, size=frame.size - 0.5, look="soft")
            return


def _ends(bar: Bar, frame: _Frame) -> tuple[float, float]:
    x1 = frame.x(bar.begin_ms)
    return x1, max(frame.x(bar.end_ms), x1 + _BAR_WIDTH_MIN)


def _title(bar: Bar) -> str:
    lines = [
        f"{bar.task} · attempt {bar.attempt} · fence {bar.fence}",
        f"{bar.owner}, {bar.began}",
        f"{iso_of_ms(bar.begin_ms)} to {iso_of_ms(bar.end_ms)} ({duration(bar.end_ms - bar.begin_ms)}): {bar.ending}",
    ]
    if bar.reason or bar.detail:
        lines.append(f"{bar.reason} {bar.detail}".strip())
    return " | ".join(lines)


# The time axis


def _ticks(frame: _Frame) -> Iterator[tuple[float, str]]:
    step = tick_step_ms(frame.span_ms)
    for offset in range(0, frame.span_ms + 1, step):
        yield frame.x(frame.begin_ms + offset), tick_label(offset, step)


def _ground(heading: str, frame: _Frame, *, top: float, row: float, count: int) -> Iterator[str]:
    """What lies under a panel: its heading, the axis, a band behind every other row, the lines of the grid."""
    yield svg.text(_MARGIN, top - 9, heading, size=13, bold=True)
    yield from _axis(frame, top - 9)
    for index in range(0, count, 2):
        yield svg.box(_MARGIN - 8, top + index * row, _WIDTH - 2 * _MARGIN + 16, row, look="band")
    bottom = top + row * max(1, count)
    path = "".join(f"M{svg.number(x)} {svg.number(top)}V{svg.number(bottom)}" for x, _ in _ticks(frame))
    yield f'<path class="gridline" d="{path}"/>'


def _axis(frame: _Frame, y: float) -> Iterator[str]:
    for x, label in _ticks(frame):
        yield svg.text(x, y, label, size=10.5, look="soft", anchor="middle")

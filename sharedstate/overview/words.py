"""What pictures and texts of a timeline say in words: durations, ticks of an axis, short names, outcomes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sharedstate.clock import iso_of_ms
from sharedstate.overview.timeline import ABANDONED, COMPLETE, FAILED, HELD, SWEPT, TAKEN_OVER, Bar, Note, Timeline

_S: Final = 1000
_M: Final = 60 * _S
_H: Final = 60 * _M
_D: Final = 24 * _H
_STEPS_MS: Final = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500, _S, 2 * _S, 5 * _S, 10 * _S, 15 * _S, 30 * _S),
    *(_M, 2 * _M, 5 * _M, 10 * _M, 15 * _M, 30 * _M, _H, 2 * _H, 3 * _H, 6 * _H, 12 * _H),
    *(_D, 2 * _D, 7 * _D, 14 * _D, 30 * _D, 90 * _D, 365 * _D),
)
TICKS_MAX: Final = 12


def duration(ms: int) -> str:
    """A length of time for people: `340 ms`, `2.5 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if ms < _S:
        return f"{ms} ms"
    if ms < _M:
        return f"{ms / _S:.1f} s"
    for big, small, names in ((_D, _H, ("d", "h")), (_H, _M, ("h", "min")), (_M, _S, ("min", "s"))):
        if ms >= big:
            rest = ms % big // small
            return f"{ms // big} {names[0]} {rest} {names[1]}" if rest else f"{ms // big} {names[0]}"
    return f"{ms} ms"


def tick_step_ms(span_ms: int, *, ticks_max: int = TICKS_MAX) -> int:
    """The smallest round step that divides `span_ms` into at most `ticks_max` parts."""
    longest = max(span_ms // (365 * _D * ticks_max) + 1, 1) * 365 * _D
    return next((step for step in _STEPS_MS if span_ms <= step * ticks_max), longest)


def tick_label(offset_ms: int, step_ms: int) -> str:
    """What stands at a tick: the time since the beginning, as exact as the step needs."""
    if offset_ms == 0:
        return "0"
    if step_ms < _S and offset_ms < _M:
        return f"{offset_ms / _S:g} s"
    if step_ms < _M:
        return f"{offset_ms // _S} s" if offset_ms < _M else f"{offset_ms // _M}:{offset_ms % _M // _S:02d} min"
    return duration(offset_ms)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each name without the leading parts (`workstation/`, `sharedstate.`) that all of them share."""
    low, high = (min(names), max(names)) if len(names) > 1 else ("", "")
    same = next((index for index, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low))
    prefix = low[:same]
    end = max((prefix.rfind(separator) for separator in "/.:"), default=-1) + 1
    return {name: name[end:] or name for name in names}


def headline(timeline: Timeline) -> str:
    """One line of counts: tasks, owners, how ownerships ended, how long, since when."""
    since = iso_of_ms(timeline.begin_ms)[:19].replace("T", " ")
    parts = [
        counted(len(timeline.tasks), "task"),
        counted(len(timeline.owners), "owner"),
        counted(len(timeline.bars), "ownership"),
        *(
            f"{timeline.count(*endings)} {words}"
            for words, endings in (
                ("complete", (COMPLETE,)),
                ("failed", (FAILED,)),
                ("given up", (ABANDONED,)),
                ("taken over", (TAKEN_OVER,)),
                ("swept", (SWEPT,)),
                ("still held", (HELD,)),
            )
            if timeline.count(*endings)
        ),
        f"{duration(timeline.end_ms - timeline.begin_ms)} from {since} UTC",
    ]
    return " · ".join(parts)


def counted(count: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def outcome_of(bars: Sequence[Bar], notes: Sequence[Note]) -> tuple[str, str]:
    """How a task stands at the end, in words, and the look of the words (`good`, `bad`, `warn`, `soft`)."""
    if not bars:
        return (notes[-1].kind if notes else "", "soft")
    last = max(bars, key=lambda bar: bar.fence)
    attempts = len({bar.attempt for bar in bars})
    words = {SWEPT: "swept", HELD: "still held", ABANDONED: "given up"}.get(last.ending, last.ending)
    look = {COMPLETE: "good", FAILED: "bad", SWEPT: "warn"}.get(last.ending, "soft")
    spent = duration(sum(bar.end_ms - bar.begin_ms for bar in bars))
    return (f"{words} · {attempts} attempts" if attempts > 1 else f"{words} · {spent}", look)

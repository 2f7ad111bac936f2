"""Fairness between machines: who has just pushed lets others have a turn before the next push.

The remote knows no queue. Who was beaten has to fetch before it pushes again, and a machine that pushes without a
pause beats it every time: of four machines that did nothing but write, three never got one commit in within 8 s. So a
push that would follow the last one at once waits for about two pushes, each time while others are seen to write, and
else once in sixteen times, because those who are always beaten are never seen.
"""

from __future__ import annotations

from typing import Final

from sharedstate_adapters.git.layout import Head
from sharedstate_adapters.git.memo import Memo

STREAK_MAX: Final = 16
YIELD_MS_MAX: Final = 2_000
_RIVAL_PUSHES: Final = 20
_RIVAL_MS_MIN: Final = 1_000
_RIVAL_MS: Final = 10_000


def pause_ms(memo: Memo, *, now_ms: int, spread: float) -> int:
    """How long to wait before the next push; `spread` is between 0 and 1, so that machines do not keep step."""
    if not memo.pushed_ms or now_ms - memo.pushed_ms > memo.push_ms:
        return 0  # there was a pause already
    rival = memo.rival_ms > 0 and now_ms - memo.rival_ms <= max(_RIVAL_MS_MIN, _RIVAL_PUSHES * memo.push_ms)
    if not rival and memo.streak < STREAK_MAX:
        return 0
    return min(YIELD_MS_MAX, int(memo.push_ms * (1 + 2 * spread) * (max(2, memo.rivals) if rival else 2) / 2))


def rivals_in(head: Head, *, writer: str) -> int:
    """How many other machines wrote shortly before the latest one did, by their own clocks."""
    latest_ms = max((one.at_ms for one in head.writers.values()), default=0)
    return sum(name != writer and latest_ms - one.at_ms <= _RIVAL_MS for name, one in head.writers.items())


def after_push(memo: Memo, *, begun_ms: int, now_ms: int) -> Memo:
    """The memo after a push that was applied."""
    at_once = begun_ms - memo.pushed_ms <= memo.push_ms
    streak = memo.streak + 1 if at_once else 0
    return memo.replace(push_ms=max(1, now_ms - begun_ms), pushed_ms=now_ms, streak=streak)

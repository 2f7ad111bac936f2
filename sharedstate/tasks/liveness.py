"""How alive does the holder of a task look? Pure judgements from its last signs of life."""

from __future__ import annotations

from sharedstate.clock import Instant, age_between
from sharedstate.store import Beat
from sharedstate.tasks import outcomes as why
from sharedstate.tasks.model import CLAIMED, TaskState
from sharedstate.tasks.outcomes import Holder
from sharedstate.values import Value


class Rules(Value):
    """What the policies are configured with. `skew_ms`: how far another host's clock may run ahead."""

    retries_max: int = 3
    skew_ms: int = 5000


class Liveness(Value):
    """What is known of the incumbent: `age_ms` since its last sign of life, whether stale, whether proved dead.

    `future`: the last sign of life, when it lies beyond the allowed skew: the observer must remember when it first
    saw it.
    """

    age_ms: int
    stale: bool
    dead: bool
    future: Beat | None = None

    @property
    def takeover(self) -> str | None:
        """The reason for which anybody may take over now, or None while the incumbent is alive."""
        if self.dead:
            return why.OWNER_DEAD
        return why.OWNER_STALE if self.stale else None


def liveness(
    state: TaskState,
    beat: Beat | None,
    now: Instant,
    rules: Rules,
    *,
    dead: bool = False,
    first_seen: Instant | None = None,
) -> Liveness:
    """How alive the holder of `state` looks at `now`.

    Stale means strictly older than the incumbent's own ttl. The claim itself counts as a beat; a beat of another
    fence counts for nothing. A sign of life beyond the allowed skew only matters when no other is fresh; it then
    counts from when it was `first_seen`.
    """
    lease = state.lease
    if lease is None:
        return Liveness(age_ms=0, stale=True, dead=False)
    signs = [Beat(fence=state.fence, seen=lease.began)]
    if beat is not None and beat.fence == state.fence:
        signs.append(beat)
    age_ms, future = _youngest(signs, now, rules)
    if future is not None and (age_ms is None or age_ms > lease.ttl_ms):
        seen_ms = 0 if first_seen is None else age_between(since=first_seen, now=now, skew_ms=rules.skew_ms).ms
        age_ms = seen_ms if age_ms is None else min(age_ms, seen_ms)
    else:
        future = None
    assert age_ms is not None
    return Liveness(age_ms=age_ms, stale=age_ms > lease.ttl_ms, dead=dead, future=future)


def _youngest(signs: list[Beat], now: Instant, rules: Rules) -> tuple[int | None, Beat | None]:
    """The least age among the signs that are not in the future, and the latest sign that is."""
    age_ms, future = None, None
    for sign in signs:
        age = age_between(since=sign.seen, now=now, skew_ms=rules.skew_ms)
        if age.future:
            future = sign
        elif age_ms is None or age.ms < age_ms:
            age_ms = age.ms
    return age_ms, future


def holder_of(task: TaskState, alive: Liveness) -> Holder | None:
    """Who holds the task, with the age of the last sign of life; None when nobody does."""
    if task.lease is None or task.status != CLAIMED:
        return None
    lease = task.lease
    return Holder(owner=lease.owner, fence=task.fence, age_ms=alive.age_ms, ttl_ms=lease.ttl_ms, host=lease.host)

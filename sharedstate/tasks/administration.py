"""Pure decisions of operators and sweeps: end what is dead, check retries, ignore, reopen, archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sharedstate import events
from sharedstate.clock import Instant
from sharedstate.store import Decision
from sharedstate.tasks import outcomes as why
from sharedstate.tasks.liveness import Liveness, Rules
from sharedstate.tasks.model import ABANDONED, CLAIMED, COMPLETE, ENDINGS, NEW, Ignored, TaskState
from sharedstate.tasks.outcomes import Changed, RetryCheck, Swept
from sharedstate.tasks.policy import transition


def decide_sweep(state: TaskState | None, alive: Liveness | None, now: Instant) -> Decision[Swept | None]:
    """End a stale or provably dead attempt as abandoned; what is already ended stays as it is (idempotent)."""
    if state is None or state.lease is None or state.status != CLAIMED or alive is None or alive.takeover is None:
        return Decision(result=None)
    reason = alive.takeover
    swept = Swept(task=state.task, owner=state.lease.owner, fence=state.fence, reason=reason, age_ms=alive.age_ms)
    error = f"swept: {reason}, last seen {alive.age_ms / 1000:.1f} s before"
    ended = state.replace(status=ABANDONED, last_error=error)
    return transition(ended, "swept", now, result=swept, facts={"reason": reason, "age_ms": alive.age_ms})


def check_retry(state: TaskState | None, alive: Liveness | None, *, task: str, rules: Rules) -> RetryCheck:
    """Whether the task may be claimed now, and why (or why not)."""
    reason = _retry_reason(state, alive, rules)
    attempts, retries = (0, 0) if state is None else (state.attempts, state.retries)
    return RetryCheck(
        task=task,
        eligible=reason in (why.NO_PREVIOUS_ATTEMPTS, why.ELIGIBLE_FOR_RETRY),
        reason=reason,
        attempts=attempts,
        retries=retries,
        retries_left=max(0, rules.retries_max - retries),
    )


def _retry_reason(state: TaskState | None, alive: Liveness | None, rules: Rules) -> str:
    if state is None:
        return why.NO_PREVIOUS_ATTEMPTS
    if state.ignored is not None:
        return why.IGNORED
    if state.status == COMPLETE:
        return why.ALREADY_COMPLETE
    if state.status == CLAIMED and alive is not None and alive.takeover is None:
        return why.CURRENTLY_OWNED
    if state.attempts == 0 or state.status == NEW:
        return why.NO_PREVIOUS_ATTEMPTS if state.attempts == 0 else why.ELIGIBLE_FOR_RETRY
    return why.MAX_RETRIES_EXCEEDED if state.retries >= rules.retries_max else why.ELIGIBLE_FOR_RETRY


def decide_ignore(state: TaskState | None, *, task: str, reason: str, by: str, now: Instant) -> Decision[Changed]:
    """Ask the fleet to leave the task alone; a live attempt goes on to its end, nobody begins another."""
    known = state or TaskState(task=task, created_ms=now.at_ms)
    if known.ignored is not None:
        return Decision(result=Changed(task=task, changed=False, status=known.status, detail="already ignored"))
    ignored = known.replace(ignored=Ignored(reason=reason, by=by, at_ms=now.at_ms))
    result = Changed(task=task, changed=True, status=known.status, detail=reason)
    return transition(ignored, "ignored", now, result=result, facts={"reason": reason, "by": by})


def decide_unignore(state: TaskState | None, *, task: str, by: str, now: Instant) -> Decision[Changed]:
    """Let the fleet take the task again."""
    if state is None or state.ignored is None:
        status = NEW if state is None else state.status
        return Decision(result=Changed(task=task, changed=False, status=status, detail="not ignored"))
    result = Changed(task=task, changed=True, status=state.status)
    return transition(state.replace(ignored=None), "unignored", now, result=result, facts={"by": by})


def decide_override(
    state: TaskState | None, *, task: str, status: str, by: str, reason: str, now: Instant
) -> Decision[Changed]:
    """End the task as `status` because a person said so, whoever holds it; its holder's next renew says lost.

    An ended task changes its ending only towards `complete`: what a person calls done is done.
    """
    known = state or TaskState(task=task, created_ms=now.at_ms)
    if known.status == status or (known.status in ENDINGS and status != COMPLETE):
        return Decision(result=Changed(task=task, changed=False, status=known.status, detail="already ended"))
    ended = known.replace(status=status, last_error=None if status == COMPLETE else f"{reason} ({by})")
    result = Changed(task=task, changed=True, status=status, detail=reason)
    return transition(ended, "overridden", now, result=result, facts={"by": by, "reason": reason})


def decide_reopen(state: TaskState | None, *, task: str, by: str, now: Instant) -> Decision[Changed]:
    """Make an ended task claimable again: status `new`, retries start over; fence, attempts and history go on."""
    if state is None or state.status not in ENDINGS:
        status = NEW if state is None else state.status
        return Decision(result=Changed(task=task, changed=False, status=status, detail="not ended"))
    opened = state.replace(status=NEW, retries=0, last_error=None)
    result = Changed(task=task, changed=True, status=NEW, detail=f"was {state.status}")
    return transition(opened, "reopened", now, result=result, facts={"by": by, "previous_status": state.status})


def archived_event(task: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """The journal entry of a terminal record moving out of the way."""
    return events.event("archived", task=task, fence=document["fence"], status=document["status"])

"""Pure decisions about one task: `(state, question, now) -> new state + outcome + events`. No clock, disk or randomness here."""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from typing import Any, Final

from sharedstate import events
from sharedstate.clock import Instant, age_between, iso_of_ms
from sharedstate.ids import Process
from sharedstate.store import BEAT, Beat, Decision
from sharedstate.tasks import outcomes as why
from sharedstate.tasks.model import (
    ABANDONED,
    CLAIMED,
    COMPLETE,
    ENDINGS,
    ERROR_CHARACTERS_MAX,
    FAILED,
    HISTORY_ENTRIES_MAX,
    NEW,
    PRIORITY_DEFAULT,
    Ignored,
    Lease,
    TaskState,
    dump,
)
from sharedstate.tasks.outcomes import (
    Changed,
    Claimed,
    Holder,
    Kept,
    Lost,
    Refused,
    Released,
    RetryCheck,
    Swept,
)
from sharedstate.values import Value


class Rules(Value):
    """What the policies are configured with. `skew_ms`: how far another host's clock may run ahead."""

    retries_max: int = 3
    skew_ms: int = 5000


class Liveness(Value):
    """What is known of the incumbent: `age_ms` since its last sign of life, whether that is stale, whether its death is proved.

    `future`: the last sign of life, when it lies beyond the allowed skew: the observer must remember when it first saw it.
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


class ClaimAsk(Value):
    """One request to claim.

    `digest_known`: fingerprint of the token the asker already holds, if any; `digest_new`: of the token it will hold.
    `exclusive`: the asker is a running process (`process`) and does not share the claim with another running process of the
    same owner.
    `coordinator`: it may use its lower `priority`. `force_reason`: take over in any case, audited. `fence_floor`: the new fence
    is above this too (a ledger elsewhere has given it out already).
    """

    task: str
    owner: str
    digest_new: str
    digest_known: str | None = None
    exclusive: bool = False
    ttl_ms: int
    host: str = ""
    process: Process | None = None
    priority: int = PRIORITY_DEFAULT
    coordinator: bool = False
    force_reason: str | None = None
    reopen: bool = False
    scope: tuple[str, ...] = ()
    meta: Mapping[str, str] = {}
    degraded: bool = False
    fence_floor: int = 0


def liveness(
    state: TaskState, beat: Beat | None, now: Instant, rules: Rules, *, dead: bool = False, first_seen: Instant | None = None
) -> Liveness:
    """How alive the holder of `state` looks at `now`.

    Stale means strictly older than the incumbent's own ttl. The claim itself counts as a beat; a beat of another fence counts
    for nothing; one beyond the allowed skew counts from when it was `first_seen`.
    """
    lease = state.lease
    if lease is None:
        return Liveness(age_ms=0, stale=True, dead=False)
    signs = [Beat(fence=state.fence, seen=lease.began)]
    if beat is not None and beat.fence == state.fence:
        signs.append(beat)
    ages = [age_between(since=sign.seen, now=now, skew_ms=rules.skew_ms) for sign in signs]
    youngest = min(range(len(ages)), key=lambda index: (ages[index].ms, ages[index].future))
    age, future = ages[youngest], None
    if age.future:
        future = signs[youngest]
        if first_seen is not None:
            age = age_between(since=first_seen, now=now, skew_ms=rules.skew_ms)
    return Liveness(age_ms=age.ms, stale=age.ms > lease.ttl_ms, dead=dead, future=future)


# Claim


def decide_claim(
    state: TaskState | None, ask: ClaimAsk, alive: Liveness | None, now: Instant, rules: Rules
) -> Decision[Claimed | Refused]:
    """First come, first served; a fresh claim is never taken over, except by a coordinator or by explicit, audited force."""
    task = state or TaskState(task=ask.task, created_ms=now.at_ms)
    if task.ignored is not None:
        return _refuse(task, why.TASK_IGNORED, f"ignored by {task.ignored.by}: {task.ignored.reason}")
    if task.status == CLAIMED and task.lease is not None and alive is not None:
        return _decide_on_held(task, task.lease, ask, alive, now, rules)
    if task.status == COMPLETE and not ask.reopen:
        return _refuse(task, why.TASK_ALREADY_COMPLETE, "the task is complete; only an explicit reopen starts it again")
    if ask.reopen and task.status in ENDINGS:
        task = task.replace(retries=0)
        return _begin(task, ask, now, outcome="claimed", retry=False, reason="reopened")
    retry = task.status in (FAILED, ABANDONED)
    if retry and task.retries >= rules.retries_max:
        return _refuse(task, why.MAX_RETRIES_EXCEEDED, _exhausted(task, rules))
    return _begin(task, ask, now, outcome="claimed", retry=retry)


def _decide_on_held(
    task: TaskState, lease: Lease, ask: ClaimAsk, alive: Liveness, now: Instant, rules: Rules
) -> Decision[Claimed | Refused]:
    holder = holder_of(task, alive)
    if lease.owner == ask.owner:
        return _decide_on_own(task, lease, ask, alive, now, holder)
    reason = alive.takeover
    if reason is None and ask.coordinator and ask.priority < lease.priority:
        reason = why.COORDINATOR_PRIORITY
    if reason is None and ask.force_reason is not None:
        reason = why.FORCED
    if reason is None:
        return _refuse(task, why.EXISTING_OWNER_ACTIVE, f"held by {lease.owner}", holder=holder)
    if task.retries >= rules.retries_max and reason != why.FORCED:
        return _refuse(task, why.MAX_RETRIES_EXCEEDED, _exhausted(task, rules), holder=holder)
    return _begin(task, ask, now, outcome="taken_over", retry=True, reason=reason)


def _decide_on_own(
    task: TaskState, lease: Lease, ask: ClaimAsk, alive: Liveness, now: Instant, holder: Holder | None
) -> Decision[Claimed | Refused]:
    bound_elsewhere = lease.process is not None and lease.process != ask.process
    same_token = ask.digest_known is not None and compare_digest(ask.digest_known, lease.digest)
    if bound_elsewhere and not alive.dead and not alive.stale and (ask.exclusive or not same_token):
        text = f"held by another running process (pid {lease.process.pid if lease.process else '?'}) of the same owner"
        return _refuse(task, why.EXISTING_OWNER_ACTIVE, text, holder=holder)
    rebind = ask.process is not None and ask.process != lease.process
    if same_token and not rebind and not alive.dead and ask.scope in ((), lease.scope):
        claimed = _claimed(task, lease, now, outcome="already_owned")
        return Decision(result=claimed, write=BEAT, live=task.fence)
    return _begin(task, ask, now, outcome="reclaimed", retry=False)


def _begin(
    task: TaskState, ask: ClaimAsk, now: Instant, *, outcome: str, retry: bool, reason: str | None = None
) -> Decision[Claimed | Refused]:
    going_on = outcome == "reclaimed"
    lease = Lease(
        owner=ask.owner,
        digest=ask.digest_new,
        ttl_ms=ask.ttl_ms,
        began=now,
        host=ask.host,
        priority=ask.priority,
        process=ask.process,
        scope=ask.scope or (task.lease.scope if going_on and task.lease else ()),
        meta=ask.meta or (task.lease.meta if going_on and task.lease else {}),
        degraded=ask.degraded,
    )
    begun = task.replace(
        status=CLAIMED,
        fence=max(task.fence, ask.fence_floor) + 1,
        lease=lease,
        attempts=task.attempts + (0 if going_on else 1),
        retries=task.retries + (1 if retry else 0),
    )
    previous = task.owner if outcome == "taken_over" else None
    if previous is not None:
        begun = begun.replace(last_error=f"taken over from {previous}: {reason}")
    detail = ask.force_reason if reason == why.FORCED else None
    claimed = _claimed(begun, lease, now, outcome=outcome, reason=reason, previous_owner=previous)
    facts = {
        "previous_owner": previous,
        "reason": reason,
        "detail": detail,
        "ttl_ms": lease.ttl_ms,
        "scope": list(lease.scope) or None,
    }
    return _transition(begun, outcome, now, result=claimed, facts=facts)


def _claimed(
    task: TaskState,
    lease: Lease,
    now: Instant,
    *,
    outcome: str,
    reason: str | None = None,
    previous_owner: str | None = None,
) -> Claimed:
    return Claimed(
        task=task.task,
        owner=lease.owner,
        fence=task.fence,
        outcome=outcome,
        attempts=task.attempts,
        retries=task.retries,
        ttl_ms=lease.ttl_ms,
        expires_ms=now.at_ms + lease.ttl_ms,
        reason=reason,
        previous_owner=previous_owner,
        degraded=lease.degraded,
        scope=lease.scope,
        meta=lease.meta,
    )


def _refuse(task: TaskState, reason: str, detail: str, *, holder: Holder | None = None) -> Decision[Claimed | Refused]:
    return Decision(result=Refused(task=task.task, reason=reason, detail=detail, holder=holder))


def _exhausted(task: TaskState, rules: Rules) -> str:
    return f"{task.attempts} attempts begun, {task.retries} of {rules.retries_max} retries used"


# Renew and release


def decide_renew(state: TaskState | None, *, task: str, owner: str, digest: str | None, now: Instant) -> Decision[Kept | Lost]:
    """Refresh the heartbeat of the live attempt with this owner and token; a late renew never revives an ended attempt."""
    if state is None or state.lease is None:
        return Decision(result=Lost(task=task, reason=why.TASK_NOT_FOUND, detail="no such claim"))
    lost = _not_holder(state, state.lease, owner=owner, digest=digest, now=now)
    if lost is not None:
        return Decision(result=lost)
    lease = state.lease
    kept = Kept(
        task=task,
        owner=owner,
        fence=state.fence,
        ttl_ms=lease.ttl_ms,
        expires_ms=now.at_ms + lease.ttl_ms,
        degraded=lease.degraded,
    )
    return Decision(result=kept, write=BEAT, live=state.fence)


def decide_release(
    state: TaskState | None,
    *,
    task: str,
    owner: str,
    digest: str | None,
    status: str,
    error: str | None,
    now: Instant,
) -> Decision[Released | Lost]:
    """End the attempt as `complete`, `failed` or `abandoned`. Terminal is terminal; the same release again changes nothing."""
    if state is None or state.lease is None:
        return Decision(result=Lost(task=task, reason=why.TASK_NOT_FOUND, detail="no such claim"))
    lease = state.lease
    own = lease.owner == owner and digest is not None and compare_digest(digest, lease.digest)
    if own and state.status == status:
        return Decision(result=Released(task=task, owner=owner, fence=state.fence, status=status, repeated=True))
    lost = _not_holder(state, lease, owner=owner, digest=digest, now=now)
    if lost is not None:
        return Decision(result=lost)
    text = None if error is None else error[:ERROR_CHARACTERS_MAX]
    ended = state.replace(status=status, last_error=text if status != COMPLETE else None)
    released = Released(task=task, owner=owner, fence=state.fence, status=status)
    return _transition(ended, "released", now, result=released, facts={"error": text})


def decide_withdraw(
    state: TaskState | None, *, task: str, owner: str, digest: str, conflict: str, now: Instant
) -> Decision[bool]:
    """Take back an attempt that never began (its scope met another's): not counted, but its fence is spent."""
    if state is None or state.lease is None or _not_holder(state, state.lease, owner=owner, digest=digest, now=now):
        return Decision(result=False)
    first = state.attempts <= 1
    back = state.replace(
        status=NEW if first else ABANDONED, attempts=max(0, state.attempts - 1), retries=max(0, state.retries - 1)
    )
    return _transition(back, "conflict", now, result=True, facts={"reason": why.SCOPE_CONFLICT, "detail": conflict})


_ENDED: Final = {
    NEW: why.TASK_NOT_FOUND,
    COMPLETE: why.TASK_ALREADY_COMPLETE,
    FAILED: why.TASK_ALREADY_FAILED,
    ABANDONED: why.TASK_ABANDONED,
}


def _not_holder(state: TaskState, lease: Lease, *, owner: str, digest: str | None, now: Instant) -> Lost | None:
    age = age_between(since=lease.began, now=now, skew_ms=0)
    holder = Holder(owner=lease.owner, fence=state.fence, age_ms=age.ms, ttl_ms=lease.ttl_ms, host=lease.host)
    if state.status != CLAIMED:
        return Lost(task=state.task, reason=_ENDED[state.status], detail=f"the attempt ended as {state.status}")
    if lease.owner != owner:
        return Lost(task=state.task, reason=why.OWNER_MISMATCH, detail=f"held by {lease.owner}", holder=holder)
    if digest is None or not compare_digest(digest, lease.digest):
        text = "the token is not the one of the current attempt" if digest else "no token: this machine does not hold the claim"
        return Lost(task=state.task, reason=why.ATTEMPT_TOKEN_MISMATCH, detail=text, holder=holder)
    return None


# Sweep, retry check, administration


def decide_sweep(state: TaskState | None, alive: Liveness | None, now: Instant) -> Decision[Swept | None]:
    """End a stale or provably dead attempt as abandoned; what is already ended stays as it is (idempotent)."""
    if state is None or state.lease is None or state.status != CLAIMED or alive is None or alive.takeover is None:
        return Decision(result=None)
    reason = alive.takeover
    swept = Swept(task=state.task, owner=state.lease.owner, fence=state.fence, reason=reason, age_ms=alive.age_ms)
    error = f"swept: {reason}, last seen {alive.age_ms / 1000:.1f} s before"
    ended = state.replace(status=ABANDONED, last_error=error)
    return _transition(ended, "swept", now, result=swept, facts={"reason": reason, "age_ms": alive.age_ms})


def check_retry(state: TaskState | None, alive: Liveness | None, *, task: str, rules: Rules) -> RetryCheck:
    """Whether the task may be claimed now, in the words of DESIGN section 5."""
    if state is None or state.attempts == 0 and state.ignored is None:
        return _verdict(task, state, True, why.NO_PREVIOUS_ATTEMPTS, rules)
    if state.ignored is not None:
        return _verdict(task, state, False, why.IGNORED, rules)
    if state.status == COMPLETE:
        return _verdict(task, state, False, why.ALREADY_COMPLETE, rules)
    if state.status == CLAIMED and alive is not None and alive.takeover is None:
        return _verdict(task, state, False, why.CURRENTLY_OWNED, rules)
    if state.retries >= rules.retries_max:
        return _verdict(task, state, False, why.MAX_RETRIES_EXCEEDED, rules)
    return _verdict(task, state, True, why.ELIGIBLE_FOR_RETRY, rules)


def _verdict(task: str, state: TaskState | None, eligible: bool, reason: str, rules: Rules) -> RetryCheck:
    attempts, retries = (0, 0) if state is None else (state.attempts, state.retries)
    left = max(0, rules.retries_max - retries)
    return RetryCheck(task=task, eligible=eligible, reason=reason, attempts=attempts, retries=retries, retries_left=left)


def decide_ignore(
    state: TaskState | None, *, task: str, reason: str, by: str, now: Instant
) -> Decision[Changed]:
    """Ask the fleet to leave the task alone; a live attempt goes on to its end, nobody begins another."""
    known = state or TaskState(task=task, created_ms=now.at_ms)
    if known.ignored is not None:
        return Decision(result=Changed(task=task, changed=False, status=known.status, detail="already ignored"))
    ignored = known.replace(ignored=Ignored(reason=reason, by=by, at_ms=now.at_ms))
    result = Changed(task=task, changed=True, status=known.status, detail=reason)
    return _transition(ignored, "ignored", now, result=result, facts={"reason": reason, "by": by})


def decide_unignore(state: TaskState | None, *, task: str, by: str, now: Instant) -> Decision[Changed]:
    """Let the fleet take the task again."""
    if state is None or state.ignored is None:
        status = NEW if state is None else state.status
        return Decision(result=Changed(task=task, changed=False, status=status, detail="not ignored"))
    result = Changed(task=task, changed=True, status=state.status)
    return _transition(state.replace(ignored=None), "unignored", now, result=result, facts={"by": by})


def decide_reopen(state: TaskState | None, *, task: str, by: str, now: Instant) -> Decision[Changed]:
    """Make an ended task claimable again: status `new`, retries start over; fence, attempts and history go on."""
    if state is None or state.status not in ENDINGS:
        status = NEW if state is None else state.status
        return Decision(result=Changed(task=task, changed=False, status=status, detail="not ended"))
    opened = state.replace(status=NEW, retries=0, last_error=None)
    result = Changed(task=task, changed=True, status=NEW, detail=f"was {state.status}")
    return _transition(opened, "reopened", now, result=result, facts={"by": by, "previous_status": state.status})


def archived_event(task: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """The journal entry of a terminal record moving out of the way."""
    return events.event("archived", task=task, fence=document["fence"], status=document["status"])


def holder_of(task: TaskState, alive: Liveness) -> Holder | None:
    """Who holds the task, with the age of the last sign of life; None when nobody does."""
    if task.lease is None or task.status != CLAIMED:
        return None
    lease = task.lease
    return Holder(owner=lease.owner, fence=task.fence, age_ms=alive.age_ms, ttl_ms=lease.ttl_ms, host=lease.host)


def _transition(task: TaskState, kind: str, now: Instant, *, result: Any, facts: Mapping[str, Any]) -> Decision[Any]:
    """The decision that writes `task` with one more history entry and emits the matching event."""
    known = {name: value for name, value in facts.items() if value is not None}
    owner = None if task.lease is None else task.lease.owner
    entry = {"at": iso_of_ms(now.at_ms), "event": kind, "fence": task.fence, "status": task.status, **known}
    if owner is not None:
        entry["owner"] = owner
    history = (*task.history, entry)[-HISTORY_ENTRIES_MAX:]
    written = task.replace(updated_ms=now.at_ms, history=history)
    emitted = events.event(
        kind,
        task=task.task,
        owner=owner,
        fence=task.fence,
        status=task.status,
        attempt=task.attempts,
        retries=task.retries,
        **known,
    )
    return Decision(result=result, write=dump(written), live=written.live, events=(emitted,))

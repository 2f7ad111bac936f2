"""Pure decisions about one task: `(state, question, now) -> new state + outcome + events`.

No clock, disk or randomness here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sharedstate import events
from sharedstate.clock import Instant, age_between, iso_of_ms
from sharedstate.ids import Process, same_digest
from sharedstate.store import BEAT, Decision
from sharedstate.tasks import outcomes as why
from sharedstate.tasks.liveness import Liveness, Rules, holder_of
from sharedstate.tasks.model import (
    ABANDONED,
    CLAIMED,
    COMPLETE,
    ENDINGS,
    ERROR_CHARACTERS_MAX,
    FAILED,
    HISTORY_ENTRIES_MAX,
    HISTORY_TEXT_CHARACTERS_MAX,
    NEW,
    PRIORITY_DEFAULT,
    Lease,
    TaskState,
    dump,
)
from sharedstate.tasks.outcomes import (
    Claimed,
    Holder,
    Kept,
    Lost,
    Refused,
    Released,
)
from sharedstate.values import Value


class ClaimAsk(Value):
    """One request to claim.

    `digest_known`: fingerprint of the token the asker already holds, if any; `digest_new`: of the token it will hold.
    `exclusive`: the asker is a running process (`process`) and does not share the claim with another running
    process of the same owner. `anew`: the asker begins work, so what its owner holds already is refused, too.
    `coordinator`: it may use its lower `priority`. `force_reason`: take over in any case, audited. `fence_floor`:
    the new fence is above this too (a ledger elsewhere has given it out already). `carried`: the attempt has begun
    in another ledger, with the token behind `digest_new`; if it has ended here already, it does not begin again.
    """

    task: str
    owner: str
    digest_new: str
    digest_known: str | None = None
    exclusive: bool = False
    anew: bool = False
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
    carried: bool = False


_REOPENED: Final = "reopened"

# Claim


def decide_claim(
    state: TaskState | None, ask: ClaimAsk, alive: Liveness | None, now: Instant, rules: Rules
) -> Decision[Claimed | Refused]:
    """First come, first served.

    A fresh claim is never taken over, except by a coordinator or by explicit, audited force.
    """
    task = state or TaskState(task=ask.task, created_ms=now.at_ms)
    if task.ignored is not None:
        return _refuse(task, why.TASK_IGNORED, f"ignored by {task.ignored.by}: {task.ignored.reason}")
    if task.status == CLAIMED and task.lease is not None and alive is not None:
        return _decide_on_held(task, task.lease, ask, alive, now, rules)
    if ask.carried and task.lease is not None and same_digest(ask.digest_new, task.lease.digest):
        return _refuse(task, _ENDED[task.status], f"this attempt has ended as {task.status}")
    if task.status == COMPLETE and not ask.reopen:
        return _refuse(task, why.TASK_ALREADY_COMPLETE, "the task is complete; only an explicit reopen starts it again")
    if ask.reopen and task.status in ENDINGS:
        return _begin(task, ask, now, outcome="claimed", retry=False, reason=_REOPENED)
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
    exhausted = task.retries >= rules.retries_max
    if ask.force_reason is not None and (reason is None or exhausted):
        reason = why.FORCED
    if reason is None:
        return _refuse(task, why.EXISTING_OWNER_ACTIVE, f"held by {lease.owner}", holder=holder)
    if exhausted and reason != why.FORCED:
        return _refuse(task, why.MAX_RETRIES_EXCEEDED, _exhausted(task, rules), holder=holder)
    return _begin(task, ask, now, outcome="taken_over", retry=True, reason=reason)


def _decide_on_own(
    task: TaskState, lease: Lease, ask: ClaimAsk, alive: Liveness, now: Instant, holder: Holder | None
) -> Decision[Claimed | Refused]:
    if ask.anew and alive.takeover is None:
        return _refuse(task, why.TASK_ALREADY_CLAIMED, "this owner has it already", holder=holder)
    bound_elsewhere = lease.process is not None and lease.process != ask.process
    same_token = ask.digest_known is not None and same_digest(ask.digest_known, lease.digest)
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
        retries=0 if reason == _REOPENED else task.retries + (1 if retry else 0),
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
        "previous_status": task.status if task.status != NEW else None,
        "previous_retries": task.retries or None,
    }
    return transition(begun, outcome, now, result=claimed, facts=facts)


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


def decide_renew(
    state: TaskState | None, *, task: str, owner: str, digest: str | None, now: Instant
) -> Decision[Kept | Lost]:
    """Refresh the heartbeat of the live attempt with this owner and token.

    A late renew never revives an ended attempt.
    """
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
    """End the attempt as `complete`, `failed` or `abandoned`.

    Terminal is terminal; the same release again changes nothing.
    """
    if state is None or state.lease is None:
        return Decision(result=Lost(task=task, reason=why.TASK_NOT_FOUND, detail="no such claim"))
    lease = state.lease
    own = lease.owner == owner and (digest is None or same_digest(digest, lease.digest))
    if own and state.status == status:  # without a token, too: its first release took it off this machine's ledger
        return Decision(result=Released(task=task, owner=owner, fence=state.fence, status=status, repeated=True))
    lost = _not_holder(state, lease, owner=owner, digest=digest, now=now)
    if lost is not None:
        return Decision(result=lost)
    # Output of a child process may hold bytes that are no UTF-8; they must not keep the attempt from ending.
    text = None if error is None else error[:ERROR_CHARACTERS_MAX].encode(errors="replace").decode()
    ended = state.replace(status=status, last_error=text if status != COMPLETE else None)
    released = Released(task=task, owner=owner, fence=state.fence, status=status)
    return transition(ended, "released", now, result=released, facts={"error": text})


def decide_withdraw(
    state: TaskState | None, *, owner: str, digest: str, reason: str, conflict: str, now: Instant
) -> Decision[bool]:
    """Take back an attempt that never began (it met another's scope, say): not counted, but its fence is spent.

    The task is again what it was before; only who was taken over, or went on under a new token, has lost it.
    """
    if state is None or state.lease is None or _not_holder(state, state.lease, owner=owner, digest=digest, now=now):
        return Decision(result=False)
    begun = state.history[-1] if state.history else {}
    back = state.replace(status=ABANDONED)
    if begun.get("fence") == state.fence and begun.get("event") in ("claimed", "taken_over"):
        status = begun.get("previous_status", NEW)
        back = state.replace(
            status=ABANDONED if status == CLAIMED else status,
            attempts=state.attempts - 1,
            retries=begun.get("previous_retries", 0),
        )
    return transition(back, "conflict", now, result=True, facts={"reason": reason, "detail": conflict})


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
    if digest is None or not same_digest(digest, lease.digest):
        text = (
            "the token is not the one of the current attempt"
            if digest
            else "no token: this machine does not hold the claim"
        )
        return Lost(task=state.task, reason=why.ATTEMPT_TOKEN_MISMATCH, detail=text, holder=holder)
    return None


def transition(task: TaskState, kind: str, now: Instant, *, result: Any, facts: Mapping[str, Any]) -> Decision[Any]:
    """The decision that writes `task` with one more history entry and emits the matching event.

    The journal has every fact in full; in the history texts are cut and lists left out, so that a hundred entries
    always fit in a record.
    """
    known = {name: value for name, value in facts.items() if value is not None}
    owner = None if task.lease is None else task.lease.owner
    entry = {"at": iso_of_ms(now.at_ms), "event": kind, "fence": task.fence, "status": task.status, **brief(known)}
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


def brief(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a history entry keeps of a transition's facts: texts cut, lists left out."""
    texts = {name: value[:HISTORY_TEXT_CHARACTERS_MAX] for name, value in facts.items() if isinstance(value, str)}
    return {name: texts.get(name, value) for name, value in facts.items() if not isinstance(value, list)}

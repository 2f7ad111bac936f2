"""Both ledgers behind one face: the shared task state decides; while it is away, the local ledger does (`degraded`).

A degraded claim lives in a task state of its own in the machine-local store, under the same policies, and is
carried over to the shared store at the next chance. The shared store's answer then is final: it may refuse, and
the local claim ends.
"""

from __future__ import annotations

from typing import Final

from sharedstate import logs
from sharedstate.claims.ledger import Ledger
from sharedstate.claims.model import LocalClaim
from sharedstate.claims.scopes import Overlap, first_overlap, scopes_of
from sharedstate.clock import Instant, age_between
from sharedstate.errors import Corrupt, InvalidInput, StoreBusy, StoreError, StoreUnavailable
from sharedstate.events import event
from sharedstate.ids import digest_of
from sharedstate.settings import Settings
from sharedstate.store import Store
from sharedstate.tasks import outcomes as why
from sharedstate.tasks.model import ABANDONED, NEW, TaskState, load
from sharedstate.tasks.outcomes import Claimed, Holder, Kept, Lost, Refused, Released, Unverifiable
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import TASKS, Tasks, TaskView

JOURNAL: Final = "events"
_CARRY_TRIES_MAX: Final = 3


class Ledgers:
    """Drives the shared and the local ledger so that they never both report success for two owners.

    `separate`: the shared store is another place than this machine's state root, so that one may fail without the
    other.
    """

    def __init__(
        self, *, shared: Tasks, fallback: Tasks, ledger: Ledger, local_store: Store, settings: Settings, separate: bool
    ) -> None:
        self.shared = shared
        self.fallback = fallback
        self.ledger = ledger
        self._local_store = local_store
        self._settings = settings
        self._separate = separate

    def claim(self, ask: ClaimAsk, *, ttl_given: bool) -> Claimed | Refused:
        """Claim in the shared ledger; in the local one when the shared is off or away and need not be there."""
        if not self._settings.enabled:
            return self._claim_degraded(ask, ttl_given=ttl_given)
        try:
            self.reconcile(ask.task, asker=ask.owner)
            return self.shared.claim(ask)
        except StoreBusy:
            raise
        except StoreUnavailable as error:
            if self._settings.required or not self._separate:
                raise
            logs.warn("shared store away, claiming %r by the local ledger alone: %s", ask.task, error)
            return self._claim_degraded(ask, ttl_given=ttl_given)

    def write_down(self, answer: Claimed, *, token: str) -> Refused | None:
        """Enter an accepted claim in this machine's ledger.

        Returns a refusal, and takes the claim back, when the other ledger has meanwhile accepted another owner here.
        """
        claim = local_claim(answer, token=token, store=self._local_store)
        try:
            met = self.ledger.put(claim)
            if met is not None and met.degraded and not self._is_pending(met):
                met = self.ledger.put(claim, over=met)  # only a leftover: its attempt is over
        except (StoreError, Corrupt) as error:
            if claim.degraded:
                raise
            logs.warn("claim of %r stands, but not in this machine's ledger: %s", claim.task, error)
            return None
        if met is None or answer.outcome == "already_owned":
            return None
        refused = self._refused_by(met)
        self.home_of(answer).withdraw(
            claim.task, owner=claim.owner, digest=digest_of(token), reason=refused.reason, conflict=refused.detail
        )
        return refused

    def renew(self, task: str, *, owner: str, digest: str | None) -> Kept | Lost | Unverifiable:
        """Renew where the claim lives. A store that cannot be asked makes the claim unverifiable, never lost."""
        try:
            home = self._home(task, owner)
            kept = home.renew(task, owner=owner, digest=digest)
        except StoreUnavailable as error:
            return self._renew_without_shared(task, owner=owner, digest=digest, error=error)
        if self._separate and home is self.shared and isinstance(kept, Kept):
            self._touch(task, owner)
        return kept

    def release(self, task: str, *, owner: str, digest: str | None, status: str, error: str | None) -> Released | Lost:
        """End the attempt where it lives; a degraded one stays pending until the shared store has heard of it."""
        home = self.shared
        if self._pending(task) is not None:
            try:
                home = self._home(task, owner)
            except StoreUnavailable as away:
                logs.warn("shared store away, releasing %r in the local ledger: %s", task, away)
                home = self.fallback
        return home.release(task, owner=owner, digest=digest, status=status, error=error)

    def reconcile(self, task: str, *, asker: str | None = None) -> Claimed | Refused | None:
        """Carry a degraded claim of this task over to the shared store; None when there is none.

        One that went stale arrives as abandoned, so that a dead owner gets no fresh lease, unless it is the `asker`.
        Raises `StoreUnavailable` while the shared store is away. A refusal is final: it is journaled as a conflict and
        the local claim ends.
        """
        answer: Claimed | Refused | None = None
        for _ in range(_CARRY_TRIES_MAX):
            pending = self._pending(task)
            if pending is None:
                return answer
            answer = self._carry(pending if pending.owner == asker else self._ended_if_stale(pending))
            if self.fallback.settle(task, known=pending):
                return answer
        return answer  # it changes faster than it can be carried; whoever changes it carries it on

    def pending(self) -> list[str]:
        """Tasks with a degraded claim that the shared store has not heard of yet."""
        views = [view for view in self.fallback.list() if isinstance(view, TaskView)]
        return [view.state.task for view in views if view.state.lease is not None]

    def tidy(self, *, older_than_ms: int) -> None:
        """Forget the fences of degraded claims that were carried over longer ago than that."""
        for view in self.fallback.list(status=NEW):
            if not isinstance(view, TaskView) or view.state.lease is not None or view.state.ignored is not None:
                continue
            if view.now_ms - view.state.updated_ms > older_than_ms:
                self.fallback.forget(view.state.task, known=view.state)

    # Scopes

    def scope_conflict(self, ask: ClaimAsk) -> Overlap | None:
        """The live claim that the scope of `ask` would meet now, as far as can be seen."""
        if self._settings.enabled:
            try:
                return scopes_of(self.shared).conflict(ask.scope, task=ask.task)
            except StoreUnavailable:
                pass  # the claim itself decides what a store that is away means
        now = self._local_store.now()
        held = {
            mine.task: {"owner": mine.owner, "paths": list(mine.scope)}
            for mine in self.ledger.all()
            if mine.scope and not mine.degraded and self._is_held(mine, now)
        }
        return scopes_of(self.fallback).conflict(ask.scope, task=ask.task) or first_overlap(
            ask.scope, held, task=ask.task
        )

    def enter_scope(self, answer: Claimed, *, digest: str, carried: bool = False) -> Overlap | None:
        """Enter the scope of an accepted claim; or take the claim back and say which other one it meets.

        An error of the store takes it back, too, unless it was `carried` over: then the next try enters it.
        """
        home = self.home_of(answer)
        try:
            met = scopes_of(home).enter(answer.scope, task=answer.task, fence=answer.fence, owner=answer.owner)
        except InvalidInput as error:  # the table of scopes is full
            home.withdraw(answer.task, owner=answer.owner, digest=digest, conflict=str(error))
            raise
        except StoreError as error:
            if not carried and answer.outcome in (
                "claimed",
                "taken_over",
            ):  # who held it before goes on under the scope it has
                self._try_withdraw(home, answer, digest=digest, conflict=str(error))
            raise
        if met is not None:
            home.withdraw(answer.task, owner=answer.owner, digest=digest, conflict=met.text())
        return met

    def _try_withdraw(self, home: Tasks, answer: Claimed, *, digest: str, conflict: str) -> None:
        """Who is told of an error holds nothing; where that fails, too, the claim ends with its ttl."""
        try:
            home.withdraw(answer.task, owner=answer.owner, digest=digest, conflict=conflict, reason=StoreError.code)
        except (StoreError, Corrupt) as error:
            logs.warn("claim of %r is not held, and could not be taken back: %s", answer.task, error)

    def home_of(self, answer: Claimed) -> Tasks:
        """The ledger that accepted this claim."""
        return self.fallback if answer.degraded else self.shared

    # Inside

    def _home(self, task: str, owner: str) -> Tasks:
        """Where the claim lives: in the shared ledger, also when it can be carried over there now.

        Raises `StoreUnavailable` when it cannot.
        """
        if self._pending(task) is None:  # nearly always, so one look has to do
            return self.shared
        if self._settings.enabled:
            self.reconcile(task, asker=owner)
        return self.shared if self._pending(task) is None else self.fallback

    def _pending(self, task: str) -> TaskState | None:
        """The degraded attempt of this task, live or ended, that the shared ledger has not heard of."""
        found = self.fallback.store.get(TASKS, task)
        if found is None:
            return None
        state = load(task, found.value)
        return None if state.lease is None else state

    def _ended_if_stale(self, pending: TaskState) -> TaskState:
        view = self.fallback.get(pending.task)
        if view is None or view.alive is None or not view.stale or view.state != pending:
            return pending
        error = f"{view.alive.takeover} while the shared store was away"
        return pending.replace(status=ABANDONED, last_error=error)

    def _is_pending(self, claim: LocalClaim) -> bool:
        pending = self._pending(claim.task)
        return pending is not None and pending.owner == claim.owner

    def _claim_degraded(self, ask: ClaimAsk, *, ttl_given: bool) -> Claimed | Refused:
        local = self.ledger.get(ask.task)
        now = self._local_store.now()
        elsewhere = local is not None and local.owner != ask.owner and not local.degraded
        if local is not None and elsewhere and ask.force_reason is None and self._is_held(local, now):
            return self._refused_by(local)
        # Seconds of wall time are above every fence that was counted up by ones, so fences grow even when the shared
        # ledger cannot be read at all.
        floor = max(now.at_ms // 1000, 0 if local is None else local.fence)
        ttl_ms = ask.ttl_ms if ttl_given else self._settings.owner_stale_ttl_ms
        answer = self.fallback.claim(ask.replace(degraded=True, fence_floor=floor, ttl_ms=ttl_ms))
        if isinstance(answer, Claimed):
            journaled = event("degraded", task=ask.task, owner=ask.owner, fence=answer.fence)
            self._local_store.append(JOURNAL, journaled)
            return answer
        if answer.reason == why.EXISTING_OWNER_ACTIVE:
            return answer.replace(reason=why.TASK_ALREADY_CLAIMED)
        return answer

    def _is_held(self, local: LocalClaim, now: Instant) -> bool:
        """Whether a claim in the shared ledger, known from this machine's, is still alive, as far as can be told.

        On one disk the shared ledger itself can be looked at, even while it is switched off; elsewhere the last
        heartbeat of which this machine knows has to do.
        """
        if not self._separate:
            try:
                view = self.shared.get(local.task)
                return view is not None and view.state.live == local.fence and not view.stale
            except (StoreError, Corrupt):
                pass
        return self.ledger.is_fresh(local, now)

    def _refused_by(self, local: LocalClaim) -> Refused:
        age = age_between(since=local.seen, now=self._local_store.now(), skew_ms=self._settings.clock_skew_ms)
        holder = Holder(owner=local.owner, fence=local.fence, age_ms=age.ms, ttl_ms=local.ttl_ms)
        text = f"held by {local.owner} in this machine's ledger"
        return Refused(task=local.task, reason=why.TASK_ALREADY_CLAIMED, detail=text, holder=holder)

    def _carry(self, pending: TaskState) -> Claimed | Refused:
        lease = pending.lease
        assert lease is not None
        ask = ClaimAsk(
            task=pending.task,
            owner=lease.owner,
            digest_new=lease.digest,
            digest_known=lease.digest,
            ttl_ms=lease.ttl_ms,
            host=lease.host,
            process=lease.process,
            priority=lease.priority,
            scope=lease.scope,
            meta=lease.meta,
            fence_floor=pending.fence,
            carried=True,
        )
        answer = self.shared.claim(ask)
        if isinstance(answer, Refused):
            if not self._known_there(pending.task, lease.digest):
                self._give_up(pending, answer)
            return answer
        met = None
        if answer.scope and pending.live is not None:
            met = self.enter_scope(answer, digest=lease.digest, carried=True)
        if met is not None:
            refused = scope_refused(pending.task, met)
            self._give_up(pending, refused)
            return refused
        self._accept(pending, answer)
        return answer

    def _renew_without_shared(
        self, task: str, *, owner: str, digest: str | None, error: StoreUnavailable
    ) -> Kept | Lost | Unverifiable:
        try:
            if self._pending(task) is not None:
                return self.fallback.renew(task, owner=owner, digest=digest)
        except StoreUnavailable as local_error:
            return Unverifiable(task=task, detail=str(local_error))
        return Unverifiable(task=task, detail=str(error))

    def _accept(self, pending: TaskState, answer: Claimed) -> None:
        lease, task = pending.lease, pending.task
        assert lease is not None
        if pending.live is None:
            self.shared.release(
                task, owner=lease.owner, digest=lease.digest, status=pending.status, error=pending.last_error
            )
        local = self.ledger.get(task)
        if local is not None and local.owner == answer.owner:
            self._put_back(local.replace(fence=answer.fence, degraded=False))
        reconciled = event(
            "reconciled", task=task, owner=answer.owner, fence=answer.fence, previous_fence=pending.fence
        )
        self.shared.store.append(JOURNAL, reconciled)
        logs.info("degraded claim of %r accepted by the shared store, fence %d", task, answer.fence)

    def _give_up(self, pending: TaskState, answer: Refused) -> None:
        lease, task = pending.lease, pending.task
        assert lease is not None
        lost = event(
            "conflict",
            task=task,
            owner=lease.owner,
            fence=pending.fence,
            status=pending.status,
            reason=answer.reason,
            detail=answer.detail,
        )
        self.shared.store.append(JOURNAL, lost)
        try:
            self.ledger.remove(task, owner=lease.owner, fence=pending.fence)
        except (StoreError, Corrupt) as error:
            logs.warn("local claim of %r could not be removed; the next sweep does it: %s", task, error)
        logs.warn("degraded claim of %r refused by the shared store: %s", task, answer.detail)

    def _known_there(self, task: str, digest: str) -> bool:
        """Whether the shared ledger has this very attempt already: another process carried it over meanwhile."""
        view = self.shared.get(task)
        return view is not None and view.state.lease is not None and view.state.lease.digest == digest

    def _touch(self, task: str, owner: str) -> None:
        local = self.ledger.get(task)
        if local is not None and local.owner == owner:
            self._put_back(local.replace(seen=self._local_store.now()))

    def _put_back(self, local: LocalClaim) -> None:
        """Write an entry that stands there already, changed. It is derived: a failure is a warning."""
        try:
            self.ledger.put(local)
        except (StoreError, Corrupt) as error:
            logs.warn("this machine's ledger is behind on %r: %s", local.task, error)


def local_claim(answer: Claimed, *, token: str, store: Store) -> LocalClaim:
    """The local ledger's entry for an accepted claim."""
    return LocalClaim(
        task=answer.task,
        owner=answer.owner,
        token=token,
        fence=answer.fence,
        ttl_ms=answer.ttl_ms,
        degraded=answer.degraded,
        seen=store.now(),
        scope=answer.scope,
    )


def scope_refused(task: str, met: Overlap) -> Refused:
    """The refusal of a claim whose scope meets another's."""
    return Refused(task=task, reason=why.SCOPE_CONFLICT, detail=met.text(), conflict=met.task)

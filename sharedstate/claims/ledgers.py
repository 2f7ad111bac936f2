"""Both ledgers behind one face: the shared task state decides; while it is away, the local ledger does (`degraded`).

A degraded claim lives in a task state of its own in the machine-local store, under the same policies, and is
carried over to the shared store at the next chance. The shared store's answer then is final: it may refuse, and
the local claim ends.
"""

from __future__ import annotations

from sharedstate import logs
from sharedstate.claims.ledger import Ledger
from sharedstate.claims.model import LocalClaim
from sharedstate.clock import age_between
from sharedstate.errors import StoreBusy, StoreUnavailable
from sharedstate.events import event
from sharedstate.settings import Settings
from sharedstate.store import Store
from sharedstate.tasks import outcomes as why
from sharedstate.tasks.model import TaskState, load
from sharedstate.tasks.outcomes import Claimed, Holder, Kept, Lost, Refused, Released, Unverifiable
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import TASKS, Tasks

JOURNAL = "events"


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
            self.reconcile(ask.task)
            return self.shared.claim(ask)
        except StoreBusy:
            raise
        except StoreUnavailable as error:
            if self._settings.required or not self._separate:
                raise
            logs.warn("shared store away, claiming %r by the local ledger alone: %s", ask.task, error)
            return self._claim_degraded(ask, ttl_given=ttl_given)

    def renew(self, task: str, *, owner: str, digest: str | None) -> Kept | Lost | Unverifiable:
        """Renew where the claim lives. A store that cannot be asked makes the claim unverifiable, never lost."""
        try:
            home = self._home(task)
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
                home = self._home(task)
            except StoreUnavailable as away:
                logs.warn("shared store away, releasing %r in the local ledger: %s", task, away)
                home = self.fallback
        return home.release(task, owner=owner, digest=digest, status=status, error=error)

    def reconcile(self, task: str) -> Claimed | Refused | None:
        """Carry a degraded claim of this task over to the shared store; None when there is none.

        Raises `StoreUnavailable` while the shared store is away. A refusal is final: it is journaled as a conflict
        and the local claim ends.
        """
        pending = self._pending(task)
        if pending is None or pending.lease is None:
            return None
        lease = pending.lease
        ask = ClaimAsk(
            task=task,
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
        )
        answer = self.shared.claim(ask)
        if isinstance(answer, Claimed):
            self._accept(task, pending, answer)
        elif not self._known_there(task, lease.digest):
            self._give_up(task, pending, answer)
        self.fallback.forget(task)
        return answer

    def pending(self) -> list[str]:
        """Tasks with a degraded claim that the shared store has not heard of yet."""
        return [view.state.task for view in self.fallback.list() if hasattr(view, "state")]

    # Inside

    def _home(self, task: str) -> Tasks:
        """Where the claim lives: in the shared ledger, also when it can be carried over there now.

        Raises `StoreUnavailable` when it cannot.
        """
        if self._pending(task) is None:  # nearly always, so one look has to do
            return self.shared
        if self._settings.enabled:
            self.reconcile(task)
        return self.shared if self._pending(task) is None else self.fallback

    def _pending(self, task: str) -> TaskState | None:
        found = self.fallback.store.get(TASKS, task)
        return None if found is None else load(task, found.value)

    def _claim_degraded(self, ask: ClaimAsk, *, ttl_given: bool) -> Claimed | Refused:
        local = self.ledger.get(ask.task)
        now = self._local_store.now()
        if local is not None and local.owner != ask.owner and not local.degraded:
            age = age_between(since=local.seen, now=now, skew_ms=self._settings.clock_skew_ms)
            ttl_ms = self._settings.owner_stale_ttl_ms
            if age.ms <= ttl_ms and ask.force_reason is None:
                holder = Holder(owner=local.owner, fence=local.fence, age_ms=age.ms, ttl_ms=ttl_ms)
                text = f"held by {local.owner} in this machine's ledger"
                return Refused(task=ask.task, reason=why.TASK_ALREADY_CLAIMED, detail=text, holder=holder)
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

    def _renew_without_shared(
        self, task: str, *, owner: str, digest: str | None, error: StoreUnavailable
    ) -> Kept | Lost | Unverifiable:
        try:
            if self._pending(task) is not None:
                return self.fallback.renew(task, owner=owner, digest=digest)
        except StoreUnavailable as local_error:
            return Unverifiable(task=task, detail=str(local_error))
        return Unverifiable(task=task, detail=str(error))

    def _accept(self, task: str, pending: TaskState, answer: Claimed) -> None:
        assert pending.lease is not None
        if pending.live is None:
            self.shared.release(
                task,
                owner=pending.lease.owner,
                digest=pending.lease.digest,
                status=pending.status,
                error=pending.last_error,
            )
        local = self.ledger.get(task)
        if local is not None and local.owner == answer.owner:
            self.ledger.put(local.replace(fence=answer.fence, degraded=False))
        reconciled = event(
            "reconciled", task=task, owner=answer.owner, fence=answer.fence, previous_fence=pending.fence
        )
        self.shared.store.append(JOURNAL, reconciled)
        logs.info("degraded claim of %r accepted by the shared store, fence %d", task, answer.fence)

    def _give_up(self, task: str, pending: TaskState, answer: Refused) -> None:
        assert pending.lease is not None
        lost = event(
            "conflict",
            task=task,
            owner=pending.lease.owner,
            fence=pending.fence,
            status=pending.status,
            reason=answer.reason,
            detail=answer.detail,
        )
        self.shared.store.append(JOURNAL, lost)
        self.ledger.remove(task, owner=pending.lease.owner, fence=pending.fence)
        logs.warn("degraded claim of %r refused by the shared store: %s", task, answer.detail)

    def _known_there(self, task: str, digest: str) -> bool:
        """Whether the shared ledger has this very attempt already: another process carried it over meanwhile."""
        view = self.shared.get(task)
        return view is not None and view.state.lease is not None and view.state.lease.digest == digest

    def _touch(self, task: str, owner: str) -> None:
        local = self.ledger.get(task)
        if local is not None and local.owner == owner:
            self.ledger.put(local.replace(seen=self._local_store.now()))


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
    )

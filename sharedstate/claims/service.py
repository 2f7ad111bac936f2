"""Claims: take a task, keep it, end it. The front door of the library's main job."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from sharedstate import logs
from sharedstate.claims import requests
from sharedstate.claims.ledger import Ledger
from sharedstate.claims.ledgers import Ledgers, scope_refused
from sharedstate.claims.model import ClaimMany, LocalClaim, NothingEligible, Recipe, SweepReport
from sharedstate.claims.scopes import check_scope
from sharedstate.errors import Corrupt, InvalidId, StoreError, StoreUnavailable, UnsafeStore
from sharedstate.host import Host
from sharedstate.ids import check_id, digest_of
from sharedstate.settings import Settings
from sharedstate.store import Store
from sharedstate.tasks import outcomes as why
from sharedstate.tasks.model import COMPLETE, PRIORITY_DEFAULT
from sharedstate.tasks.outcomes import Claimed, Kept, Lost, Refused, Released, Unverifiable
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import Tasks, TaskView

if TYPE_CHECKING:
    from sharedstate.claims.hold import Hold
    from sharedstate.claims.pacing import Pacing
    from sharedstate.claims.rights import LaneRights

CANDIDATES_MAX = 100_000


class Claims:
    """Exclusive claims with fences. Safe for threads; open a new `SharedState` after a fork.

    Every method takes `owner` (default: `whoami`). `rights`, those of a chosen lane, bind what takes a claim, not what
    keeps or ends one. Renew and release find the secret token in this machine's
    ledger, so that a later shell needs none; `token` overrides it. Raises `InvalidInput` for bad arguments,
    `StoreError` when the store fails, `Corrupt` when the task's record is unreadable; everything expected is a value.
    """

    def __init__(
        self,
        *,
        ledgers: Ledgers,
        ledger: Ledger,
        local_store: Store,
        host: Host,
        settings: Settings,
        owner: str,
        host_name: str,
        recipe: Recipe | None = None,
        rights: LaneRights | None = None,
    ) -> None:
        self.ledgers = ledgers
        self.tasks: Tasks = ledgers.shared
        self.settings = settings
        self.owner = owner
        self.host = host
        self._ledger = ledger
        self.local_store = local_store
        self.host_name = host_name
        self.recipe = recipe
        self._rights = rights
        self._pacing: Pacing | None = None
        self._pacing_guard = allocate_lock()

    def claim(
        self,
        task: str,
        *,
        owner: str | None = None,
        ttl_ms: int | None = None,
        token: str | None = None,
        meta: Mapping[str, str] | None = None,
        scope: Sequence[str] = (),
        priority: int | None = None,
        force_reason: str | None = None,
        reopen: bool = False,
        bind: bool = False,
        anew: bool = False,
    ) -> Claimed | Refused:
        """Claim a task for `ttl_ms` (10 ms to 30 days; default the stale threshold), to be renewed before it is over.

        `scope`: files or folders the work will touch; refused when another live claim's scope overlaps. `meta`: up
        to 50 texts. `priority`: lower takes over from higher if the owner is a configured coordinator.
        `force_reason`: take over in any case, audited. `reopen`: start an ended task again. `bind`: tie the claim
        to this process, so that its proved death ends the claim at once and no other running process of the same
        owner shares it; without it a claim is a pure lease and lives until its ttl. `anew`: refused, too, while
        this very owner holds it (as `claim_next` asks). Raises `NoRight` where a chosen lane has no right to
        `claim`, or to `force`.
        """
        ask, token_new, token_known = self._ask(
            task,
            owner=owner,
            ttl_ms=ttl_ms,
            token=token,
            meta=meta,
            scope=scope,
            priority=priority,
            force_reason=force_reason,
            reopen=reopen,
            bind=bind,
            anew=anew,
        )
        if self._rights is not None:
            self._check_rights(ask, self._rights)
        met = self.ledgers.scope_conflict(ask) if ask.scope else None
        if met is not None:  # a look before the claim, so that an ordinary refusal writes nothing
            return scope_refused(ask.task, met)
        answer = self.ledgers.claim(ask, ttl_given=ttl_ms is not None)
        if isinstance(answer, Refused):
            self._roll_back(ask, answer)
            return answer
        kept_token = token_known if answer.outcome == "already_owned" and token_known else token_new
        met = self.ledgers.enter_scope(answer, digest=digest_of(kept_token)) if answer.scope else None
        if met is not None:
            return scope_refused(ask.task, met)
        refused = self.ledgers.write_down(answer, token=kept_token)
        if refused is not None:
            return refused
        logs.info("%s %r for %s, fence %d", answer.outcome, answer.task, answer.owner, answer.fence)
        return answer.replace(token=kept_token)

    def claim_next(self, candidates: Iterable[str], **options: Any) -> Claimed | NothingEligible:
        """Claim the first candidate that can be claimed, in the given order; options as in `claim`.

        Ineligible candidates (ignored, held, complete, exhausted) are passed over without a lock and starve nobody. No
        two calls ever get the same attempt, those of one owner included.
        """
        taken = self.claim_many(candidates, slots=1, **options)
        if taken.claimed:
            return taken.claimed[0]
        return NothingEligible(considered=len(taken.refused), refused=taken.refused)

    def claim_many(self, candidates: Iterable[str], *, slots: int, **options: Any) -> ClaimMany:
        """Claim up to `slots` of the candidates in order. What is ineligible, or already this owner's, takes no slot.

        At most 100,000 candidates are looked at. A candidate that is no id, or has an unreadable or planted record, is
        refused with reason `invalid_id`, `corrupt` or `unsafe_store`. If the store fails after some were claimed, those
        are returned, and the last refusal carries the code of the error.
        """
        owner = self.owner_of(options.get("owner"))
        claimed: list[Claimed] = []
        refused: list[Refused] = []
        for candidate in islice(candidates, CANDIDATES_MAX if slots > 0 else 0):
            try:
                answer = self._claim_candidate(candidate, owner, options)
            except StoreError as error:
                if not claimed:
                    raise
                refused.append(Refused(task=candidate, reason=error.code, detail=str(error)))
                break
            if not isinstance(answer, Claimed):
                refused.append(answer)
                continue
            claimed.append(answer)
            if len(claimed) == slots:
                break  # before asking for one more candidate, which may have to be waited for
        if refused and not claimed and all(answer.reason == UnsafeStore.code for answer in refused):
            raise UnsafeStore(refused[0].detail)  # not one candidate is bad, but the store
        return ClaimMany(claimed=tuple(claimed), refused=tuple(refused))

    def renew(self, task: str, *, owner: str | None = None, token: str | None = None) -> Kept | Lost | Unverifiable:
        """Show that the owner is alive. Only `Lost` means stop; `Unverifiable` means go on, but not beyond the ttl."""
        task = check_id(task)
        who, secret = self._credentials(task, owner, token)
        answer = self.ledgers.renew(task, owner=who, digest=None if secret is None else digest_of(secret))
        if isinstance(answer, Lost):
            self._forget_lost(task, who, answer)
        return answer

    def release(
        self,
        task: str,
        *,
        status: str = COMPLETE,
        error: str | None = None,
        owner: str | None = None,
        token: str | None = None,
    ) -> Released | Lost:
        """End the attempt as `complete`, `failed` (with `error`, cut at 2,000 characters) or `abandoned`.

        A repeated release is fine.
        """
        task = check_id(task)
        who, secret = self._credentials(task, owner, token)
        digest = None if secret is None else digest_of(secret)
        answer = self.ledgers.release(task, owner=who, digest=digest, status=status, error=error)
        if isinstance(answer, Released):
            self._forget(task, who, answer.fence)
            logs.info("released %r as %s, fence %d", task, answer.status, answer.fence)
        else:
            self._forget_lost(task, who, answer)
        return answer

    def hold(self, task: str, **options: Any) -> Hold:
        """`with claims.hold("T-1") as claim:` claims bound to this process, renews in the background, releases.

        The outcome is the body's: `complete`, or `failed` with its exception. Options as in `claim`, and `on_lost`,
        `on_unverifiable`, `renewal` as in `Hold`. Entering raises `ClaimRefused` when the claim is refused.
        """
        from sharedstate.claims.hold import Hold

        return Hold(self, task, options)

    def pacing(self) -> Pacing:
        """What renews the holds of this object in the background; one per process, made by the first hold."""
        from sharedstate.claims.pacing import Pacing

        with self._pacing_guard:
            if self._pacing is None or self._pacing.pid != self.host.pid():
                self._pacing = Pacing.of(self)
            return self._pacing

    def sweep(self, *, dry_run: bool = False, limit: int = 10_000) -> SweepReport:
        """End stale and dead claims, carry degraded ones over, archive old ended tasks, tidy up.

        Idempotent, at most `limit` changes.
        """
        from sharedstate.claims.sweep import run_sweep

        return run_sweep(self, self._ledger, self.local_store, dry_run=dry_run, limit=limit)

    def local(self, task: str) -> LocalClaim | None:
        """What this machine's ledger knows of its claim of the task, token included; None when it holds none."""
        return self._ledger.get(check_id(task))

    def owner_of(self, owner: str | None) -> str:
        """The canonical owner for whom a claim by `owner` is made; None is this state's own."""
        return requests.owner_of(owner, default=self.owner, host=self.host_name)

    def close(self) -> None:
        """End the background process of the holds, if there is one; the next hold starts another."""
        if self._pacing is not None and self._pacing.pid == self.host.pid():
            self._pacing.close()

    # Inside

    def _ask(
        self, task: str, *, owner: str | None, token: str | None, ttl_ms: int | None, **given: Any
    ) -> tuple[ClaimAsk, str, str | None]:
        """The request as a value, with the token that a new attempt gets and the one already known."""
        task = check_id(task)
        who = self.owner_of(owner)
        local = self._ledger.get(task)
        mine = local is not None and local.owner == who
        known = requests.check_token(token) or (local.token if local is not None and mine else None)
        fresh = token or self.host.entropy(20).hex()
        process = self.host.process(self.host.pid()) if given["bind"] else None
        priority = PRIORITY_DEFAULT if given["priority"] is None else given["priority"]
        ask = ClaimAsk(
            task=task,
            owner=who,
            digest_new=digest_of(fresh),
            digest_known=None if known is None else digest_of(known),
            exclusive=given["bind"],
            anew=given["anew"],
            ttl_ms=requests.check_ttl(ttl_ms, default=self.settings.stale_threshold_ms),
            host=self.host_name,
            process=process,
            priority=requests.check_priority(priority),
            coordinator=requests.is_coordinator(who, self.settings.coordinators, host=self.host_name),
            force_reason=requests.check_force_reason(given["force_reason"]),
            reopen=given["reopen"],
            scope=check_scope(given["scope"]),
            meta=requests.check_meta(given["meta"]),
        )
        return ask, fresh, known

    def _check_rights(self, ask: ClaimAsk, rights: LaneRights) -> None:
        rights.need("claim", about=ask.task, by=ask.owner)
        if ask.force_reason is not None:
            rights.need("force", about=ask.task, by=ask.owner)

    def _claim_candidate(self, candidate: str, owner: str, options: Mapping[str, Any]) -> Claimed | Refused:
        try:
            view = self._look(check_id(candidate))
            if view is not None:
                reason = requests.ineligible(view, owner=owner, retries_max=self.settings.max_retries, options=options)
                if reason is not None:
                    return Refused(task=view.state.task, reason=reason, detail="not eligible now")
            return self.claim(candidate, anew=True, **options)
        except (InvalidId, Corrupt, UnsafeStore) as error:
            return Refused(task=str(candidate), reason=error.code, detail=str(error))

    def _look(self, task: str) -> TaskView | None:
        """A candidate in the ledger that would decide about it, seen without a lock."""
        if self.settings.enabled:
            try:
                return self.tasks.get(task)
            except StoreUnavailable:
                pass  # the claim itself decides what a store that is away means
        return self.ledgers.fallback.get(task)

    def _credentials(self, task: str, owner: str | None, token: str | None) -> tuple[str, str | None]:
        who = self.owner_of(owner)
        if token is not None:
            return who, requests.check_token(token)
        local = self._ledger.get(task)
        return who, local.token if local is not None and local.owner == who else None

    def _roll_back(self, ask: ClaimAsk, refused: Refused) -> None:
        """A refusal is final: a local claim of this owner that says otherwise ends.

        Unless a sibling process of the owner has it, or the task is ignored and its live attempt goes on.
        """
        if refused.reason == why.TASK_IGNORED or (refused.holder is not None and refused.holder.owner == ask.owner):
            return
        local = self._ledger.get(ask.task)
        if local is not None and local.owner == ask.owner:
            self._forget(ask.task, ask.owner, local.fence)

    def _forget(self, task: str, owner: str, fence: int) -> None:
        try:
            self._ledger.remove(task, owner=owner, fence=fence)
        except (StoreError, Corrupt) as error:
            logs.warn("local claim of %r could not be removed; the next sweep does it: %s", task, error)

    def _forget_lost(self, task: str, owner: str, lost: Lost) -> None:
        local = self._ledger.get(task)
        if local is None or local.owner != owner:
            return
        gone = lost.reason != why.ATTEMPT_TOKEN_MISMATCH or (
            lost.holder is not None and lost.holder.fence > local.fence
        )
        if gone:
            self._forget(task, owner, local.fence)

"""Task states over a store: read, decide by policy, write, emit. The shared ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from sharedstate.clock import Instant
from sharedstate.errors import Corrupt, InvalidInput
from sharedstate.host import Host
from sharedstate.ids import check_id
from sharedstate.store import BEAT, DELETE, KEEP, Beat, Decision, Snapshot, Store, Unreadable, Versioned, is_optimistic
from sharedstate.tasks import administration, policy
from sharedstate.tasks import outcomes as why
from sharedstate.tasks.liveness import Liveness, Rules, liveness
from sharedstate.tasks.model import ENDINGS, Document, TaskState, dump, load
from sharedstate.tasks.outcomes import (
    Changed,
    Claimed,
    Kept,
    Lost,
    Refused,
    Released,
    RetryCheck,
    Swept,
)
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.sightings import Sightings
from sharedstate.values import Value

TASKS = "tasks"
ARCHIVE = "archive"
REASON_CHARACTERS_MAX = 500
T = TypeVar("T")


class TaskView(Value):
    """A task as a reader sees it: its state, how alive its holder looks now, its last beat.

    `now_ms` is when that was judged, Unix milliseconds of the store's clock.
    """

    state: TaskState
    alive: Liveness | None
    beat: Beat | None
    revision: int
    now_ms: int
    archived: bool = False

    @property
    def stale(self) -> bool:
        """Whether anybody may take the task over from its holder now."""
        return self.alive is not None and self.alive.takeover is not None


class Statistics(Value):
    """Counts over all readable tasks: by status, how many of the claimed are stale, attempts and retries in all."""

    by_status: dict[str, int]
    stale: int
    ignored: int
    attempts: int
    retries: int
    unreadable: int


class Tasks:
    """The shared ledger. Safe for threads; every change is one transaction and one journal entry.

    Methods raise `InvalidId` for bad ids, `StoreError` when the store fails, `Corrupt` when this task's record is
    unreadable.
    """

    def __init__(self, store: Store, *, host: Host, rules: Rules, sightings: Sightings) -> None:
        self.store = store
        self._host = host
        self._rules = rules
        self._sightings = sightings
        self._optimistic = is_optimistic(store)

    # Reading

    def get(self, task: str) -> TaskView | None:
        """One task, archived ones included, or None when it was never heard of.

        Never blocked by a writer; writes nothing.
        """
        task = check_id(task)
        found = self.store.get(TASKS, task)
        archived = found is None
        if found is None:
            found = self.store.get(ARCHIVE, task)
        return None if found is None else self._view(found, archived=archived)

    def list(
        self,
        *,
        status: str | None = None,
        owner: str | None = None,
        stale: bool | None = None,
        archived: bool = False,
    ) -> Iterator[TaskView | Unreadable]:
        """Tasks in no order, filtered. Without `status` every task; `status="claimed"` reads only the live ones."""
        live_only = status == "claimed" and not archived
        for found in self.store.scan(ARCHIVE if archived else TASKS, live_only=live_only):
            if isinstance(found, Unreadable):
                yield found
                continue
            if archived and self.store.get(TASKS, found.key) is not None:
                continue  # it came back; its archived copy is only history
            try:
                view = self._view(found, archived=archived)
            except Corrupt as error:
                yield Unreadable(name=found.key, reason=str(error))
                continue
            if _matches(view, status=status, owner=owner, stale=stale):
                yield view

    def statistics(self) -> Statistics:
        """Counts over all tasks (reads all of them)."""
        by_status: dict[str, int] = {}
        stale = ignored = attempts = retries = unreadable = 0
        for view in self.list():
            if isinstance(view, Unreadable):
                unreadable += 1
                continue
            by_status[view.state.status] = by_status.get(view.state.status, 0) + 1
            stale += view.stale
            ignored += view.state.ignored is not None
            attempts += view.state.attempts
            retries += view.state.retries
        return Statistics(
            by_status=by_status, stale=stale, ignored=ignored, attempts=attempts, retries=retries, unreadable=unreadable
        )

    def retry_check(self, task: str) -> RetryCheck:
        """Whether the task may be claimed now, and why. Reads only."""
        view = self.get(task)
        state, alive = (None, None) if view is None else (view.state, view.alive)
        return administration.check_retry(state, alive, task=check_id(task), rules=self._rules)

    # Changing

    def claim(self, ask: ClaimAsk) -> Claimed | Refused:
        """Decide one claim in one transaction, or, where that takes a lock, refuse it after a look without one."""
        refused = None if self._optimistic else self._refused_at_a_glance(ask)
        if refused is not None:
            return refused
        return self._transact_judged(
            ask.task,
            lambda state, alive, snapshot: policy.decide_claim(state, ask, alive, snapshot.now, self._rules),
        )

    def renew(self, task: str, *, owner: str, digest: str | None) -> Kept | Lost:
        """Refresh the heartbeat of the attempt with this owner and token fingerprint; writes no record."""
        return self._transact(
            task,
            lambda state, snapshot: policy.decide_renew(state, task=task, owner=owner, digest=digest, now=snapshot.now),
        )

    def release(
        self, task: str, *, owner: str, digest: str | None, status: str, error: str | None = None
    ) -> Released | Lost:
        """End the attempt with this owner and token fingerprint as `complete`, `failed` or `abandoned`."""
        if status not in ENDINGS:
            raise InvalidInput(f"status must be one of {', '.join(ENDINGS)}, not {status!r}")
        return self._transact(
            task,
            lambda state, snapshot: policy.decide_release(
                state, task=task, owner=owner, digest=digest, status=status, error=error, now=snapshot.now
            ),
        )

    def withdraw(self, task: str, *, owner: str, digest: str, conflict: str, reason: str = why.SCOPE_CONFLICT) -> bool:
        """Take back a claim that must not begin; True when it was this owner's. `conflict` says what it met."""
        return self._transact(
            task,
            lambda state, snapshot: policy.decide_withdraw(
                state, owner=owner, digest=digest, reason=reason, conflict=conflict, now=snapshot.now
            ),
        )

    def settle(self, task: str, *, known: TaskState) -> bool:
        """Leave nothing of a task but its fence, if it is still as `known`: the rest has moved to another ledger."""

        def decide(state: TaskState | None, snapshot: Snapshot) -> Decision[bool]:
            if state != known:
                return Decision(result=False)
            now_ms = snapshot.now.at_ms
            left = TaskState(task=task, fence=known.fence, created_ms=known.created_ms, updated_ms=now_ms)
            return Decision(result=True, write=dump(left))

        return self._transact(task, decide)

    def forget(self, task: str, *, known: TaskState | None = None) -> bool:
        """Remove a task's record altogether, fence included; with `known` only if it is still as known."""

        def decide(state: TaskState | None, snapshot: Snapshot) -> Decision[bool]:
            removed = snapshot.value is not None and known in (None, state)
            return Decision(result=removed, write=DELETE if removed else KEEP)

        return self._transact(task, decide)

    def sweep(self, task: str) -> Swept | None:
        """End the live attempt of this task as abandoned if it is stale or provably dead now."""
        return self._transact_judged(
            task, lambda state, alive, snapshot: administration.decide_sweep(state, alive, snapshot.now)
        )

    def ignore(self, task: str, *, reason: str, by: str) -> Changed:
        """Ask the fleet to leave the task alone until `unignore`; `reason` has 1-500 characters."""
        task = check_id(task)
        reason = check_reason(reason)
        return self._transact(
            task,
            lambda state, snapshot: administration.decide_ignore(
                state, task=task, reason=reason, by=by, now=snapshot.now
            ),
        )

    def unignore(self, task: str, *, by: str) -> Changed:
        """Let the fleet take the task again."""
        task = check_id(task)
        return self._transact(
            task, lambda state, snapshot: administration.decide_unignore(state, task=task, by=by, now=snapshot.now)
        )

    def override(self, task: str, *, status: str, by: str, reason: str) -> Changed:
        """End the task as `status` because a person decided so, whoever holds it: the holder's next renew says lost.

        `reason` has 1-500 characters. What has ended stays as it ended, unless `status` is `complete`: what a person
        calls done is done.
        """
        task = check_id(task)
        reason = check_reason(reason)
        if status not in ENDINGS:
            raise InvalidInput(f"status must be one of {', '.join(ENDINGS)}, not {status!r}")
        return self._transact(
            task,
            lambda state, snapshot: administration.decide_override(
                state, task=task, status=status, by=by, reason=reason, now=snapshot.now
            ),
        )

    def reopen(self, task: str, *, by: str) -> Changed:
        """Make an ended task claimable again; retries start over, fence and history go on."""
        task = check_id(task)
        return self._transact(
            task, lambda state, snapshot: administration.decide_reopen(state, task=task, by=by, now=snapshot.now)
        )

    def archive(self, task: str, *, older_than_ms: int) -> bool:
        """Move one ended task, unchanged for `older_than_ms`, out of the way; its fence stays known.

        True when moved.
        """

        def due(snapshot: Snapshot) -> TaskState | None:
            if snapshot.value is None:
                return None
            state = load(task, snapshot.value)
            old = snapshot.now.at_ms - state.updated_ms > older_than_ms
            return state if old and state.status in ENDINGS and state.ignored is None else None

        def look(snapshot: Snapshot) -> Decision[Document | None]:
            return Decision(result=None if due(snapshot) is None else snapshot.value)

        document = self.store.transact(TASKS, task, look)
        if document is None:
            return False

        def keep(snapshot: Snapshot) -> Decision[bool]:
            older = snapshot.value is not None and _age_rank(snapshot.value) > _age_rank(document)
            return Decision(result=False) if older else Decision(result=True, write=document)

        def remove(snapshot: Snapshot) -> Decision[bool]:
            # Compared by content: revisions begin anew when a task comes back, and this may stand still for days.
            if snapshot.value != document or due(snapshot) is None:
                return Decision(result=False)
            return Decision(result=True, write=DELETE, events=(administration.archived_event(task, document),))

        return self.store.transact(ARCHIVE, task, keep) and self.store.transact(TASKS, task, remove)

    # Inside

    def _transact(self, task: str, decide: Callable[[TaskState | None, Snapshot], Decision[T]]) -> T:
        return self._carried(task, lambda snapshot: decide(self._state(task, snapshot), snapshot))

    def _transact_judged(
        self, task: str, decide: Callable[[TaskState | None, Liveness | None, Snapshot], Decision[T]]
    ) -> T:
        """As `_transact`, with the holder's liveness; a beat from the future is remembered once the decision stands."""
        suspects: list[Beat] = []

        def judged(snapshot: Snapshot) -> Decision[T]:
            state = self._state(task, snapshot)
            alive = self._judge(state, snapshot.beat, snapshot.now)
            if alive is not None and alive.future is not None:
                suspects.append(alive.future)
            return decide(state, alive, snapshot)

        result = self._carried(task, judged)
        for beat in suspects[-1:]:
            self._sightings.note(task, beat)
        return result

    def _carried(self, task: str, decide: Callable[[Snapshot], Decision[T]]) -> T:
        """A decision made and carried out. A record that calls itself claimed, with nobody alive in it, is damaged."""
        beats: list[bool] = []

        def noted(snapshot: Snapshot) -> Decision[T]:
            decision = decide(snapshot)
            beats.append(decision.write is BEAT)
            return decision

        try:
            return self.store.transact(TASKS, task, noted)
        except InvalidInput as error:
            if not beats or not beats[-1]:
                raise
            raise Corrupt(f"task {task}: says that it is claimed, and nobody is alive in it") from error

    def _refused_at_a_glance(self, ask: ClaimAsk) -> Refused | None:
        """The refusal that a look without a lock justifies, or None.

        A refusal writes nothing, so it only has to be true of one moment, and the look is one. It keeps the many who
        ask for a held task out of the queue of the one who holds it.
        """
        try:
            found = self.store.get(TASKS, ask.task)
            state = None if found is None else load(ask.task, found.value)
        except Corrupt:
            return None  # the transaction keeps its bytes
        if found is None or state is None:
            return None
        now = self.store.now()
        alive = self._judge(state, found.beat, now)
        if alive is not None and alive.future is not None:
            return None  # to be remembered, under the lock
        answer = policy.decide_claim(state, ask, alive, now, self._rules).result
        return answer if isinstance(answer, Refused) else None

    def _state(self, task: str, snapshot: Snapshot) -> TaskState | None:
        """The state in the snapshot; of an archived task the archived one, so that its fence goes on growing."""
        if snapshot.value is not None:
            return load(task, snapshot.value)
        archived = self.store.get(ARCHIVE, task)
        return None if archived is None else load(task, archived.value)

    def _view(self, found: Versioned, *, archived: bool) -> TaskView:
        state = load(found.key, found.value)
        now = self.store.now()
        return TaskView(
            state=state,
            alive=self._judge(state, found.beat, now),
            beat=found.beat,
            revision=found.revision,
            now_ms=now.at_ms,
            archived=archived,
        )

    def _judge(self, state: TaskState | None, beat: Beat | None, now: Instant) -> Liveness | None:
        if state is None or state.live is None or state.lease is None:
            return None
        dead = state.lease.process is not None and self._host.is_dead(state.lease.process)
        alive = liveness(state, beat, now, self._rules, dead=dead)
        if alive.future is None:
            return alive
        first_seen = self._sightings.first_seen(state.task, alive.future)
        return liveness(state, beat, now, self._rules, dead=dead, first_seen=first_seen)


def check_reason(reason: object) -> str:
    """The audited reason of a person: 1 to 500 characters that are not blank, without those around it."""
    text = reason.strip() if isinstance(reason, str) else ""
    if not 1 <= len(text) <= REASON_CHARACTERS_MAX:
        raise InvalidInput(f"a reason has 1 to {REASON_CHARACTERS_MAX} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("the reason contains a lone surrogate") from None
    return text


def _age_rank(document: Document) -> tuple[int, str]:
    """Orders the states of one task: by fence, then by the moment of the last change."""
    return document["fence"], document["updated_at"]


def _matches(view: TaskView, *, status: str | None, owner: str | None, stale: bool | None) -> bool:
    if status is not None and view.state.status != status:
        return False
    if owner is not None and view.state.owner != owner:
        return False
    return stale is None or view.stale is stale

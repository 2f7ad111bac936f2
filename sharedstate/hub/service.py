"""The hub: contexts that everybody sees, events that nobody misses, over the shared store or, meanwhile, over files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sharedstate import jsonio, logs
from sharedstate.clock import Instant
from sharedstate.errors import Corrupt, InvalidInput, StoreError
from sharedstate.host import Host
from sharedstate.hub import policy
from sharedstate.hub.ends import Ends
from sharedstate.hub.events import Events
from sharedstate.hub.joining import decide_join, decide_settle
from sharedstate.hub.journals import OFFLINE
from sharedstate.hub.model import (
    CONTEXTS,
    JOURNAL,
    MODES,
    AgentContext,
    Mode,
    Reconciled,
    Told,
    Unified,
    load_context,
)
from sharedstate.hub.policy import UNCHANGED, Change, Update
from sharedstate.hub.retention import decide_drop, forget_tombstones, is_old_tombstone, is_outdated
from sharedstate.hub.waiting import Waiting
from sharedstate.ids import check_id
from sharedstate.store import Decision, Snapshot, Store, Unreadable, Versioned

if TYPE_CHECKING:
    from sharedstate.hub.recording import Recording

T = TypeVar("T")
PATCH_BYTES_MAX: Final = 256 * 1024


class Hub:
    """Contexts and events of a fleet. Safe for threads.

    `shared` is where everybody looks; `local` this machine's own store, which takes over while `shared` is away and is
    brought together with it afterwards: newer wins on either side, by version, never by place. They are the same object
    where the shared store is this machine's files. `writer` names this machine in versions. Methods raise
    `InvalidInput` for bad arguments; with a single store `StoreError`, else only when the local one fails.
    """

    def __init__(self, *, shared: Store, local: Store, host: Host, writer: str, skew_ms: int = 5_000) -> None:
        self._ends = Ends(shared=shared, local=local, host=host)
        self._host = host
        self._writer = writer
        self._skew_ms = skew_ms
        self._waiting = Waiting(local)
        self._blocked: dict[str, str] = {}
        self.events = Events(self._ends, host=host, writer=writer)

    @property
    def degraded(self) -> bool:
        """Whether the shared store was away when it was last asked."""
        return self._ends.degraded

    # Contexts

    def update(
        self,
        agent: str,
        patch: Mapping[str, Any] | None = None,
        mode: Mode = "merge",
        *,
        status: Change = UNCHANGED,
        ttl_ms: Any = UNCHANGED,
    ) -> AgentContext:
        """Change what everybody knows of an agent; what changes nothing is a mere sign of life and writes no record.

        `merge` applies the patch as RFC 7396 says (null removes a name); `replace` puts it in place of the context.
        `status` and `ttl_ms` are changed only when given: no name in a patch ever touches them.
        """
        agent, wanted = check_id(agent, what="agent"), {} if patch is None else _checked(patch)
        if mode not in MODES:
            raise InvalidInput(f"mode is one of {', '.join(MODES)}, not {mode!r}")
        if not isinstance(status, policy.Unchanged):
            status = policy.check_status(status)
        if not isinstance(ttl_ms, policy.Unchanged):
            ttl_ms = policy.check_ttl(ttl_ms)
        if patch is None and mode == "replace":
            raise InvalidInput("replace needs the whole new context")
        update = Update(patch=wanted, mode=mode, writer=self._writer, status=status, ttl_ms=ttl_ms)
        self._join()

        def change(store: Store) -> AgentContext:
            made = store.transact(
                CONTEXTS, agent, lambda snapshot: policy.decide_update(snapshot, agent, update), journal=JOURNAL
            )
            if made.version.number == 1:  # perhaps the first event of the journal
                self.events.name_journal(store)
            return made

        answered, made, _ = self._ends.try_shared(change)
        if not answered or made is None:
            return self._apart(agent, lambda snapshot: policy.decide_update(snapshot, agent, update, apart=True))
        self._keep_copy(made)
        return made

    def delete(self, agent: str) -> bool:
        """Take an agent out; False when it was not there. A tombstone keeps older copies from coming back."""
        agent = check_id(agent, what="agent")
        self._join()

        def remove(snapshot: Snapshot, *, apart: bool = False) -> Decision[bool]:
            return policy.decide_delete(snapshot, agent, writer=self._writer, apart=apart)

        answered, removed, _ = self._ends.try_shared(
            lambda store: store.transact(CONTEXTS, agent, remove, journal=JOURNAL)
        )
        if not answered:
            return self._apart(agent, partial(remove, apart=True))
        if removed and not self._ends.single:
            self._copy_from_shared(agent)
        return bool(removed)

    def beat(self, agent: str) -> bool:
        """Show that an agent is alive, without a change; False for one without a context."""
        agent = check_id(agent, what="agent")
        self._join()

        def beat(store: Store) -> bool:
            return store.transact(CONTEXTS, agent, lambda snapshot: policy.decide_beat(snapshot, agent))

        answered, known, _ = self._ends.try_shared(beat)
        return beat(self._ends.local) if not answered else bool(known)

    def context(self, agent: str) -> AgentContext | None:
        """What is known of an agent, None when nothing is. Raises `Corrupt` when its record cannot be read."""
        agent = check_id(agent, what="agent")
        self._join()

        def look(store: Store) -> AgentContext | None:
            found = store.get(CONTEXTS, agent)
            return None if found is None else self._seen(found, store.now())

        answered, found, _ = self._ends.try_shared(look)
        chosen = found if answered else look(self._ends.local)
        return None if chosen is None or chosen.deleted else chosen

    def unified(self) -> Unified:
        """Everybody's context."""
        self._join()
        answered, found, _ = self._ends.try_shared(self._unified)
        if answered and found is not None:
            return found
        return self._unified(self._ends.local).replace(degraded=True)

    def reconcile(self) -> Reconciled:
        """Bring both ends together: the newer of two contexts goes to the other side, what waits is forwarded.

        Nothing older ever replaces something newer; where both are the same, nothing is written. Does nothing while
        the shared store is away, or where there is only one. Raises `StoreError` when this machine's own store fails,
        after all that could be done.
        """
        if self._ends.single:
            return Reconciled(taken=0, given=0, forwarded=0)
        seen, faults = self._waiting.seen(), list[StoreError]()
        answered, done, _ = self._ends.try_shared(lambda shared: self._reconciled(shared, faults))
        if faults:
            raise faults[0]
        if answered and seen is not None:
            self._waiting.joined(seen)
        return done if answered and done is not None else Reconciled(taken=0, given=0, forwarded=0)

    def forget(self) -> int:
        """Remove the tombstones of a month ago on both ends; how many. Does nothing while the shared store is away."""
        answered, count, _ = self._ends.try_shared(forget_tombstones)
        if not answered or self._ends.single:
            return count or 0
        return (count or 0) + forget_tombstones(self._ends.local)

    # Records of work; more of them are in `sharedstate.hub.recording`

    def record_task(self, agent: str, task_id: str, status: str, result: Any = None) -> AgentContext:
        """Tell that an agent has brought a task to a status; see `Recording.task`."""
        return self._recording().task(agent, task_id, status, result)

    def record_proposal(self, agent: str, proposal_id: str, outcome: str, result: Any = None) -> AgentContext:
        """Tell what became of a proposal; see `Recording.proposal`."""
        return self._recording().proposal(agent, proposal_id, outcome, result)

    # Events

    def publish(self, event: Mapping[str, Any]) -> None:
        """Tell everybody. Kept on this machine while the shared store is away, and forwarded once, in order."""
        self._join()
        self.events.publish(event)

    def subscribe(self, after: str = "", *, timeout_s: float | None = None, poll_s: float = 1.0) -> Iterator[Told]:
        """Every event after a cursor (empty: from the first; `now`: only new ones), then those to come.

        Ends after `timeout_s` seconds (None: never). Hints of the store make it quick; without any of them it looks
        every `poll_s` seconds. Where events may be missing, a `Gap` with a snapshot comes first. While the shared store
        is away, which an `Outage` tells, it gives what this machine keeps, and afterwards what was missed: each once.
        """
        return self.events.subscribe(after, snapshot=self.unified, timeout_s=timeout_s, poll_s=poll_s)

    # Inside

    def _recording(self) -> Recording:
        from sharedstate.hub.recording import Recording

        return Recording(self, self._ends.shared)

    def _join(self) -> None:
        """After an outage, whoever noticed it, bring both ends together before anything else is done."""
        if self._ends.single or not (self._ends.degraded or self._waiting.seen() is not None):
            return
        try:
            self.reconcile()
        except Corrupt as error:  # how far events were forwarded: contexts are together, these wait for the doctor
            logs.warn("events of this machine wait: %s", error)
        except StoreError as error:  # of this machine: the shared store has what it could get, and the work goes on
            logs.warn("this machine's copy of the hub is behind: %s", error)

    def _apart(self, agent: str, decide: Callable[[Snapshot], Decision[T]]) -> T:
        """On this machine alone, and marked as such, so that every process here joins first. It is told when joined."""
        self.events.name_spool()
        mark = self._host.entropy(8).hex()

        def marked(snapshot: Snapshot) -> Decision[T]:
            decision = decide(snapshot)
            return decision.replace(events=tuple({**event, "id": mark} for event in decision.events))

        answer = self._ends.local.transact(CONTEXTS, agent, marked, journal=OFFLINE)
        if answer:  # else there was nobody to delete
            self._waiting.kept()
        return answer

    def _reconciled(self, shared: Store, faults: list[StoreError]) -> Reconciled:
        """`faults` takes those of this machine's own store: they are no outage of the shared one."""
        here, there = self._loaded(self._ends.local, faults), self._loaded(shared)
        now_ms = shared.now().at_ms
        taken = given = 0
        for agent in sorted(here.keys() | there.keys()):
            mine, theirs = here.get(agent), there.get(agent)
            try:
                if mine is not None and mine.apart is not None:
                    given += self._rejoin(shared, mine, faults)
                    continue
                if mine is not None and is_outdated(mine, theirs, now_ms=now_ms):
                    shared.get(CONTEXTS, agent)  # what it cannot read, it has not forgotten: that raises `Corrupt`
                    with _noting(faults):
                        self._drop(mine)
                    mine = None
                if theirs is not None and policy.is_newer(theirs, mine):
                    with _noting(faults):
                        taken += not is_old_tombstone(theirs, now_ms=now_ms) and self._adopt(self._ends.local, theirs)
                elif mine is not None and policy.is_newer(mine, theirs):
                    given += self._adopt(shared, mine)
            except (Corrupt, InvalidInput) as error:
                self._tell_blocked(agent, str(error))
        forwarded = self.events.forward(shared)
        if given or forwarded:
            self.events.name_journal(shared)
        return Reconciled(taken=taken, given=given, forwarded=forwarded)

    def _tell_blocked(self, agent: str, reason: str) -> None:
        """One side cannot be read, or does not take what the other has; the others go on. Told once."""
        if self._blocked.get(agent) != reason:
            self._blocked[agent] = reason
            logs.warn("the context of %s is not the same on both ends: %s", agent, reason)

    def _drop(self, mine: AgentContext) -> None:
        """What the shared store has forgotten."""
        self._ends.local.transact(CONTEXTS, mine.agent, lambda snapshot: decide_drop(snapshot, mine))

    def _rejoin(self, shared: Store, mine: AgentContext, faults: list[StoreError]) -> bool:
        """What was changed on this machine alone, with what others have made of the agent meanwhile."""
        made = shared.transact(
            CONTEXTS,
            mine.agent,
            lambda snapshot: decide_join(snapshot, mine, writer=self._writer),
            journal=JOURNAL,
        )
        with _noting(faults):
            self._ends.local.transact(
                CONTEXTS, mine.agent, lambda snapshot: decide_settle(snapshot, mine, made), journal=JOURNAL
            )
        return made.version.writer == self._writer

    def _adopt(self, store: Store, context: AgentContext) -> bool:
        return store.transact(
            CONTEXTS,
            context.agent,
            lambda snapshot: policy.decide_adopt(snapshot, context, told=store is self._ends.shared),
            journal=JOURNAL,
            derived=store is self._ends.local,
        )

    def _loaded(self, store: Store, faults: list[StoreError] | None = None) -> dict[str, AgentContext]:
        found: dict[str, AgentContext] = {}
        rows: list[Versioned | Unreadable] = []
        with nullcontext() if faults is None else _noting(faults):
            rows += store.scan(CONTEXTS)
        now = store.now()
        for one in rows:
            if isinstance(one, Unreadable):
                continue  # told by `unified` and by the doctor; it is neither given nor overwritten
            try:
                found[one.key] = self._seen(one, now)
            except Corrupt:
                continue
        return found

    def _keep_copy(self, made: AgentContext) -> None:
        """This machine's copy, for the time when the shared store is away; the next reconciliation makes up for it."""
        if self._ends.single:
            return
        try:
            self._adopt(self._ends.local, made)
        except (StoreError, Corrupt):
            pass

    def _copy_from_shared(self, agent: str) -> None:
        try:
            found = self._ends.shared.get(CONTEXTS, agent)
            if found is not None:
                self._keep_copy(load_context(agent, found.value))
        except (StoreError, Corrupt):
            pass

    def _unified(self, store: Store) -> Unified:
        contexts: list[AgentContext] = []
        unreadable: list[str] = []
        rows = list(store.scan(CONTEXTS))
        now = store.now()  # once: of a server it is a question
        for one in rows:
            try:
                if isinstance(one, Unreadable):
                    unreadable.append(one.name)
                elif not (context := self._seen(one, now)).deleted:
                    contexts.append(context)
            except Corrupt:
                assert isinstance(one, Versioned)
                unreadable.append(one.key)
        contexts.sort(key=lambda context: context.agent)
        return Unified(contexts=tuple(contexts), at_ms=now.at_ms, unreadable=tuple(sorted(unreadable)))

    def _seen(self, found: Versioned, now: Instant) -> AgentContext:
        return policy.seen_by(load_context(found.key, found.value), found.beat, now, skew_ms=self._skew_ms)


@contextmanager
def _noting(faults: list[StoreError]) -> Generator[None]:
    try:
        yield
    except StoreError as error:
        faults.append(error)


def _checked(patch: object) -> dict[str, Any]:
    """A patch as a JSON object; anything that would not come back as it is, is refused."""
    if not isinstance(patch, Mapping):
        raise InvalidInput(f"a patch is an object, not {type(patch).__name__}")
    try:
        raw = jsonio.encode(dict(patch))
        whole = jsonio.decode(raw, what="the patch")
        jsonio.encode({"apart": {"context": whole}})  # as deep as it may come to stand
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"a patch is a JSON object: {error}") from None
    if len(raw) > PATCH_BYTES_MAX:
        raise InvalidInput(f"a patch of {len(raw)} bytes; at most {PATCH_BYTES_MAX} are allowed")
    return whole

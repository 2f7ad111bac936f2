"""How transitions of one machine reach the remote: staged one by one as commits, pushed together, judged exactly.

A writer stages its commit upon the latest one of this machine, under a lock that is held for the decision only. Then it
waits for the push lock; who gets it pushes all that is staged by then, whoever staged it, and the others find theirs
applied: one round trip for many. A push says which commit it expects there, so nothing of another machine is ever lost.

Whether a commit was applied is never guessed. Each says in `head.json` which one of which chain of this machine it is,
and that stands in the tree: it survives answers that got lost, processes that were killed, and squashed histories. A
chain ends when the remote moved on without it; then it can never be applied any more, and its transitions are decided
again. A push that is still under way after its process was killed carries the same commits: late, it changes nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from sharedstate import logs
from sharedstate.errors import OutcomeUnknown, StoreBusy, StoreUnavailable
from sharedstate.host import Host
from sharedstate.values import Value
from sharedstate_adapters.git import turns
from sharedstate_adapters.git.commits import Commits, State
from sharedstate_adapters.git.home import Home
from sharedstate_adapters.git.memo import LOST, OVER, REFUSED, Memo, Waiting
from sharedstate_adapters.git.objects import Item
from sharedstate_adapters.git.paths import Path
from sharedstate_adapters.git.remote import Fate, Remote

R = TypeVar("R")
VAIN_MAX: Final[Mapping[Fate, int]] = {"unknown": 3, "beaten": 6, "refused": 1}
GRACE_S: Final = 10.0
PUSH_SHARE: Final = 0.6
_NAP_S: Final = 0.05


class Draft(Value, Generic[R]):
    """What an attempt wants: its result, and the files to change (none: it only looked). `subject` names it."""

    result: R
    changes: dict[Path, Item | None]
    subject: str = ""


class Staged(Value, Generic[R]):
    """An attempt upon `base`, and its place in the chain: none when it only looked at what is confirmed."""

    result: R
    base: State
    chain: str = ""
    count: int = 0
    wrote: bool = False


class Chain:
    """The way to the remote. Safe for threads and processes of one machine."""

    def __init__(
        self, home: Home, remote: Remote, commits: Commits, *, host: Host, history_max: int, stale_s: float
    ) -> None:
        self._home = home
        self._remote = remote
        self._commits = commits
        self._host = host
        self._history_max = history_max
        self._stale_s = stale_s
        self._fetching = threading.Lock()
        self._begun = 0
        self._last: tuple[int, str] = (0, "")

    # Looking

    def fresh(self, *, deadline_s: float) -> State:
        """The state that the remote has now: it was asked after this call began (perhaps for another thread)."""
        state = self._commits.state(self._fetched(deadline_s))
        self._noted(state)
        return state

    # Writing

    def stage(self, attempt: Callable[[State], Draft[R]], *, deadline_s: float) -> Staged[R]:
        """Run `attempt` upon the latest state of this machine and put its commit on the way."""
        while True:
            self._home.staging.acquire(deadline_s=deadline_s)
            try:
                memo = self._home.memo.load()
                if memo.synced and not self._is_stale(memo):
                    return self._staged(memo, attempt)
            finally:
                self._home.staging.release()
            self._clean(deadline_s=deadline_s)

    def settle(self, staged: Staged[R], *, deadline_s: float) -> bool:
        """Whether the commit (or all that a look was based upon) is applied; False when it must be decided again.

        Raises `StoreUnavailable` when the remote cannot be reached or refuses (`OutcomeUnknown` when it may have taken
        it), `StoreBusy` when others took too long.
        """
        vain: Counter[Fate] = Counter()
        while True:
            verdict = self._verdict(staged, self._home.memo.load())
            if verdict is not None:
                return verdict
            self._take_push_lock(staged, deadline_s=deadline_s)
            try:
                memo = self._home.memo.load()
                if self._verdict(staged, memo) is not None:
                    continue
                memo = self._after_turn_of_others(memo)
                self._push(memo, vain, deadline_s=deadline_s)
            finally:
                self._home.pushing.release()
            if vain:
                self._host.sleep(self._nap_s(vain) * (0.5 + self._host.entropy(1)[0] / 512))

    def _take_push_lock(self, staged: Staged[R], *, deadline_s: float) -> None:
        try:
            self._home.pushing.acquire(deadline_s=deadline_s)
        except StoreBusy as error:
            if not staged.wrote:
                raise
            # It is on its way: whoever holds the lock may be pushing it.
            raise OutcomeUnknown(f"{error}; nobody knows whether the change was taken", hint=_LOST_HINT) from None

    def rebuild(self, generation: int, forget: Callable[[], None], *, deadline_s: float, why: str) -> None:
        """Put our own repository aside and fetch everything anew, unless somebody did since `generation`.

        Nothing is lost: what was applied is at the remote, what was on its way is decided again.
        """
        self._home.pushing.acquire(deadline_s=deadline_s)
        try:
            memo = self._home.memo.load()
            if memo.generation == generation:
                logs.warn("git store: this machine's copy is damaged (%s); fetching it anew", why)
                self._home.staging.acquire(deadline_s=deadline_s)
                try:
                    self._home.set_aside()
                    self._home.make_repository(deadline_s=deadline_s)
                    self._home.memo.save(self._home.memo.load().replace(generation=generation + 1, synced=False))
                finally:
                    self._home.staging.release()
            forget()
            self._sync(deadline_s=deadline_s)
            if memo.generation == generation:
                self._change(lambda held: held.with_chain_ended(OVER, chain=self._home.memo.new_chain()))
        finally:
            self._home.pushing.release()

    # Staging, under its lock

    def _staged(self, memo: Memo, attempt: Callable[[State], Draft[R]]) -> Staged[R]:
        base = self._commits.state(memo.tip)
        draft = attempt(base)
        waits = bool(memo.waiting)
        if not draft.changes:
            chain = memo.chain if waits else ""
            return Staged(result=draft.result, base=base, chain=chain, count=memo.count)
        count = memo.count + 1
        oid = self._commits.write(
            base,
            draft.changes,
            writer=memo.writer,
            chain=memo.chain,
            count=count,
            subject=draft.subject,
            squash=base.head.depth >= self._history_max and not memo.keeps_history,
        )
        waiting = Waiting(oid=oid, count=count, boot_ms=self._host.now().boot_ms)
        self._home.memo.save(memo.replace(count=count, waiting=(*memo.waiting, waiting), unpacked=memo.unpacked + 1))
        return Staged(result=draft.result, base=base, chain=memo.chain, count=count, wrote=True)

    def _is_stale(self, memo: Memo) -> bool:
        """Whether something waits whose writer cannot be there any more: nobody waits that long."""
        if not memo.waiting:
            return False
        return self._host.now().boot_ms - memo.waiting[0].boot_ms > self._stale_s * 1000

    def _clean(self, *, deadline_s: float) -> None:
        """Ask the remote; drop what others left waiting when they were killed."""
        self._home.pushing.acquire(deadline_s=deadline_s)
        try:
            self._sync(deadline_s=deadline_s)
            self._change(self._without_stale)
        finally:
            self._home.pushing.release()

    def _without_stale(self, memo: Memo) -> Memo:
        return memo.with_chain_ended(LOST, chain=self._home.memo.new_chain()) if self._is_stale(memo) else memo

    # Pushing, under the push lock

    def _after_turn_of_others(self, memo: Memo) -> Memo:
        """The memo once others had their turn: more may wait here by then."""
        pause_ms = turns.pause_ms(memo, now_ms=self._host.now().boot_ms, spread=self._host.entropy(1)[0] / 255)
        if not pause_ms:
            return memo
        self._host.sleep(pause_ms / 1000)
        return self._home.memo.load()

    def _verdict(self, staged: Staged[R], memo: Memo) -> bool | None:
        if not staged.chain:
            return True
        if memo.chain == staged.chain:
            return True if memo.done >= staged.count else None
        ended = memo.ended.get(staged.chain)
        if ended is not None and ended.done >= staged.count:
            return True
        if not staged.wrote or (ended is not None and ended.how == OVER):
            return False
        if ended is not None and ended.how == REFUSED:
            raise StoreUnavailable(f"{self._remote.shown} refused: {ended.why}", hint=_REFUSED_HINT)
        why = f": {ended.why}" if ended is not None and ended.why else ""
        raise OutcomeUnknown(f"{self._remote.shown}: nobody knows whether it took the change{why}", hint=_LOST_HINT)

    def _push(self, memo: Memo, vain: Counter[Fate], *, deadline_s: float) -> None:
        """Push all that waits. `vain` counts the pushes after which the remote is where it was; the last gives up."""
        oid, count, begun_ms = memo.tip, memo.waiting[-1].count, self._host.now().boot_ms
        # Some time is left to find out what became of it.
        push_s = PUSH_SHARE * max(0.0, deadline_s - self._host.monotonic_s())
        pushed = self._remote.push(oid, expected=memo.known, deadline_s=self._host.monotonic_s() + push_s)
        if pushed.fate == "applied":
            state = self._commits.state(oid)
            now_ms = self._host.now().boot_ms
            self._change(
                lambda held: turns.after_push(_confirmed(held, state, count), begun_ms=begun_ms, now_ms=now_ms)
            )
            return
        vain[pushed.fate] += 1
        last = vain[pushed.fate] >= VAIN_MAX[pushed.fate]
        try:
            self._sync(deadline_s=deadline_s)
        except StoreUnavailable as error:
            if pushed.fate == "unknown" and not last:
                return
            # Whoever waits is told so now; else it would be pushed by whoever writes next, behind their backs. It may
            # have been part of an earlier push whose answer was lost, so that even a refused one settles nothing.
            self._end(LOST, why=f"{pushed.why}; {error}")
            return
        held = self._home.memo.load()
        if pushed.fate == "refused":
            self._refused(memo, held, why=pushed.why)
        elif held.known != memo.known:
            vain.clear()
        elif pushed.fate == "unknown":
            self._change(lambda held: held.replace(doubt=True))
            if last:
                self._end(LOST, why=pushed.why)
        elif last or self._is_too_late(vain, begun_ms=begun_ms, deadline_s=deadline_s):
            # Beaten by nobody: the ref is locked there, perhaps for good by a server that died.
            self._end(REFUSED, why=pushed.why)

    def _is_too_late(self, vain: Counter[Fate], *, begun_ms: int, deadline_s: float) -> bool:
        """Whether another try like the last would not come to its end, after which nobody would know any more."""
        took_s = (self._host.now().boot_ms - begun_ms) / 1000
        return deadline_s - self._host.monotonic_s() < self._nap_s(vain) + took_s / PUSH_SHARE + _NAP_S

    def _nap_s(self, vain: Counter[Fate]) -> float:
        return _NAP_S * (1 << vain.total()) if vain else 0.0

    def _refused(self, memo: Memo, held: Memo, *, why: str) -> None:
        """The remote does not take it. Where it only minds a history that begins anew, that is not done again."""
        depths = [self._commits.state(commit).head.depth for commit in (memo.known, memo.tip)]
        if depths[1] > depths[0] or held.keeps_history:
            self._end(REFUSED, why=why)
            return
        logs.warn("git store: %s takes no squashed history (%s); it grows on", self._remote.shown, why)
        self._change(lambda memo: memo.replace(keeps_history=True))
        self._end(OVER)

    def _end(self, how: str, *, why: str = "") -> None:
        def ended(held: Memo) -> Memo:
            # A refusal says nothing of an earlier push whose answer was lost: that may still arrive.
            known = LOST if held.doubt and how == REFUSED else how
            return held.with_chain_ended(known, chain=self._home.memo.new_chain(), why=why)

        self._change(ended)

    # What the remote has

    def _sync(self, *, deadline_s: float) -> None:
        """Ask the remote and take over what it has."""
        state = self._commits.state(self._fetched(deadline_s))
        self._change(lambda held: self._merged(held, state))

    def _merged(self, memo: Memo, state: State) -> Memo:
        """The memo once `state` was seen at the remote. What waits and is not in it is over."""
        head = state.head
        if state.commit == memo.known:
            return memo if memo.synced else memo.replace(synced=True)
        mine = head.writers.get(memo.writer)
        latest = max(head.writers.values(), key=lambda writer: (writer.serial, writer.at_ms), default=None)
        if latest is not None and latest != mine:
            rivals = turns.rivals_in(head, writer=memo.writer)
            memo = memo.replace(rival_ms=self._host.now().boot_ms, rivals=rivals, streak=0)
        goes_on = any(one.oid == state.commit for one in memo.waiting)
        done = max(memo.done, mine.count) if mine is not None and mine.chain == memo.chain else memo.done
        left = tuple(one for one in memo.waiting if one.count > done)
        memo = memo.replace(
            known=state.commit,
            serial=head.serial,
            identity=head.identity,
            synced=True,
            done=done,
            waiting=left,
            doubt=False,  # what was expected there is gone for ever: whatever is still under way is refused
        )
        if left and not goes_on:
            memo = memo.with_chain_ended(OVER, chain=self._home.memo.new_chain())
        self._home.mark_known(state.commit)
        return memo

    def _noted(self, state: State) -> None:
        """What a reader found is what the next writer builds upon, when nothing waits and nobody is at it."""
        memo = self._home.memo.load()
        if (memo.known == state.commit and memo.synced) or memo.waiting or not self._home.staging.acquire_now():
            return
        try:
            memo = self._home.memo.load()
            if not memo.waiting and (state.head.serial >= memo.serial):
                self._home.memo.save(self._merged(memo, state))
        finally:
            self._home.staging.release()

    def _change(self, change: Callable[[Memo], Memo]) -> None:
        # What the remote answered must not get lost: there is some time for it beyond the deadline.
        self._home.staging.acquire(deadline_s=self._host.monotonic_s() + GRACE_S)
        try:
            memo = self._home.memo.load()
            after = change(memo)
            if after != memo:
                self._home.memo.save(after)
                self._home.mark_known(after.known)
        finally:
            self._home.staging.release()

    def _fetched(self, deadline_s: float) -> str:
        """The commit at the remote; of threads that ask at once, one does."""
        asked = self._begun
        if not self._fetching.acquire(timeout=max(0.0, deadline_s - self._host.monotonic_s())):
            raise StoreUnavailable(f"{self._remote.shown}: no answer in time")
        try:
            number, commit = self._last
            if number > asked:
                return commit
            before = self._home.memo.load()
            self._begun += 1
            number = self._begun
            commit = self._remote.fetch(deadline_s=deadline_s)
            self._check_goes_on(before, commit)
            self._last = (number, commit)
            return commit
        finally:
            self._fetching.release()

    def _check_goes_on(self, before: Memo, commit: str) -> None:
        """A state that was there and is gone, or went back, would give out fences again: nothing goes on then."""
        if commit == before.known or not before.known:
            return
        if not commit:
            raise StoreUnavailable(f"{self._remote.shown} is gone; it was at {before.known}", hint=_GONE_HINT)
        head = self._commits.state(commit).head
        if head.identity != before.identity or head.serial < before.serial:
            raise StoreUnavailable(
                f"{self._remote.shown} went back, or is another state: {before.known} was transition {before.serial},"
                f" now it is {commit}, transition {head.serial}",
                hint=_GONE_HINT,
            )


_REFUSED_HINT: Final = "may this account push to that ref? `git push` by hand shows what the remote says"
_LOST_HINT: Final = "look at the state before trying again, once the remote can be reached"
_GONE_HINT: Final = (
    "whoever administers the remote should put the last state back; docs/git-store.md, Recovery, says how"
)


def _confirmed(memo: Memo, state: State, count: int) -> Memo:
    left = tuple(one for one in memo.waiting if one.count > count)
    head = state.head
    return memo.replace(
        known=state.commit,
        serial=head.serial,
        identity=head.identity,
        done=count,
        waiting=left,
        doubt=False,
        synced=True,
    )

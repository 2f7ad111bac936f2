"""Records on issues: look, let a decision be made, carry it out. One try at a time; `store` repeats and locks."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from typing import Final, Generic

from sharedstate.clock import Instant
from sharedstate.documents import check_decision, entry_bytes, record_bytes
from sharedstate.errors import Corrupt
from sharedstate.host import Host
from sharedstate.store import BEAT, DELETE, KEEP, Beat, Decision, Document, Snapshot, T, Unreadable, Versioned
from sharedstate.values import Value
from sharedstate_adapters.github.chain import Carrier, Head, head_of
from sharedstate_adapters.github.comment import SigningKey
from sharedstate_adapters.github.commit import Committer
from sharedstate_adapters.github.issue_log import IssueLog, NoIssue, Patience
from sharedstate_adapters.github.keys import Keys, Place
from sharedstate_adapters.github.recall import Recall, completed
from sharedstate_adapters.github.store_issue import StoreIssue
from sharedstate_adapters.github.transition import AFTER_MAX, NONCE_BYTES, Heartbeat, Mark, Transition, render

_SETTLED_MS: Final = 300_000  # no list of GitHub lags behind a comment for so long
_FRESH_MS: Final = 5_000  # older decisions are made anew before they are sent
_LATE_MS: Final = 75_000  # a renewal this long after the last sign of life may have met a takeover: it looks again


class Done(Value, Generic[T]):
    """A decision that stands, and the revision of the record since."""

    decision: Decision[T]
    revision: int


class Slot(Value):
    """Where one record stands: its place (None: the store issue, which is not there yet), collection and key."""

    place: Place | None
    collection: str
    key: str

    @property
    def what(self) -> str:
        """What messages call it."""
        return f"{self.collection}/{self.key}"


class Records:
    """The records of one repository. Readers come as they like; `attempt` is for one thread at a time."""

    def __init__(
        self,
        log: IssueLog,
        *,
        keys: Keys,
        committer: Committer,
        issue: StoreIssue,
        recall: Recall,
        signing: SigningKey | None,
        now: Callable[[], Instant],
        host: Host,
    ) -> None:
        self._log = log
        self._keys = keys
        self._committer = committer
        self._issue = issue
        self._recall = recall
        self._signing = signing
        self._now = now
        self._host = host
        self._deciding: dict[int, tuple[Place | None, tuple[Carrier, ...]]] = {}

    @property
    def deciding(self) -> bool:
        """Whether this thread is making a decision right now."""
        return get_ident() in self._deciding

    # Reading

    def get(self, collection: str, key: str, patience: Patience) -> Versioned | None:
        """The current record; inside a decision as it was when that began."""
        slot = self.slot(collection, key, patience)
        try:
            head = self._head(slot, patience)
        except NoIssue:
            return None
        return None if head is None else _versioned(key, _sound(head, slot))

    def scan(self, collection: str, patience: Patience, *, live_only: bool) -> list[Versioned | Unreadable]:
        """Every record of a collection, from one list of all comments."""
        found: list[Versioned | Unreadable] = []
        for number, carriers in self._log.look_everywhere(patience).items():
            place = Place(repository=self._log.name, number=number)
            for key in sorted({one.mark.key for one in carriers if one.mark.collection == collection}):
                slot = self.slot(collection, key, patience)
                if slot.place == place:
                    found += self._shown(slot, self._head(slot, patience, carriers), live_only=live_only)
        return found

    # Writing

    def attempt(
        self, slot: Slot, decide: Callable[[Snapshot], Decision[T]], patience: Patience, *, derived: bool
    ) -> Done[T] | None:
        """Make the decision and carry it out; None when it has to be made again, upon what stands then."""
        # Memory first: what another process of this machine adds in between is on GitHub by then.
        remembered = None if slot.place is None else self._recall.get(slot.place, slot.collection, slot.key)
        carriers = self._look(slot.place, patience)
        by_ms = self._host.now().boot_ms + _FRESH_MS  # counted from the look: what happens after it is not known
        head, lost = completed(head_of(_of(slot, carriers)), remembered)
        if lost:
            self._restore(slot, patience)
            return None
        if head is not None and not derived:
            _sound(head, slot)
        if head is not None and slot.place is not None and not self._is_settled(head, remembered):
            carriers, head = self._settled(slot, slot.place, head, carriers, patience)
            if head is None:
                return None
            by_ms = self._host.now().boot_ms + _FRESH_MS
        snapshot = _snapshot(head, self._now())
        decision = self._decided(slot, carriers, decide, snapshot)
        self._check(slot, head, decision)
        if not self._carry_out(slot, head, snapshot, decision, patience, by_ms=by_ms):
            return None
        return Done(decision=decision, revision=snapshot.revision + isinstance(decision.write, dict))

    def _check(self, slot: Slot, head: Head | None, decision: Decision[T]) -> None:
        """What no record, beat or journal can carry is refused before anything is posted."""
        step = None if head is None else head.transition
        check_decision(decision, alive=None if step is None else step.live, what=slot.what)
        for event in decision.events:
            entry_bytes(event)
        if isinstance(decision.write, dict):
            record_bytes(decision.write, what=slot.what)

    def _carry_out(
        self,
        slot: Slot,
        head: Head | None,
        snapshot: Snapshot,
        decision: Decision[T],
        patience: Patience,
        *,
        by_ms: int,
    ) -> bool:
        """False when the decision has to be made anew."""
        write = decision.write
        if write is KEEP or (write is DELETE and snapshot.value is None):
            return True
        if write is BEAT and head is not None and decision.live is not None:
            return self._beat(slot, head, decision.live, snapshot.now, patience, by_ms=by_ms)
        return self._advance(slot, head, snapshot, decision, patience, by_ms=by_ms)

    def _advance(
        self,
        slot: Slot,
        head: Head | None,
        snapshot: Snapshot,
        decision: Decision[T],
        patience: Patience,
        *,
        by_ms: int,
    ) -> bool:
        """Make the next step; a deletion is one too, without a value."""
        value: Document | None = decision.write if isinstance(decision.write, dict) else None
        live = None if value is None else decision.live
        now_ms = snapshot.now.at_ms
        before = None if head is None or head.transition is None else head.transition.live
        known_ms = None if head is None or head.heartbeat is None else head.heartbeat.at_ms
        after = () if head is None or head.transition is None else (head.mark.nonce, *head.transition.after)
        step = Transition(
            after=after[:AFTER_MAX],
            mark=Mark(
                collection=slot.collection,
                key=slot.key,
                base=0 if head is None else head.mark.base + 1,
                nonce=self._host.entropy(NONCE_BYTES).hex(),
            ),
            revision=0 if value is None else snapshot.revision + 1,
            value=value,
            live=live,
            seen_ms=None if live is None else known_ms if live == before else now_ms,
            at_ms=now_ms,
        )
        place = self._made(slot, step, patience)
        carriers = self._committer.commit(place, step, patience, by_ms=by_ms)
        if carriers is None:
            return False
        self._recall.keep(place, step)
        self._committer.tidy(place, step, carriers)
        return True

    def _beat(self, slot: Slot, head: Head, live: int, now: Instant, patience: Patience, *, by_ms: int) -> bool:
        """Edit the newest comment that carries the step: a beat notifies nobody.

        False when that is gone meanwhile, when the edit came late after the look that it was decided upon, or when a
        late renewal has met a takeover: then it is decided anew, upon what stands.
        """
        assert slot.place is not None
        assert head.transition is not None
        last_ms = head.heartbeat.at_ms if head.heartbeat is not None and head.heartbeat.fence == live else 0
        beat = Heartbeat(fence=live, at_ms=max(now.at_ms, last_ms))
        newest = head.carriers[-1]
        body = render(head.transition, place=slot.place, key=self._signing, heartbeat=beat, mirror=newest.mirror)
        if self._host.now().boot_ms > by_ms or not self._log.edit(newest.comment_id, body, patience):
            return False
        if self._host.now().boot_ms > by_ms:
            return False
        if now.at_ms - last_ms <= _LATE_MS:
            return True
        self._committer.rest(patience, why=f"{slot.what}: a late renewal")
        after = head_of(_of(slot, self._log.look(slot.place.number, patience)))
        return after is not None and after.mark == head.mark

    def _restore(self, slot: Slot, patience: Patience) -> None:
        """GitHub has lost a step that this machine knows to have counted: post it again, the same as it was.

        One look may just lag; two, a settle time apart, do not.
        """
        assert slot.place is not None
        self._committer.rest(patience, why=f"{slot.what}: a step of it is missing")
        remembered = self._recall.get(slot.place, slot.collection, slot.key)
        head, lost = completed(head_of(_of(slot, self._log.look(slot.place.number, patience))), remembered)
        if not lost or head is None or head.transition is None:
            return
        by_ms = self._host.now().boot_ms + _FRESH_MS
        carriers = self._committer.commit(slot.place, head.transition, patience, by_ms=by_ms)
        if carriers is not None:
            self._committer.tidy(slot.place, head.transition, carriers)

    def _decided(
        self,
        slot: Slot,
        carriers: tuple[Carrier, ...],
        decide: Callable[[Snapshot], Decision[T]],
        snapshot: Snapshot,
    ) -> Decision[T]:
        self._deciding[get_ident()] = (slot.place, carriers)
        try:
            return decide(snapshot)
        finally:
            del self._deciding[get_ident()]

    # Looking

    def slot(self, collection: str, key: str, patience: Patience) -> Slot:
        """Where a record stands: on the issue that its key names, if that is one of this repository."""
        place = self._keys.place_of(key)
        if place is None or place.repository.lower() != self._log.name.lower():
            number = self._issue.find(patience)
            place = None if number is None else Place(repository=self._log.name, number=number)
        return Slot(place=place, collection=collection, key=key)

    def _made(self, slot: Slot, step: Transition, patience: Patience) -> Place:
        """The place of the record; the store issue is opened where it is needed, but not for what cannot be posted."""
        place = slot.place or Place(repository=self._log.name, number=1)
        render(step, place=place, key=self._signing)
        return slot.place or Place(repository=self._log.name, number=self._issue.make(patience))

    def _look(self, place: Place | None, patience: Patience) -> tuple[Carrier, ...]:
        if place is None:
            return ()
        known = self._deciding.get(get_ident())
        if known is not None and known[0] == place:
            return known[1]
        return self._log.look(place.number, patience)

    def _head(self, slot: Slot, patience: Patience, carriers: tuple[Carrier, ...] | None = None) -> Head | None:
        """The step that counts, as GitHub and this machine's memory know it. For readers: nothing is waited for."""
        remembered = None if slot.place is None else self._recall.get(slot.place, slot.collection, slot.key)
        shown = self._look(slot.place, patience) if carriers is None else carriers
        return completed(head_of(_of(slot, shown)), remembered)[0]

    def _settled(
        self, slot: Slot, place: Place, head: Head, carriers: tuple[Carrier, ...], patience: Patience
    ) -> tuple[tuple[Carrier, ...], Head | None]:
        """The step that counts for certain, which this machine then remembers, and the list that shows it.

        Whatever else the decision reads has to come from that very list: another record may have moved on with it.
        No step: it is gone.
        """
        shown = [carriers]

        def look() -> tuple[Carrier, ...]:
            shown.append(self._log.look(place.number, patience))
            return _of(slot, shown[-1])

        sure = self._committer.settled(head.mark, _of(slot, carriers), look, patience)
        if sure is not None and sure.transition is not None:
            self._recall.keep(place, sure.transition)
        return shown[-1], sure

    def _is_settled(self, head: Head, remembered: Transition | None) -> bool:
        """Whether the place of the step that counts is certain without another look."""
        if remembered is not None and remembered.mark == head.mark:
            return True
        if any(carrier.mirror for carrier in head.carriers):
            return True
        return head.transition is not None and self._now().at_ms - head.carriers[0].touched_ms > _SETTLED_MS

    def _shown(self, slot: Slot, head: Head | None, *, live_only: bool) -> list[Versioned | Unreadable]:
        if head is None:
            return []
        try:
            held = _versioned(slot.key, _sound(head, slot))
        except Corrupt as error:
            return [Unreadable(name=slot.key, reason=str(error))]
        dead = live_only and (head.transition is None or head.transition.live is None)
        return [] if held is None or dead else [held]


def _of(slot: Slot, carriers: tuple[Carrier, ...]) -> tuple[Carrier, ...]:
    """The comments of one record."""
    return tuple(one for one in carriers if (one.mark.collection, one.mark.key) == (slot.collection, slot.key))


def _sound(head: Head, slot: Slot) -> Head:
    if head.transition is None:
        raise Corrupt(
            f"{slot.what}: comment {head.carriers[0].comment_id} on {slot.place} does not hold: {head.reason}",
            hint="look at that comment; the machine that wrote it restores it when it next renews or claims",
        )
    return head


def _snapshot(head: Head | None, now: Instant) -> Snapshot:
    if head is None or head.transition is None or head.transition.value is None:
        return Snapshot(value=None, revision=0, beat=None, now=now)
    step = head.transition
    return Snapshot(value=step.value, revision=step.revision, beat=_beat_of(head), now=now)


def _versioned(key: str, head: Head) -> Versioned | None:
    step = head.transition
    if step is None or step.value is None:
        return None
    return Versioned(key=key, value=step.value, revision=step.revision, beat=_beat_of(head), live=step.live)


def _beat_of(head: Head) -> Beat | None:
    beat = head.heartbeat
    return None if beat is None else Beat(fence=beat.fence, seen=Instant(at_ms=beat.at_ms, boot_ms=0, boot_id=""))

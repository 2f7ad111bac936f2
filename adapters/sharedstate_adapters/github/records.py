"""Records on issues: look, let a decision be made, carry it out. One try at a time; `store` repeats and locks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic

from sharedstate.clock import Instant
from sharedstate.errors import Corrupt, InvalidInput
from sharedstate.host import Host
from sharedstate.jsonio import encode_line
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
    """The records of one repository. Not for use by two threads at once."""

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
        self._deciding: tuple[Place | None, tuple[Carrier, ...]] | None = None

    @property
    def deciding(self) -> bool:
        """Whether a decision is being made right now."""
        return self._deciding is not None

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
        head, lost = completed(head_of(_of(slot, carriers)), remembered)
        if lost:
            self._restore(slot, head, patience)
            return None
        if head is not None and not derived:
            _sound(head, slot)
        if head is not None and slot.place is not None and not self._is_settled(head, remembered):
            carriers, head = self._settled(slot, slot.place, head, carriers, patience)
        snapshot = _snapshot(head, self._now())
        decision = self._decided(slot, carriers, decide, snapshot)
        for event in decision.events:
            encode_line(event)  # what no journal can carry is refused before anything is posted
        if not self._carry_out(slot, head, snapshot, decision, patience):
            return None
        return Done(decision=decision, revision=snapshot.revision + isinstance(decision.write, dict))

    def _carry_out(
        self, slot: Slot, head: Head | None, snapshot: Snapshot, decision: Decision[T], patience: Patience
    ) -> bool:
        write = decision.write
        if write is KEEP or (write is DELETE and snapshot.value is None):
            return True
        if write is BEAT:
            if decision.live is None or head is None or snapshot.value is None:
                raise InvalidInput(f"{slot.what}: a beat needs a record and the fence that is alive")
            return self._beat(slot, head, decision.live, snapshot.now, patience)
        return self._advance(slot, head, snapshot, decision, patience)

    def _advance(
        self, slot: Slot, head: Head | None, snapshot: Snapshot, decision: Decision[T], patience: Patience
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
        carriers = self._committer.commit(place, step, patience)
        if carriers is None:
            return False
        self._recall.keep(place, step)
        self._committer.tidy(place, step, carriers)
        return True

    def _beat(self, slot: Slot, head: Head, live: int, now: Instant, patience: Patience) -> bool:
        """Edit the newest comment that carries the step: a beat notifies nobody. False when that is gone meanwhile."""
        assert slot.place is not None
        assert head.transition is not None
        last_ms = head.heartbeat.at_ms if head.heartbeat is not None and head.heartbeat.fence == live else 0
        beat = Heartbeat(fence=live, at_ms=max(now.at_ms, last_ms))
        newest = head.carriers[-1]
        body = render(head.transition, place=slot.place, key=self._signing, heartbeat=beat, mirror=newest.mirror)
        return self._log.edit(newest.comment_id, body, patience)

    def _restore(self, slot: Slot, head: Head | None, patience: Patience) -> None:
        """GitHub has lost a step that this machine knows to have counted: post it again, the same as it was."""
        assert slot.place is not None
        assert head is not None
        assert head.transition is not None
        carriers = self._committer.commit(slot.place, head.transition, patience)
        if carriers is not None:
            self._committer.tidy(slot.place, head.transition, carriers)

    def _decided(
        self,
        slot: Slot,
        carriers: tuple[Carrier, ...],
        decide: Callable[[Snapshot], Decision[T]],
        snapshot: Snapshot,
    ) -> Decision[T]:
        self._deciding = (slot.place, carriers)
        try:
            return decide(snapshot)
        finally:
            self._deciding = None

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
        if self._deciding is not None and self._deciding[0] == place:
            return self._deciding[1]
        return self._log.look(place.number, patience)

    def _head(self, slot: Slot, patience: Patience, carriers: tuple[Carrier, ...] | None = None) -> Head | None:
        """The step that counts, as GitHub and this machine's memory know it. For readers: nothing is waited for."""
        remembered = None if slot.place is None else self._recall.get(slot.place, slot.collection, slot.key)
        shown = self._look(slot.place, patience) if carriers is None else carriers
        return completed(head_of(_of(slot, shown)), remembered)[0]

    def _settled(
        self, slot: Slot, place: Place, head: Head, carriers: tuple[Carrier, ...], patience: Patience
    ) -> tuple[tuple[Carrier, ...], Head]:
        """The step that counts for certain, which this machine then remembers, and the list that shows it.

        Whatever else the decision reads has to come from that very list: another record may have moved on with it.
        """
        shown = [carriers]

        def look() -> tuple[Carrier, ...]:
            shown.append(self._log.look(place.number, patience))
            return _of(slot, shown[-1])

        sure = self._committer.settled(head.mark, _of(slot, carriers), look, patience)
        if sure.transition is not None:
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

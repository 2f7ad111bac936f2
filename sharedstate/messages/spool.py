"""The outbox on disk: parcels, deliveries, dead letters and how much waits, over the machine's own store.

`outbox-NN/<id>` is the message, written once, on the shelf of its sender; `deliveries/<id>` how its delivery goes;
`dead_letters/<id>` what is tried no more. Where a death left a message in two places, `life` says which one counts.

Shelves: a send looks at what its sender has in the spool, so one sender's backlog should not stand in the others' way.
A fixed number of them needs no table of contents that could be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from sharedstate import logs
from sharedstate.errors import Corrupt, InvalidId, NewerFormat, StoreError
from sharedstate.events import message_event
from sharedstate.ids import fingerprint
from sharedstate.jsonio import COUNT_MAX
from sharedstate.messages import policy
from sharedstate.messages.model import Delivered
from sharedstate.messages.policy import Head, Usage, head_of
from sharedstate.messages.records import (
    DeadLetter,
    Delivery,
    Parcel,
    dump_dead,
    dump_delivery,
    dump_parcel,
    load_dead,
    load_delivery,
    load_parcel,
)
from sharedstate.messages.wire import check_message_id
from sharedstate.store import (
    DELETE,
    KEEP,
    Decision,
    Document,
    Durability,
    Entry,
    Snapshot,
    Store,
    Unreadable,
    Versioned,
)
from sharedstate.values import Value

OUTBOX: Final = "outbox"
SHELVES: Final = tuple(f"{OUTBOX}-{number:02}" for number in range(16))
DELIVERIES: Final = "deliveries"
DEAD: Final = "dead_letters"
JOURNAL: Final = "outbox"
_UPKEEP: Final = "upkeep"
R = TypeVar("R")


class Ledger(Value):
    """How much waits, about, and how often that was changed (so that a count of all can tell that it is current)."""

    usage: Usage
    changes: int


class Spool:
    """Records of the outbox; every method may raise `StoreError`. Safe for threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.changes = 0

    # Parcels

    def put(self, parcel: Parcel) -> None:
        """Accept: durable when this returns. An older life of the same message is replaced, a newer one stays."""
        document, envelope = dump_parcel(parcel), parcel.envelope

        def decide(snapshot: Snapshot) -> Decision[None]:
            life = -1 if snapshot.value is None else load_parcel(envelope.id, snapshot.value).life
            return Decision(result=None, write=document if life < parcel.life else KEEP)

        self.store.transact(shelf_of(envelope.sender), envelope.id, decide, journal=JOURNAL)

    def parcel(self, sender: str, key: str) -> Parcel | None:
        """The message of this sender in the spool, or None. Raises `Corrupt`."""
        found = self.store.get(shelf_of(sender), key)
        return None if found is None else load_parcel(key, found.value)

    def find(self, key: str) -> Parcel | None:
        """The message in the spool, whoever sent it, or None. Raises `Corrupt`."""
        for shelf in SHELVES:
            found = self.store.get(shelf, key)
            if found is not None:
                return load_parcel(key, found.value)
        return None

    def holds(self, sender: str, key: str) -> bool:
        """Whether the message stands in the spool and can be read: a damaged one holds up nobody."""
        try:
            return self.store.get(shelf_of(sender), key) is not None
        except Corrupt:
            return False

    def stands(self, key: str) -> bool:
        """Whether there is a record of the message in the spool, readable or not."""
        try:
            return self.find(key) is not None
        except Corrupt:
            return True

    def parcels(self) -> Iterator[Parcel | Unreadable]:
        """Every message in the spool, in no order; what cannot be read is told."""
        for shelf in SHELVES:
            yield from self._scan(shelf, load_parcel)

    def heads(self, sender: str) -> Iterator[Head]:
        """What this sender has in the spool, in no order; what cannot be read is left out."""
        for found in self._records(shelf_of(sender)):
            if isinstance(found, Unreadable) or not _is_of(found.value, sender):
                continue
            try:
                yield head_of(load_parcel(found.key, found.value))
            except Corrupt:
                continue

    def still(self, before: Iterable[Head], after: list[Head]) -> list[Head]:
        """A later look, with what it has missed of an earlier one because the disk failed just then."""
        seen = {head.id for head in after}
        return after + [head for head in before if head.id not in seen and self._may_stand(head)]

    def _may_stand(self, head: Head) -> bool:
        try:
            return self.store.get(shelf_of(head.sender), head.id) is not None
        except (Corrupt, StoreError):
            return True

    def highest_sequence(self) -> int:
        """Of all that stands in the spool."""
        return max((one.envelope.sequence for one in self.parcels() if not isinstance(one, Unreadable)), default=0)

    def take(
        self, parcel: Parcel, *, event: Document | None, durability: Durability = "relaxed", newer: bool = False
    ) -> bool:
        """The message leaves the spool, with an event in the same transition; False when it had left already.

        One that came back meanwhile, with a newer life, stays, unless `newer` says that it is over as well.
        """

        def decide(snapshot: Snapshot) -> Decision[bool]:
            if snapshot.value is None or (not newer and _number(snapshot.value.get("life")) > parcel.life):
                return Decision(result=False)
            return Decision(result=True, write=DELETE, events=() if event is None else (event,))

        shelf = shelf_of(parcel.envelope.sender)
        return self.store.transact(shelf, parcel.envelope.id, decide, journal=JOURNAL, durability=durability)

    def keep_bytes(self, damaged: Unreadable) -> None:
        """Have the bytes of a record that cannot be read copied to quarantine (by a store that has one)."""
        try:
            key = _key_in(damaged.name)
        except InvalidId:
            return  # not a name that we give; the inspection of the root tells it
        for shelf in SHELVES:
            try:
                self.store.transact(shelf, key, lambda snapshot: _looked_at(key, snapshot), journal=JOURNAL)
            except Corrupt:
                return  # as expected: it is read, kept and refused
            except StoreError as error:
                logs.warn("the bytes of the damaged message %s were not copied: %s", damaged.name, error)
                return

    # Deliveries

    def delivery(self, key: str) -> Delivery | None:
        """How the delivery of a message goes; None when nothing is known, or what is written cannot be read."""
        try:
            found = self.store.get(DELIVERIES, key)
            return None if found is None else load_delivery(key, found.value)
        except NewerFormat:
            raise
        except Corrupt:
            return None

    def deliveries(self) -> Iterator[tuple[str, Delivery | None]]:
        """Every delivery by message; None for what a power cut has left unreadable."""
        for found in self.store.scan(DELIVERIES):
            if isinstance(found, Versioned):
                yield found.key, _delivery_or_none(found.key, found.value)
                continue
            try:
                yield _key_in(found.name), None
            except InvalidId:
                continue

    def known_deliveries(self) -> dict[str, Delivery]:
        """Every delivery that can be read, by message."""
        return {key: known for key, known in self.deliveries() if known is not None}

    def change_delivery(self, key: str, decide: Callable[[Delivery | None, Snapshot], Decision[R]]) -> R:
        """Decide on the delivery of a message; what cannot be read counts as absent. Relaxed: losing it only means
        that the message is tried again."""

        def decided(snapshot: Snapshot) -> Decision[R]:
            return decide(_delivery_or_none(key, snapshot.value), snapshot)

        return self.store.transact(DELIVERIES, key, decided, journal=JOURNAL, durability="relaxed", derived=True)

    def forget_delivery(self, key: str, *, nonce: str | None = None) -> None:
        """Remove what is known of a delivery; with `nonce` only when that try is still the current one."""

        def decide(known: Delivery | None, snapshot: Snapshot) -> Decision[None]:
            held = None if known is None or known.lease is None else known.lease.nonce
            wanted = snapshot.value is not None and (nonce is None or held == nonce)
            return Decision(result=None, write=DELETE if wanted else KEEP)

        self.change_delivery(key, decide)

    def clear_delivery(self, key: str) -> None:
        """Remove a delivery that cannot be read; its message counts as not tried yet."""
        self.change_delivery(
            key, lambda known, _: Decision(result=None, write=KEEP if known is not None else dump_delivery(Delivery()))
        )
        self.forget_delivery(key)

    # Dead letters

    def dead(self, key: str) -> DeadLetter | None:
        """The dead letter of a message, or None. Raises `Corrupt`."""
        found = self.store.get(DEAD, key)
        return None if found is None else load_dead(key, found.value)

    def dead_letters(self) -> Iterator[DeadLetter | Unreadable]:
        """Every dead letter, in no order; what cannot be read is told."""
        return self._scan(DEAD, load_dead)

    def bury(self, dead: DeadLetter) -> None:
        """Write a dead letter, durably, then take the message out of the spool; a death in between is repaired by
        the next flush: the dead letter of the same life counts."""
        envelope = dead.parcel.envelope
        event = message_event(
            "message_dead", message=envelope.id, sender=envelope.sender, reason=dead.reason, status_code=dead.status
        )
        document = dump_dead(dead)
        decision = Decision(result=None, write=document, events=(event,))
        self.store.transact(DEAD, envelope.id, lambda _: decision, journal=JOURNAL)
        self.take(dead.parcel, event=None)
        self.forget_delivery(envelope.id)

    def exhume(self, key: str, *, life: int, event: Document | None, durability: Durability = "full") -> bool:
        """Remove a dead letter of up to this life; False when there is none."""

        def decide(snapshot: Snapshot) -> Decision[bool]:
            if snapshot.value is None or load_dead(key, snapshot.value).parcel.life > life:
                return Decision(result=False)
            return Decision(result=True, write=DELETE, events=() if event is None else (event,))

        return self.store.transact(DEAD, key, decide, journal=JOURNAL, durability=durability)

    # How much waits

    def ledger(self) -> Ledger:
        """What is known of how much waits: one read. Unreadable counts as nothing, until the next flush counts."""
        try:
            found = self.store.get(_UPKEEP, OUTBOX)
        except NewerFormat:
            raise
        except Corrupt:
            found = None
        return _ledger({} if found is None else found.value)

    def count(self, *, messages: int, bytes_: int) -> None:
        """Add to what waits (or take away). Relaxed, and a failure is only a warning: the next flush counts anew."""

        def decide(snapshot: Snapshot) -> Decision[None]:
            known = _ledger(snapshot.value or {})
            usage = Usage(messages=max(0, known.usage.messages + messages), bytes=max(0, known.usage.bytes + bytes_))
            return Decision(result=None, write=_dump_ledger(Ledger(usage=usage, changes=known.changes + 1)))

        self.changes += 1
        self._write_ledger(decide)

    def recount(self, usage: Usage, *, seen: Ledger) -> None:
        """What a look at everything has found, unless something was counted since it began."""
        if usage == seen.usage:
            return

        def decide(snapshot: Snapshot) -> Decision[None]:
            known = _ledger(snapshot.value or {})
            changed = Ledger(usage=usage, changes=known.changes + 1)
            return Decision(result=None, write=_dump_ledger(changed) if known.changes == seen.changes else KEEP)

        self._write_ledger(decide)

    # The journal

    def sent(self, *, limit: int) -> list[Entry]:
        """The last messages that were delivered, as the journal tells it, oldest first."""
        from collections import deque

        told = (entry for entry in self.store.read(JOURNAL) if entry.value.get("type") == "message_sent")
        return list(deque(told, maxlen=max(0, limit)))

    def _scan(self, collection: str, load: Callable[[str, Document], R]) -> Iterator[R | Unreadable]:
        for found in self._records(collection):
            if isinstance(found, Unreadable):
                yield found
                continue
            try:
                yield load(found.key, found.value)
            except Corrupt as error:
                yield Unreadable(name=found.key, reason=str(error))

    def _records(self, collection: str) -> Iterator[Versioned | Unreadable]:
        """The records of a collection; a disk that failed once may do it now, and nothing is overtaken for that."""
        for found in self.store.scan(collection):
            again = self._again(collection, found.name) if isinstance(found, Unreadable) else None
            yield found if again is None else again

    def _again(self, collection: str, name: str) -> Versioned | None:
        try:
            return self.store.get(collection, _key_in(name))
        except (Corrupt, InvalidId, StoreError):
            return None

    def _write_ledger(self, decide: Callable[[Snapshot], Decision[None]]) -> None:
        try:
            self.store.transact(_UPKEEP, OUTBOX, decide, journal=JOURNAL, durability="relaxed", derived=True)
        except StoreError as error:
            logs.warn("how much waits in the outbox was not counted: %s", error)


def shelf_of(sender: str) -> str:
    """The collection that holds what this sender has in the spool."""
    return SHELVES[int(fingerprint(sender.encode(), size=2), 16) % len(SHELVES)]


def sent_event(parcel: Parcel, delivery: Delivery, answer: Delivered) -> Document:
    """What the journal says about a delivered message: all but its body, which its recipients have."""
    envelope = parcel.envelope
    return message_event(
        "message_sent",
        message=envelope.id,
        sender=envelope.sender,
        to=list(envelope.recipients),
        kind=envelope.kind,
        lane=envelope.lane or None,
        phase=envelope.phase or None,
        correlation=envelope.correlation_id if envelope.correlation_id != envelope.id else None,
        reply_to=envelope.reply_to or None,
        created_ms=envelope.created_at_ms,
        sequence=envelope.sequence,
        via=answer.via,
        duplicate=answer.duplicate or None,
        attempts=parcel.tried + delivery.attempts,
        bytes=policy.weigh(envelope),
    )


def _key_in(name: str) -> str:
    """The message that a record is named after: a file has its whole id in front. Raises `InvalidId`."""
    return check_message_id(name.partition("-")[0])


def _is_of(document: Document, sender: str) -> bool:
    """Whether it may be a message of this sender: a look that saves the reading of the others."""
    message = document.get("message")
    return isinstance(message, dict) and message.get("from") == sender


def _looked_at(key: str, snapshot: Snapshot) -> Decision[None]:
    if snapshot.value is not None:
        load_parcel(key, snapshot.value)
    return Decision(result=None)


def _delivery_or_none(key: str, document: Document | None) -> Delivery | None:
    try:
        return None if document is None else load_delivery(key, document)
    except NewerFormat:
        raise
    except Corrupt:
        return None


def _ledger(document: Document) -> Ledger:
    usage = Usage(messages=_number(document.get("messages")), bytes=_number(document.get("bytes")))
    return Ledger(usage=usage, changes=_number(document.get("changes")))


def _dump_ledger(ledger: Ledger) -> Document:
    return {"messages": ledger.usage.messages, "bytes": ledger.usage.bytes, "changes": ledger.changes}


def _number(value: Any) -> int:
    return value if type(value) is int and 0 <= value < COUNT_MAX else 0

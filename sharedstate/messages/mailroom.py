"""The receiving end of messages in a store: each message comes into each inbox exactly once, by its id."""

from __future__ import annotations

from typing import Final

from sharedstate import logs
from sharedstate.clock import iso_of_ms
from sharedstate.errors import Corrupt
from sharedstate.messages.model import EVERYBODY, RETENTION_MS, Envelope, Received, Rejected
from sharedstate.messages.reading import policy
from sharedstate.messages.reading.books import Books
from sharedstate.messages.reading.model import EVERYBODY_JOURNAL, MAIL, inbox_journal, load_mail, reference_of
from sharedstate.messages.reading.policy import Delivery
from sharedstate.messages.wire import content_digest, document_of
from sharedstate.store import Decision, Document, Snapshot, Store, Unreadable

LOOKS: Final = 3  # at inboxes: a disk that fails once must keep nobody from a message
VIA: Final = "store"
ID_CONFLICT: Final = 409
EXPIRED: Final = 410
AHEAD: Final = 422


class Mailroom:
    """Takes messages in. Safe for threads and for many processes over one store.

    `retention_ms`: how long mail is kept at least, counted from its making. It is also how long a message may be under
    way: an older one that is not known here could have been here, and is rejected.
    """

    def __init__(self, store: Store, *, retention_ms: int = RETENTION_MS) -> None:
        self.books = Books(store)
        self._store = store
        self._retention_ms = retention_ms

    def receive(self, envelope: Envelope) -> Received | Rejected:
        """Put a message into the inbox of each recipient, durably; `*` into that of every agent there is and will be.

        Receiving the same message again has no second effect, and finishes what a death in the middle has left. The
        same id with other content is rejected with status 409, one older than the retention that is not known with
        410, one made more than a day from now with 422. Raises `StoreError` (then it may have arrived for some: deliver
        it again) and `Corrupt`.
        """
        document, digest = document_of(envelope), content_digest(envelope)
        refused = self._refused_at_a_glance(envelope, digest)
        if refused is not None:
            return refused
        self.books.link(envelope)
        known = True
        for recipient in envelope.recipients:
            answer = self._deliver(envelope, document, digest, recipient)
            if answer in ("conflict", "expired", "ahead"):
                return self._rejected(envelope, answer)
            known = known and answer == "duplicate"
        if envelope.recipients == (EVERYBODY,):
            self.spread()
        if envelope.kind == "ack" and envelope.reply_to:
            self.books.acknowledge(envelope.reply_to, envelope.sender, how="message", ack_id=envelope.id)
        return Received(id=envelope.id, duplicate=known, recipients=envelope.recipients)

    def spread(self) -> None:
        """Bring every inbox up to what was sent to everybody.

        One that cannot be read blocks no other; it catches up once it is repaired.
        """
        done: set[str] = set()
        unreadable: list[Unreadable] = []
        for _ in range(LOOKS):
            unreadable = []
            for found in list(self.books.inboxes()):
                if isinstance(found, Unreadable):
                    unreadable.append(found)
                elif found.key not in done:
                    done.add(found.key)
                    self._catch_up(found.key)
            if not unreadable:
                return
        for one in unreadable:
            logs.warn("inbox %s gets nothing that is sent to everybody: %s", one.name, one.reason)

    def _catch_up(self, agent: str) -> None:
        try:
            self.books.catch_up(agent)
        except Corrupt as error:
            logs.warn("the inbox of %r gets nothing that is sent to everybody: %s", agent, error)

    def _refused_at_a_glance(self, envelope: Envelope, digest: str) -> Rejected | None:
        """A look before anything is written; the transition decides again."""
        mail = self.books.mail(envelope.id)
        if mail is not None:
            return None if mail.digest == digest else self._rejected(envelope, "conflict")
        late = policy.out_of_time(envelope, now_ms=self._store.now().at_ms, retention_ms=self._retention_ms)
        return None if late is None else self._rejected(envelope, late)

    def _deliver(self, envelope: Envelope, document: Document, digest: str, recipient: str) -> Delivery:
        journal = EVERYBODY_JOURNAL
        if recipient != EVERYBODY:
            self.books.ready(recipient)
            self.books.expect(reference_of(envelope), recipient)
            journal = inbox_journal(recipient)

        def decide(snapshot: Snapshot) -> Decision[Delivery]:
            mail = None if snapshot.value is None else load_mail(snapshot.value)
            return policy.decide_delivery(
                mail,
                envelope=envelope,
                document=document,
                digest=digest,
                recipient=recipient,
                retention_ms=self._retention_ms,
                now=snapshot.now,
            )

        # Also for what seems to be there already: the transition finishes what a dead process has begun, and returns
        # only once the entry stands in the inbox.
        return self._store.transact(MAIL, envelope.id, decide, journal=journal)

    def _rejected(self, envelope: Envelope, answer: Delivery) -> Rejected:
        if answer == "conflict":
            return Rejected(
                via=VIA, reason=f"id_conflict: {envelope.id} is here already, with other content", status=ID_CONFLICT
            )
        made = iso_of_ms(envelope.created_at_ms)
        if answer == "ahead":
            now = iso_of_ms(self._store.now().at_ms)
            text = f"ahead: {envelope.id} was made at {made}, and here it is {now}; set the clock, send it anew"
            return Rejected(via=VIA, reason=text, status=AHEAD)
        return Rejected(
            via=VIA,
            reason=f"expired: {envelope.id} was made at {made}, longer ago than mail is kept; send it anew",
            status=EXPIRED,
        )

"""What the receiving half keeps: mail, inboxes, references, pages of threads, wanted acknowledgements.

Every one of them is a document of the store; `load_…` raises `Corrupt` for one that is not what it should be.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from sharedstate.clock import iso_of_ms, ms_of_iso
from sharedstate.errors import Corrupt, InvalidInput
from sharedstate.ids import fingerprint, record_name
from sharedstate.jsonio import COUNT_MAX
from sharedstate.messages.model import Envelope, Watermark
from sharedstate.messages.wire import envelope_of
from sharedstate.store import Document
from sharedstate.values import Value

MAIL: Final = "mail"
INBOXES: Final = "inboxes"
THREADS: Final = "threads"
AWAITING: Final = "awaiting"
EVERYBODY_JOURNAL: Final = "inbox.everybody"
SUMMARY_CHARACTERS_MAX: Final = 200
ABOVE_MAX: Final = 1_000
PAGE_IDS_MAX: Final = 128

Stage = Literal["importing", "sealed", "ready"]
_STAGES: Final = frozenset(("importing", "sealed", "ready"))


def inbox_journal(agent: str) -> str:
    """The journal of one agent's inbox; by a hash of the whole name, so no agent reads that of another."""
    return f"inbox.{record_name(agent)}"


def awaiting_key(message: str, recipient: str) -> str:
    """The record of one wanted acknowledgement."""
    return f"{message}.{fingerprint(recipient.encode(), size=16)}"


def page_key(correlation: str, number: int) -> str:
    """The record of one page of a thread; page 0 also says how many there are."""
    return f"{correlation}.{number:06d}"


class Reference(Value):
    """What an inbox holds of a message: enough to list it, the rest stands in its mail.

    `received_ms` is set where the entry itself is younger than the message's arrival.
    """

    id: str
    sender: str
    kind: str
    lane: str = ""
    phase: str = ""
    priority: int = 0
    correlation_id: str = ""
    reply_to: str = ""
    ack_due_ms: int | None = None
    summary: str = ""
    received_ms: int | None = None


class Mail(Value):
    """One message as received: its envelope's document, the digest of its content, who has it in the inbox.

    `delivered` has `*` when it stands in the journal of everybody.
    """

    envelope: Document
    digest: str
    delivered: tuple[str, ...]
    received_ms: int


class InboxState(Value):
    """One agent's inbox: how far it has taken over what was sent to everybody, and how far its agent has read.

    `imported` is a sequence in the journal of everybody. Stages only go forward: while `importing` the inbox holds
    nothing but messages to everybody, and readers look at those themselves; from `sealed` on they read the inbox;
    from `ready` on it also takes messages to this agent alone.
    """

    agent: str
    stage: Stage = "importing"
    imported: int = 0
    up_to: int = 0
    above: tuple[int, ...] = ()

    @property
    def watermark(self) -> Watermark:
        """How far the agent has read."""
        return Watermark(agent=self.agent, up_to=self.up_to, above=self.above)

    def has_read(self, sequence: int) -> bool:
        """Whether the agent has acknowledged this sequence."""
        return sequence <= self.up_to or sequence in self.above


class Page(Value):
    """A page of a thread: ids of its messages in the order of arrival; `pages` counts all, on page 0 only."""

    ids: tuple[str, ...]
    pages: int = 1
    changed_ms: int = 0


class Awaited(Value):
    """An acknowledgement that is wanted from `recipient` until `due_ms`, or has come.

    `how` is `read` or `message` (then `ack_id` is that message) once it has come; `due_ms` is None when the
    acknowledgement came before the message that wants it (over another endpoint).
    """

    message: str
    sender: str
    recipient: str
    kind: str
    due_ms: int | None
    opened_ms: int
    acknowledged_ms: int | None = None
    how: str = ""
    ack_id: str = ""


# References


def reference_of(envelope: Envelope) -> Reference:
    """What an inbox holds of this message."""
    return Reference(
        id=envelope.id,
        sender=envelope.sender,
        kind=envelope.kind,
        lane=envelope.lane,
        phase=envelope.phase,
        priority=envelope.priority,
        correlation_id=envelope.correlation_id,
        reply_to=envelope.reply_to,
        ack_due_ms=envelope.ack_due_ms,
        summary=envelope.body[:SUMMARY_CHARACTERS_MAX],
    )


def dump_reference(reference: Reference) -> Document:
    """A journal entry; empty fields are left out."""
    whole: Document = {
        "message_id": reference.id,
        "from": reference.sender,
        "kind": reference.kind,
        "lane": reference.lane or None,
        "phase": reference.phase or None,
        "priority": reference.priority or None,
        "correlation_id": None if reference.correlation_id == reference.id else reference.correlation_id or None,
        "reply_to": reference.reply_to or None,
        "ack_due": None if reference.ack_due_ms is None else iso_of_ms(reference.ack_due_ms),
        "summary": reference.summary or None,
        "received": None if reference.received_ms is None else iso_of_ms(reference.received_ms),
    }
    return {name: value for name, value in whole.items() if value is not None}


def load_reference(entry: Document) -> Reference:
    """The reference in a journal entry, or `Corrupt`."""
    with _Reading("an inbox entry"):
        identity = _text(entry["message_id"])
        return Reference(
            id=identity,
            sender=_text(entry["from"]),
            kind=_text(entry["kind"]),
            lane=_text(entry.get("lane", "")),
            phase=_text(entry.get("phase", "")),
            priority=_whole(entry.get("priority", 0)),
            correlation_id=_text(entry.get("correlation_id", identity)),
            reply_to=_text(entry.get("reply_to", "")),
            ack_due_ms=_moment(entry.get("ack_due")),
            summary=_text(entry.get("summary", "")),
            received_ms=_moment(entry.get("received")),
        )


# Records


def dump_mail(mail: Mail) -> Document:
    """The record of a message."""
    return {
        "envelope": mail.envelope,
        "digest": mail.digest,
        "delivered": list(mail.delivered),
        "received_at": iso_of_ms(mail.received_ms),
    }


def load_mail(document: Document) -> Mail:
    """The mail in a record, or `Corrupt`."""
    with _Reading("mail"):
        envelope = document["envelope"]
        if not isinstance(envelope, dict):
            raise TypeError("no envelope")
        return Mail(
            envelope=envelope,
            digest=_text(document["digest"]),
            delivered=_texts(document["delivered"]),
            received_ms=ms_of_iso(document["received_at"]),
        )


def opened(mail: Mail) -> Envelope:
    """The envelope in a mail. Raises `Corrupt`."""
    try:
        return envelope_of(mail.envelope)
    except InvalidInput as error:
        raise Corrupt(f"mail: {error}") from None


def dump_inbox(state: InboxState) -> Document:
    """The record of an inbox."""
    return {
        "agent": state.agent,
        "stage": state.stage,
        "imported": state.imported,
        "up_to": state.up_to,
        "above": list(state.above),
    }


def load_inbox(agent: str, document: Document) -> InboxState:
    """The inbox in a record, or `Corrupt`, also when it is that of another agent."""
    with _Reading("an inbox"):
        stage, above = document["stage"], document["above"]
        if stage not in _STAGES or document["agent"] != agent or not isinstance(above, list):
            raise ValueError("not this inbox")
        return InboxState(
            agent=agent,
            stage=stage,
            imported=_count(document["imported"]),
            up_to=_count(document["up_to"]),
            above=tuple(_count(sequence) for sequence in above),
        )


def dump_page(page: Page) -> Document:
    """The record of a page."""
    return {"ids": list(page.ids), "pages": page.pages, "changed_at": iso_of_ms(page.changed_ms)}


def load_page(document: Document) -> Page:
    """The page in a record, or `Corrupt`."""
    with _Reading("a page of a thread"):
        return Page(
            ids=_texts(document["ids"]),
            pages=_count(document["pages"]),
            changed_ms=ms_of_iso(document["changed_at"]),
        )


def dump_awaited(awaited: Awaited) -> Document:
    """The record of a wanted acknowledgement."""
    return {
        "message_id": awaited.message,
        "from": awaited.sender,
        "recipient": awaited.recipient,
        "kind": awaited.kind,
        "due": None if awaited.due_ms is None else iso_of_ms(awaited.due_ms),
        "opened_at": iso_of_ms(awaited.opened_ms),
        "acknowledged_at": None if awaited.acknowledged_ms is None else iso_of_ms(awaited.acknowledged_ms),
        "how": awaited.how,
        "ack_id": awaited.ack_id,
    }


def load_awaited(document: Document) -> Awaited:
    """The wanted acknowledgement in a record, or `Corrupt`."""
    with _Reading("a wanted acknowledgement"):
        return Awaited(
            message=_text(document["message_id"]),
            sender=_text(document["from"]),
            recipient=_text(document["recipient"]),
            kind=_text(document["kind"]),
            due_ms=_moment(document["due"]),
            opened_ms=ms_of_iso(document["opened_at"]),
            acknowledged_ms=_moment(document["acknowledged_at"]),
            how=_text(document["how"]),
            ack_id=_text(document["ack_id"]),
        )


class _Reading:
    """Whatever a malformed document raises becomes `Corrupt`."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError | TypeError | ValueError) and not isinstance(error, Corrupt):
            raise Corrupt(f"not {self._what}: {error!r}") from None


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("not a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if type(value) is not list:
        raise TypeError("not a list")
    return tuple(_text(item) for item in value)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= COUNT_MAX:
        raise ValueError("not a count")
    return value


def _moment(value: Any) -> int | None:
    return None if value is None else ms_of_iso(value)

"""What messages are: the envelope, the states of a spooled one, and the answers of sending and receiving.

The body is data and is never interpreted. Fields that this version does not know are kept in `more`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from sharedstate.values import Value

SCHEMA: Final = 1
EVERYBODY: Final = "*"
BODY_BYTES_MAX: Final = 65_536
RECIPIENTS_MAX: Final = 100
WORD_CHARACTERS_MAX: Final = 60  # of kind, lane, phase
MORE_BYTES_MAX: Final = 8_192
PRIORITY_MIN: Final = -9
PRIORITY_MAX: Final = 9
ACK_DUE_MS_MAX: Final = 30 * 86_400_000
RETENTION_MS: Final = 30 * 86_400_000  # the defaults of the settings `message_retention_ms` and `guidance`
GUIDANCE: Final = ("GUIDANCE.md", "docs/GUIDANCE.md", "GUIDANCE.{phase}.md", "docs/guidance/{phase}.md")
# The set is open; these are the ones that this library or its users give a meaning.
KINDS: Final = ("message", "hello", "checkout", "progress", "question", "guidance", "complete", "ack")

State = Literal["pending", "in_flight", "sent", "dead"]
STATES: Final[tuple[State, ...]] = ("pending", "in_flight", "sent", "dead")


class Envelope(Value):
    """One message as it travels: made once by its sender, the same bytes of meaning ever after.

    `id` is 26 characters of Crockford base 32, sorts by time and is unique; it is the idempotency key of every
    delivery. `recipients` has 1 to 100 names, or only `*`. `sequence` grows with each message of this sender from this
    outbox, and may jump. `correlation_id` is the id of the message that began the thread (its own for the first).
    `ack_due_ms` is a wall time in Unix milliseconds until which an acknowledgement is wanted, None for none.
    `replayed_at_ms` and `attempts` say that and how often it was delivered again; they are not part of its identity.
    """

    id: str
    sender: str
    recipients: tuple[str, ...]
    kind: str
    body: str
    created_at_ms: int
    sequence: int
    lane: str = ""
    phase: str = ""
    correlation_id: str = ""
    reply_to: str = ""
    ack_due_ms: int | None = None
    priority: int = 0
    replayed_at_ms: int | None = None
    attempts: int = 0
    more: Mapping[str, Any] = {}


class Draft(Value):
    """What a sender wants to say, before it has an id; `ack_within_ms` counts from acceptance."""

    sender: str
    recipients: tuple[str, ...]
    body: str
    kind: str = "message"
    lane: str = ""
    phase: str = ""
    correlation_id: str = ""
    reply_to: str = ""
    ack_within_ms: int | None = None
    priority: int = 0


# What a transport answers


class Attempt(Value):
    """One try among several endpoints. `skipped`: the endpoint was not asked, because it failed a moment ago.

    `took` is a class of durations (`<0.1 s`, `<1 s`, `<10 s`, `10 s or more`), so that the same faults read the same.
    """

    via: str
    outcome: Literal["delivered", "deferred", "rejected", "skipped"]
    reason: str = ""
    status: int | None = None
    took: str = ""


class Delivered(Value):
    """The far side has the message durably; `duplicate` when it had it before. `via` names the endpoint.

    Where several endpoints were tried, `attempts` lists every try in order; so it does in the other two answers.
    """

    via: str
    duplicate: bool = False
    attempts: tuple[Attempt, ...] = ()


class Rejected(Value):
    """The far side will never take this message (for HTTP: 4xx other than 408, 409, 425, 429)."""

    via: str
    reason: str
    status: int | None = None
    attempts: tuple[Attempt, ...] = ()


class Deferred(Value):
    """Not now: unreachable, busy, time-out, an unclear answer. `retry_after_ms` when the far side named a time.

    The message may have arrived; delivering it again has no second effect.
    """

    via: str
    reason: str
    status: int | None = None
    retry_after_ms: int | None = None
    attempts: tuple[Attempt, ...] = ()


Answer = Delivered | Rejected | Deferred


# What `send` answers


class Sent(Value):
    """Delivered now. Exit code 0, outcome `delivered`."""

    envelope: Envelope
    via: str
    duplicate: bool = False


class Queued(Value):
    """Accepted, durable, not delivered yet: a flush goes on with it. Exit code 9, outcome `queued`."""

    envelope: Envelope
    reason: str
    not_before_ms: int | None = None


class Refused(Value):
    """Not sent, and no flush will. Exit code 2, outcome `rejected`; a malformed message raises `InvalidInput` instead.

    `code` is `rejected_by_receiver` (the message `id` stands among the dead letters) or `outbox_full` (nothing was
    kept, `id` is empty).
    """

    code: str
    reason: str
    id: str = ""
    status: int | None = None


SendResult = Sent | Queued | Refused


class Spooled(Value):
    """One message in the outbox: its state, how often it was tried, when it may be tried again, the last reason.

    `lease_until_ms` is set while somebody delivers it; `via` and `settled_at_ms` once it is sent or dead; `bytes` is
    its size in the spool.
    """

    envelope: Envelope
    state: State
    attempts: int = 0
    not_before_ms: int | None = None
    lease_until_ms: int | None = None
    reason: str = ""
    bytes: int = 0
    via: str = ""
    settled_at_ms: int | None = None


class FlushReport(Value):
    """What one flush did; `waiting` counts what is left: not due, behind an earlier one, or leased by another.

    `total` is what stood in the spool when the flush began. `damaged` names records that cannot be read: they are
    kept, never sent, and block nobody. `stopped` is `count` or `time` when a bound ended the flush early.
    """

    total: int
    sent: int
    failed: int
    dead: int
    waiting: int
    damaged: tuple[str, ...] = ()
    stopped: str = ""
    oldest_age_ms: int | None = None


class OutboxCounts(Value):
    """How much stands in the outbox; `bytes` of what is pending or in flight, about.

    `oldest_age_ms` is how long the oldest of these has been waiting, None when nothing does.
    """

    pending: int
    in_flight: int
    dead: int
    damaged: int
    bytes: int
    oldest_age_ms: int | None


# What an inbox answers


class Received(Value):
    """The receiving side has the message; `sequences` are its places in the recipients' inboxes where known."""

    id: str
    duplicate: bool
    recipients: tuple[str, ...]


class Letter(Value):
    """One message in somebody's inbox: its `sequence` there (1, 2, 3 …), read or not, the envelope.

    `envelope` is None when it was not asked for, or when only its reference is left (removed after its retention); what
    follows it stays, with the first 200 characters of the body as `summary`; or when its record cannot be read, and
    `problem` says why. `acknowledged_at_ms` is only known for a message that wanted an acknowledgement.
    """

    sequence: int
    id: str
    received_at_ms: int
    unread: bool
    envelope: Envelope | None
    sender: str = ""
    kind: str = "message"
    lane: str = ""
    phase: str = ""
    priority: int = 0
    correlation_id: str = ""
    reply_to: str = ""
    ack_due_ms: int | None = None
    summary: str = ""
    acknowledged_at_ms: int | None = None
    problem: str = ""


class Unread(Value):
    """What an agent has not acknowledged. `up_to` is the sequence to give to `ack` after having looked at all of it.

    `guidance` lists files of guidance that are new or changed since they were acknowledged. `unknown` is a reason when
    some of it could not be looked at; then `count` is only what is known, and never means "nothing".
    """

    agent: str
    count: int
    up_to: int
    letters: tuple[Letter, ...]
    guidance: tuple[GuidanceChange, ...] = ()
    unknown: str = ""


class GuidanceChange(Value):
    """A guidance file that is `new`, `changed` or `removed` for an agent; `digest` is of its content now."""

    path: str
    change: Literal["new", "changed", "removed"]
    digest: str


class Watermark(Value):
    """How far an agent has read: everything up to `up_to`, and `above` it these sequences."""

    agent: str
    up_to: int
    above: tuple[int, ...] = ()


class Overdue(Value):
    """An acknowledgement that was due at `due_ms` and has not come."""

    id: str
    sender: str
    recipient: str
    due_ms: int
    kind: str

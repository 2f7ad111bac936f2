"""JSON Schemas of the answers about messages."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sharedstate_cli.full.shapes import Count, Fence, Moment, NotOk, Ok, Open, Seconds


class MessageField(Open):
    """An envelope as it travels; empty fields are left out, unknown ones are kept."""

    message_schema: Literal[1]
    message_id: str
    from_: str = Field(alias="from")
    to: list[str]
    kind: str
    body: str
    created_at: Moment
    sequence: Count
    lane: str | None = None
    phase: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    ack_due: Moment | None = None
    priority: int | None = None
    replayed_at: Moment | None = None
    attempts: Count | None = None


class Sending(Ok):
    """`send`: delivered (exit code 0), or accepted and queued (9)."""

    outcome: Literal["delivered", "queued"]
    id: str
    from_: str = Field(alias="from")
    to: list[str]
    kind: str
    sequence: Count
    created_at: Moment
    correlation_id: str
    ack_due: Moment | None = None
    via: str | None = None
    duplicate: bool | None = None
    reason: str | None = None
    not_before: Moment | None = None


class Rejection(NotOk):
    """`send`: no flush will send it (exit code 2); with an `id` it stands among the dead letters."""

    outcome: Literal["rejected"]
    id: str | None = None
    status: int | None = None


class LetterField(Open):
    """One letter. `message` only where bodies are told; null when it is not kept any more, or has a `problem`."""

    sequence: Fence
    id: str
    received_at: Moment
    unread: bool
    from_: str = Field(alias="from")
    kind: str
    priority: int
    summary: str
    lane: str | None = None
    phase: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    ack_due: Moment | None = None
    acknowledged_at: Moment | None = None
    problem: str | None = None
    message: MessageField | None = None


class Inbox(Ok):
    """`inbox`, in order; `more`: --limit left some out; `next_after` where one can go on behind a number."""

    agent: str
    letters: list[LetterField]
    next_after: Fence | None
    more: bool


class GuidanceField(Open):
    """A guidance file; `ack` is what `ack --guidance` takes for it."""

    path: str
    change: Literal["new", "changed", "removed"]
    digest: str
    ack: str


class Unread(Ok):
    """`unread`; `up_to` is the number to acknowledge after having looked at all of it."""

    agent: str
    count: Count
    up_to: Count
    letters: list[LetterField]
    guidance: list[GuidanceField]


class Unknown(NotOk):
    """`inbox`, `unread`, `thread`, `ack`, `flags status`: not everything could be asked (exit code 75). No count.

    `known` letters were found; there may be more. A hook that ran out of time knows nothing but the reason.
    """

    count: None
    retryable: bool
    agent: str | None = None
    known: Count = 0
    letters: list[LetterField] | None = None
    guidance: list[GuidanceField] | None = None


class Watermark(Ok):
    """`ack`: how far the agent has read; everything to `up_to`, and these `above` it.

    Behind gateways only what was asked for is told; without --up-to and --id nothing.
    """

    agent: str
    up_to: Count | None = None
    above: list[Fence] | None = None
    guidance: list[str] = Field(default_factory=list)


class Flags(Ok):
    """`flags status` and `flags reset` (without `end` and `overdue`; `unread` is null when it is unknown)."""

    agent: str
    up_to: Count
    above: list[Fence]
    unread: Count | None
    end: Count | None = None
    overdue: Count | None = None


class Thread(Ok):
    """`thread`, the first message first."""

    thread: str
    messages: list[MessageField]


class OverdueField(Open):
    """An acknowledgement that `to` owes to `from`."""

    id: str
    from_: str = Field(alias="from")
    to: str
    kind: str
    due: Moment


class Overdue(Ok):
    """`overdue`, the oldest first."""

    overdue: list[OverdueField]


class DamagedField(Open):
    """A record that could not be read: its file or key, and why."""

    name: str
    reason: str


class SpooledFields(Open):
    """One message of the outbox; of a sent one the body is empty."""

    id: str
    state: Literal["pending", "in_flight", "sent", "dead"]
    attempts: Count
    bytes: Count
    reason: str | None = None
    via: str | None = None
    not_before: Moment | None = None
    lease_until: Moment | None = None
    settled_at: Moment | None = None
    message: MessageField


class Outbox(Ok):
    """`outbox list`, the oldest first."""

    messages: list[SpooledFields]
    damaged: list[DamagedField]


class OutboxMessage(Ok, SpooledFields):
    """`outbox show`."""


class OutboxCountsField(Open):
    """Counts of an outbox; `bytes` of what waits or is under way, `oldest_age_s` of these."""

    pending: Count
    in_flight: Count
    dead: Count
    damaged: Count
    bytes: Count
    oldest_age_s: Seconds | None


class OutboxStatus(Ok, OutboxCountsField):
    """`outbox status`."""


class OutboxExport(Ok):
    """One line of `outbox export`."""

    state: Literal["pending", "in_flight", "dead"]
    attempts: Count
    message: MessageField
    reason: str | None = None
    via: str | None = None
    settled_at: Moment | None = None


class OutboxChange(Ok):
    """`outbox retry` and `outbox drop`: how many messages were changed."""

    changed: Count
    message: str | None = None


class FlushField(Open):
    """What a flush of the outbox did; `waiting` is what is left for the next one."""

    total: Count
    sent: Count
    failed: Count
    dead: Count
    waiting: Count
    damaged: list[str]
    oldest_age_s: Seconds | None = None
    stopped: Literal["count", "time"] | None = None


class Flush(Ok, FlushField):
    """`outbox flush`; exit code 9 when something is left."""


class MailSweepField(Open):
    """What a sweep removed of messages that everybody has read: messages, pages of threads, acknowledgements."""

    messages: Count
    pages: Count
    acknowledgements: Count
    unreadable: list[DamagedField]
    due: bool


MESSAGE_MODELS: tuple[type[Any], ...] = (
    Sending,
    Rejection,
    Inbox,
    Unread,
    Unknown,
    Watermark,
    Flags,
    Thread,
    Overdue,
    Outbox,
    OutboxMessage,
    OutboxStatus,
    OutboxExport,
    OutboxChange,
    Flush,
)

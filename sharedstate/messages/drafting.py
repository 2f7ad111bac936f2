"""From what a sender says to an envelope: every field checked before anything is kept."""

from __future__ import annotations

from collections.abc import Sequence

from sharedstate.clock import Instant
from sharedstate.errors import InvalidInput
from sharedstate.messages.model import ACK_DUE_MS_MAX, PRIORITY_MAX, PRIORITY_MIN, Draft, Envelope
from sharedstate.messages.records import ENDPOINT_CHARACTERS_MAX, ENDPOINTS_MAX
from sharedstate.messages.wire import check_body, check_message_id, check_recipients, check_sender, check_word


def drafted(
    *,
    sender: str,
    to: str | Sequence[str],
    body: str,
    kind: str,
    lane: str,
    phase: str,
    reply_to: str,
    correlation_id: str,
    ack_within_ms: int | None,
    priority: int,
) -> Draft:
    """A draft of these fields, as they are given."""
    return Draft(
        sender=sender,
        recipients=(to,) if isinstance(to, str) else tuple(to),
        body=body,
        kind=kind,
        lane=lane,
        phase=phase,
        reply_to=reply_to,
        correlation_id=correlation_id,
        ack_within_ms=ack_within_ms,
        priority=priority,
    )


def check_draft(draft: Draft) -> Draft:
    """The draft with its names in their one form, or `InvalidInput` with the reason."""
    due = draft.ack_within_ms
    if due is not None and (type(due) is not int or not 1 <= due <= ACK_DUE_MS_MAX):
        raise InvalidInput(f"an acknowledgement is wanted within 1 ms to {ACK_DUE_MS_MAX // 86_400_000} days")
    if type(draft.priority) is not int or not PRIORITY_MIN <= draft.priority <= PRIORITY_MAX:
        raise InvalidInput(f"priority: a whole number from {PRIORITY_MIN} to {PRIORITY_MAX}")
    return draft.replace(
        sender=check_sender(draft.sender),
        recipients=check_recipients(draft.recipients),
        body=check_body(draft.body),
        kind=check_word(draft.kind, what="kind") or "message",
        lane=check_word(draft.lane, what="lane"),
        phase=check_word(draft.phase, what="phase"),
        reply_to=draft.reply_to and check_message_id(draft.reply_to, what="reply_to"),
        correlation_id=draft.correlation_id and check_message_id(draft.correlation_id, what="correlation_id"),
    )


def check_endpoints(endpoints: Sequence[str]) -> tuple[str, ...]:
    """The endpoints in the order given, or `InvalidInput`: at most 20 texts of up to 2,000 characters."""
    if isinstance(endpoints, str) or len(endpoints) > ENDPOINTS_MAX:
        raise InvalidInput(f"endpoints: a list of at most {ENDPOINTS_MAX}")
    for endpoint in endpoints:
        if not 0 < len(endpoint) <= ENDPOINT_CHARACTERS_MAX or "\0" in endpoint:
            raise InvalidInput(f"an endpoint has 1 to {ENDPOINT_CHARACTERS_MAX} characters")
    return tuple(endpoints)


def envelope_from(draft: Draft, *, now: Instant, identity: str, sequence: int) -> Envelope:
    """The envelope of a checked draft. Without a correlation, a reply belongs to the thread of what it replies to."""
    return Envelope(
        id=identity,
        sender=draft.sender,
        recipients=draft.recipients,
        kind=draft.kind,
        body=draft.body,
        created_at_ms=now.at_ms,
        sequence=sequence,
        lane=draft.lane,
        phase=draft.phase,
        correlation_id=draft.correlation_id or draft.reply_to or identity,
        reply_to=draft.reply_to,
        ack_due_ms=None if draft.ack_within_ms is None else now.at_ms + draft.ack_within_ms,
        priority=draft.priority,
    )

"""Decisions of the receiving half: pure, each `(record, request, now) -> decision`. Nothing here reads or writes.

How one agent gets one sequence. Messages to everybody stand in a journal of their own; each inbox takes them over, in
their order. An agent without an inbox is shown that journal itself, numbered from 1. An inbox is made in steps:

- `importing`: it is there, so whoever sends to everybody from now on brings it up to date himself. What was sent before
  is taken over. Readers are still shown the journal of everybody, which holds all of it under the same numbers.
- `sealed`, when nothing is left: from now on readers look at the inbox. What stood in the other journal until then, and
  may have been shown, is taken over before anything else can get its number.
- `ready`, when nothing is left that was looked for after the sealing: now messages to this agent alone may go in.

No step that changes the stage carries entries: before it lets anybody take the next step, the store finishes the
entries of the one before, if its author died.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from sharedstate.clock import Instant
from sharedstate.events import event
from sharedstate.messages.model import Envelope
from sharedstate.messages.reading.model import (
    ABOVE_MAX,
    PAGE_IDS_MAX,
    Awaited,
    InboxState,
    Mail,
    Page,
    Reference,
    Stage,
    dump_awaited,
    dump_inbox,
    dump_mail,
    dump_page,
    dump_reference,
    opened,
    reference_of,
)
from sharedstate.store import KEEP, Decision
from sharedstate.values import Value

LIVE: Final = 1
AHEAD_MS_MAX: Final = 86_400_000  # a clock in a wrong time zone is taken; one in a wrong year is not
Delivery = Literal["delivered", "duplicate", "conflict", "expired", "ahead"]


class Refusal(Value):
    """An acknowledgement that cannot be: nothing was changed."""

    reason: str


# Mail


def decide_delivery(
    mail: Mail | None,
    *,
    envelope: Envelope,
    document: dict[str, Any],
    digest: str,
    recipient: str,
    retention_ms: int,
    now: Instant,
) -> Decision[Delivery]:
    """Put a message into one inbox, once: content, mark and entry are one transition.

    `recipient` is `*` for the journal of everybody. The same id with other content is a `conflict`. A message older
    than the retention that is not here may have been here: `expired`, for a second effect cannot be ruled out. One made
    more than a day from now is `ahead`: it would stay for longer than mail is kept, and above all others.
    """
    late = None if mail is not None else out_of_time(envelope, now_ms=now.at_ms, retention_ms=retention_ms)
    if late is not None:
        return Decision(result=late)
    if mail is not None and mail.digest != digest:
        return Decision(result="conflict")
    if mail is not None and recipient in mail.delivered:
        return Decision(result="duplicate", prompt=True)
    if mail is None:
        mail = Mail(envelope=document, digest=digest, delivered=(), received_ms=now.at_ms)
    entry = dump_reference(reference_of(envelope))
    told = mail.replace(delivered=(*mail.delivered, recipient))
    return Decision(result="delivered", write=dump_mail(told), events=(entry,), prompt=True)


def out_of_time(envelope: Envelope, *, now_ms: int, retention_ms: int) -> Literal["expired", "ahead"] | None:
    """Why a message that is not here cannot be taken in at this moment, None when it can."""
    if envelope.created_at_ms < now_ms - retention_ms:
        return "expired"
    return "ahead" if envelope.created_at_ms > now_ms + AHEAD_MS_MAX else None


# Inboxes


def decide_import(
    state: InboxState | None,
    *,
    agent: str,
    seen: InboxState | None,
    entries: Sequence[tuple[int, Reference]],
    more: bool,
) -> Decision[bool]:
    """One step towards an inbox that is ready and has all that was sent to everybody; True when it is there.

    `seen` is the inbox as it was *before* `entries` (sequence, reference) were read after what it had imported; `more`
    says that there were more. When it has moved on since, nothing happens and the caller looks again.
    """
    if _place(state) != _place(seen):
        return Decision(result=False)
    if state is None:
        return Decision(result=False, write=dump_inbox(InboxState(agent=agent)))
    if entries:
        taken = state.replace(imported=entries[-1][0])
        events = tuple(dump_reference(reference) for _, reference in entries if concerns(reference, agent))
        ready = state.stage == "ready" and not more
        return Decision(result=ready, write=dump_inbox(taken), events=events, prompt=True)
    if state.stage == "ready":
        return Decision(result=True, prompt=True)
    stage: Stage = "ready" if state.stage == "sealed" else "sealed"
    return Decision(result=stage == "ready", write=dump_inbox(state.replace(stage=stage)))


def concerns(reference: Reference, agent: str) -> bool:
    """Whether a message to everybody is one for this agent: its own sender does not get it back."""
    return reference.sender != agent


def decide_ack(state: InboxState, *, up_to: int, sequences: Sequence[int]) -> Decision[InboxState | Refusal]:
    """Move the watermark: never backwards. The caller has made sure that the inbox holds what is acknowledged."""
    mark = max(state.up_to, up_to)
    above = sorted({sequence for sequence in (*state.above, *sequences) if sequence > mark})
    while above and above[0] == mark + 1:
        mark = above.pop(0)
    if len(above) > ABOVE_MAX:
        return Decision(
            result=Refusal(reason=f"{len(above)} messages read out of order; at most {ABOVE_MAX}, move the watermark")
        )
    read = state.replace(up_to=mark, above=tuple(above))
    return Decision(result=read, write=KEEP if read == state else dump_inbox(read))


def decide_reset(state: InboxState, *, up_to: int, by: str, reason: str) -> Decision[InboxState | Refusal]:
    """Forget the watermark: the only way backwards, asked for by name, and told to the audit trail.

    Forwards it would pass over messages that nobody has acknowledged, and leave their senders waiting.
    """
    if up_to > state.up_to:
        return Decision(
            result=Refusal(reason=f"up_to is {up_to}, above the watermark {state.up_to}: acknowledge instead")
        )
    read = state.replace(up_to=up_to, above=())
    told = event("flags_reset", task=f"inbox:{state.agent}", by=by, reason=reason or None, was=state.up_to, up_to=up_to)
    return Decision(result=read, write=dump_inbox(read), events=(told,))


# Threads


def decide_link(page: Page | None, *, message: str, number: int, now: Instant) -> Decision[int]:
    """Add a message to page `number` of its thread; 0 when it is there now, else the page to try next."""
    page = page or Page(ids=())
    if message in page.ids:
        return Decision(result=0)
    if number == 0 and page.pages > 1:
        return Decision(result=page.pages - 1)
    if len(page.ids) < PAGE_IDS_MAX:
        changed = page.replace(ids=(*page.ids, message), changed_ms=now.at_ms)
        return Decision(result=0, write=dump_page(changed))
    return Decision(result=number + 1)


def decide_page_count(page: Page | None, *, count: int, now: Instant) -> Decision[None]:
    """Say on page 0 that there are at least `count` pages."""
    page = page or Page(ids=())
    if page.pages >= count:
        return Decision(result=None)
    return Decision(result=None, write=dump_page(page.replace(pages=count, changed_ms=now.at_ms)))


# Acknowledgements


def decide_await(awaited: Awaited | None, *, reference: Reference, recipient: str, now: Instant) -> Decision[None]:
    """Want an acknowledgement from a recipient, unless it is wanted already."""
    if awaited is not None and awaited.due_ms is not None:
        return Decision(result=None)
    wanted = Awaited(
        message=reference.id,
        sender=reference.sender,
        recipient=recipient,
        kind=reference.kind,
        due_ms=reference.ack_due_ms,
        opened_ms=now.at_ms,
    )
    if awaited is not None:  # it came before
        wanted = wanted.replace(acknowledged_ms=awaited.acknowledged_ms, how=awaited.how, ack_id=awaited.ack_id)
    return Decision(result=None, write=dump_awaited(wanted), live=LIVE if awaited is None else None)


def decide_acknowledged(
    awaited: Awaited | None, *, message: str, recipient: str, how: str, ack_id: str, now: Instant
) -> Decision[bool]:
    """An acknowledgement has come; the first one counts. One by message is noted also when nobody has wanted it yet."""
    if awaited is None:
        if how != "message":
            return Decision(result=False)
        awaited = Awaited(message=message, sender="", recipient=recipient, kind="", due_ms=None, opened_ms=now.at_ms)
    if awaited.acknowledged_ms is not None:
        return Decision(result=False)
    come = awaited.replace(acknowledged_ms=now.at_ms, how=how, ack_id=ack_id)
    return Decision(result=True, write=dump_awaited(come))


# Retention


def is_old_mail(mail: Mail, *, before_ms: int) -> bool:
    """Whether a message was made *and* received before a moment: its sender's clock may have been a little ahead."""
    made_ms = min(opened(mail).created_at_ms, mail.received_ms + AHEAD_MS_MAX)
    return max(mail.received_ms, made_ms) < before_ms


def is_old_awaited(awaited: Awaited, *, before_ms: int) -> bool:
    """Whether an acknowledgement was wanted, and came if it has, before a moment."""
    return max(awaited.opened_ms, awaited.acknowledged_ms or 0) < before_ms


def _place(state: InboxState | None) -> tuple[str, int]:
    return ("", 0) if state is None else (state.stage, state.imported)

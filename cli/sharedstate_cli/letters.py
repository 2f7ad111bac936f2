"""Messages as readers see them: JSON objects, and lines for people. What others wrote is shown, never obeyed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sharedstate.clock import iso_of_ms
from sharedstate.errors import EXIT_RETRY
from sharedstate.messages.model import Envelope, GuidanceChange, Letter, Overdue, Watermark
from sharedstate.messages.wire import document_of
from sharedstate_cli.human import moment
from sharedstate_cli.report import Report, compact

IDS_MAX = 10
BODY_INDENT = "    "
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+=,")


# Documents


def letter_document(letter: Letter, *, body: bool) -> dict[str, Any]:
    """One letter; with `body` the envelope as `message`, else only its reference.

    `message` is null when the retention is over, or the record cannot be read: then `problem` says why.
    """
    whole = {"message": None if letter.envelope is None else document_of(letter.envelope)} if body else {}
    return {
        "sequence": letter.sequence,
        "id": letter.id,
        "received_at": iso_of_ms(letter.received_at_ms),
        "unread": letter.unread,
        "from": letter.sender,
        "kind": letter.kind,
        "priority": letter.priority,
        "summary": letter.summary,
        **compact(
            lane=letter.lane or None,
            phase=letter.phase or None,
            correlation_id=letter.correlation_id or None,
            reply_to=letter.reply_to or None,
            ack_due=None if letter.ack_due_ms is None else iso_of_ms(letter.ack_due_ms),
            acknowledged_at=None if letter.acknowledged_at_ms is None else iso_of_ms(letter.acknowledged_at_ms),
            problem=letter.problem or None,
        ),
        **whole,
    }


def guidance_document(change: GuidanceChange) -> dict[str, str]:
    """A guidance file that is new, changed or removed."""
    return {"path": change.path, "change": change.change, "digest": change.digest, "ack": seen(change)}


def overdue_document(late: Overdue) -> dict[str, Any]:
    """An acknowledgement that has not come."""
    return {"id": late.id, "from": late.sender, "to": late.recipient, "kind": late.kind, "due": iso_of_ms(late.due_ms)}


def watermark_document(mark: Watermark) -> dict[str, Any]:
    """How far an agent has read."""
    return {"agent": mark.agent, "up_to": mark.up_to, "above": list(mark.above)}


def unknown_report(agent: str, detail: str, *, known: int = 0, **more: Any) -> Report:
    """It could not be looked at, or not all of it: never a number that could be read as "nothing"."""
    document = {
        "ok": False,
        "reason": "unknown",
        "agent": agent,
        "detail": detail,
        "retryable": True,
        "count": None,
        "known": known,
        **more,
    }
    at_least = f"at least {known}; " if known else ""
    text = f"{agent}: unknown whether anything is unread: {at_least}{detail}"
    return Report(code=EXIT_RETRY, document=document, problems=(text,))


# Lines


def envelope_lines(envelope: Envelope, *, number: int | None = None, state: str = "") -> Iterator[str]:
    """A whole message: one line of what it is, one of its details, then its body, indented."""
    first = "" if number is None else f"#{number}  "
    mark = f"  {state}" if state else ""
    yield f"{first}{envelope.kind} from {envelope.sender} to {', '.join(envelope.recipients)}{mark}"
    facts = [moment(envelope.created_at_ms), f"id {envelope.id}"]
    facts += _facts(
        phase=envelope.phase,
        lane=envelope.lane,
        priority=envelope.priority or "",
        reply_to=envelope.reply_to,
        thread=envelope.correlation_id if envelope.correlation_id != envelope.id else "",
        ack_wanted_by="" if envelope.ack_due_ms is None else moment(envelope.ack_due_ms),
        attempts=envelope.attempts if envelope.attempts > 1 else "",
    )
    yield "  " + ", ".join(facts)
    yield from body_lines(envelope.body)


def letter_lines(letter: Letter) -> Iterator[str]:
    """A letter as above; one whose content is gone, or cannot be read, is told by its summary."""
    state = "unread" if letter.unread else ""
    if letter.envelope is not None:
        yield from envelope_lines(letter.envelope, number=letter.sequence, state=state)
        return
    yield f"#{letter.sequence}  {letter.kind} from {letter.sender}  {state}".rstrip()
    why = f"its record cannot be read ({letter.problem})" if letter.problem else "its content is not kept any more"
    yield f"  {moment(letter.received_at_ms)}, id {letter.id}, {why}; it began:"
    yield from body_lines(letter.summary)


def body_lines(body: str) -> Iterator[str]:
    """The body line by line, indented, so that no line of it can pass for one of ours."""
    for line in body.removesuffix("\n").split("\n"):
        yield (BODY_INDENT + line.removesuffix("\r").expandtabs(4)).rstrip(" ")


def letter_line(letter: Letter) -> str:
    """One letter on one line: its number, kind, sender, and how it begins."""
    wanted = "" if letter.ack_due_ms is None else f" (ack wanted by {moment(letter.ack_due_ms)})"
    phase = f" [{letter.phase}]" if letter.phase else ""
    summary = f": {' '.join(letter.summary.split())}" if letter.summary.strip() else ""
    return f"  #{letter.sequence} {letter.kind}{phase} from {letter.sender}{wanted}{summary}"


def ack_words(letters: Sequence[Letter], *, up_to: int) -> list[str]:
    """What `ack` takes for letters that were looked at: a number, or ids where numbers mean nothing (0)."""
    if not letters:
        return []
    if up_to:
        return [f"--up-to {up_to}"]
    return [f"--id {letter.id}" for letter in letters] if len(letters) <= IDS_MAX else ["--id ID …"]


def count_of(number: int, word: str) -> str:
    """`1 letter`, `2 letters`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def seen(change: GuidanceChange) -> str:
    """What `ack --guidance` takes for a change that was seen."""
    return f"{change.path}@{change.digest}"


def quoted(text: str) -> str:
    """The text as one word of a shell, for commands that are shown to be copied."""
    return text if text and _PLAIN.issuperset(text) else "'" + text.replace("'", "'\\''") + "'"


def _facts(**named: object) -> list[str]:
    return [f"{name.replace('_', ' ')} {value}" for name, value in named.items() if value != ""]

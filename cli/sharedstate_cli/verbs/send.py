"""`claims send`: accepted first, durably, then delivered; three outcomes with three exit codes."""

from __future__ import annotations

from typing import Any, Final

from sharedstate.clock import iso_of_ms
from sharedstate.errors import EXIT_QUEUED, EXIT_USAGE, InvalidInput
from sharedstate.messages.model import BODY_BYTES_MAX, Envelope, Queued, Refused, SendResult, Sent
from sharedstate_cli.hot import Usage
from sharedstate_cli.human import moment
from sharedstate_cli.report import Report, compact, complaint, error_document
from sharedstate_cli.session import Session

STDIN: Final = "-"
TIMEOUT_MS: Final = 10_000
TIMEOUT_MS_MAX: Final = 600_000


def send(
    session: Session,
    *,
    to: tuple[str, ...],
    body: str,
    sender: str | None,
    kind: str,
    phase: str | None,
    lane: str | None,
    reply_to: str | None,
    correlation: str | None,
    requires_ack: int | None,
    priority: int,
    endpoint: tuple[str, ...],
    no_deliver: bool,
    timeout: int | None,
) -> Report:
    """Delivered (0), queued (9) or rejected (2); what no receiver would take is rejected before anything is kept."""
    if timeout is not None and not 0 < timeout <= TIMEOUT_MS_MAX:
        raise Usage(f"--timeout: above 0, at most {TIMEOUT_MS_MAX // 1000} s")
    state = session.state
    try:
        text = _from_stdin(session) if body == STDIN else body
        answer = state.outbox.send(
            sender=state.identity.owner if sender is None else sender,
            to=to,
            body=text,
            kind=kind,
            phase=phase or "",
            lane=state.settings.lane if lane is None else lane,
            reply_to=reply_to or "",
            correlation_id=correlation or "",
            requires_ack_ms=requires_ack,
            priority=priority,
            endpoints=endpoint,
            deliver=not no_deliver,
            timeout_s=(TIMEOUT_MS if timeout is None else timeout) / 1000,
        )
    except InvalidInput as error:
        told = error_document(code=error.code, message=str(error), hint=error.hint, retryable=error.retryable)
        return Report(code=error.exit_code, document={**told, "outcome": "rejected"}, problems=complaint(error))
    notes = tuple(f"{name!r} is one name; give --to once for each recipient" for name in to if "," in name)
    return _report(answer).replace(notes=notes)


def _from_stdin(session: Session) -> str:
    stream = session.console.stdin
    if stream is None:
        raise InvalidInput("standard input is closed")
    try:
        return stream.read(BODY_BYTES_MAX + 1)  # one more than there may be: too long is found by the check of a body
    except UnicodeDecodeError as error:
        raise InvalidInput(f"standard input is not UTF-8 text: {error.reason}") from None


def _report(answer: SendResult) -> Report:
    if isinstance(answer, Sent):
        document = {**_document(answer.envelope, "delivered"), "via": answer.via, "duplicate": answer.duplicate}
        return Report(document=document, lines=(f"delivered {_named(answer.envelope)} by {answer.via}",))
    if isinstance(answer, Queued):
        return _queued(answer)
    assert isinstance(answer, Refused)
    return _rejected(answer)


def _queued(answer: Queued) -> Report:
    later = None if answer.not_before_ms is None else iso_of_ms(answer.not_before_ms)
    document = {**_document(answer.envelope, "queued"), "reason": answer.reason, **compact(not_before=later)}
    when = "" if answer.not_before_ms is None else f", not tried again before {moment(answer.not_before_ms)}"
    lines = (f"queued {_named(answer.envelope)}: {answer.reason}{when}",)
    return Report(code=EXIT_QUEUED, document=document, lines=lines)


def _rejected(answer: Refused) -> Report:
    document = {
        "ok": False,
        "outcome": "rejected",
        "reason": answer.code,
        "detail": answer.reason,
        **compact(id=answer.id or None, status=answer.status),
    }
    if answer.id:
        problems = (
            f"rejected {answer.id}: {answer.reason}",
            "hint: it stands among the dead letters: claims outbox show",
        )
    else:
        problems = (
            f"rejected, nothing was kept: {answer.reason}",
            "hint: claims outbox status, then claims outbox flush",
        )
    return Report(code=EXIT_USAGE, document=document, problems=problems)


def _document(envelope: Envelope, outcome: str) -> dict[str, Any]:
    return {
        "ok": True,
        "outcome": outcome,
        "id": envelope.id,
        "from": envelope.sender,
        "to": list(envelope.recipients),
        "kind": envelope.kind,
        "sequence": envelope.sequence,
        "created_at": iso_of_ms(envelope.created_at_ms),
        "correlation_id": envelope.correlation_id,
        **compact(ack_due=None if envelope.ack_due_ms is None else iso_of_ms(envelope.ack_due_ms)),
    }


def _named(envelope: Envelope) -> str:
    return f"{envelope.id} to {', '.join(envelope.recipients)}"

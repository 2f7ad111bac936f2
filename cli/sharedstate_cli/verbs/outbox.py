"""`claims outbox`: messages of this machine that have not arrived, and what a person does about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sharedstate.clock import iso_of_ms
from sharedstate.errors import EXIT_NOT_FOUND, EXIT_QUEUED, EXIT_RETRY, StoreError
from sharedstate.messages.model import FlushReport, OutboxCounts, Spooled
from sharedstate.messages.outbox import FLUSH_COUNT_MAX, FLUSH_TIME_S_MAX
from sharedstate.messages.wire import document_of
from sharedstate_cli.hot import Usage
from sharedstate_cli.human import ago, moment, span
from sharedstate_cli.letters import count_of, envelope_lines
from sharedstate_cli.report import Grid, Report, compact
from sharedstate_cli.session import Session
from sharedstate_cli.verbs.inbox import check_limit
from sharedstate_cli.views import unreadable_documents, unreadable_notes

TIME_MS: Final = 30_000
COLUMNS: Final = ("ID", "STATE", "FROM", "TO", "KIND", "TRIED", "MADE", "WHY")
TONES: Final = {"dead": "bad", "in_flight": "good"}


def list_messages(
    session: Session, *, state: str | None, sender: str | None, to: str | None, limit: int | None
) -> Report:
    """What stands in the outbox, the oldest first, and how many records of it are damaged."""
    check_limit(limit)
    box = session.state.outbox
    found = session.busy(
        lambda: box.list(state=state, sender=sender, to=to, limit=limit),  # type: ignore[arg-type]  # reason: a choice of the table
        label="reading the outbox",
    )
    damaged = [] if state == "sent" else box.damaged()
    document = {
        "ok": True,
        "messages": [spooled_document(one) for one in found],
        "damaged": unreadable_documents(damaged),
    }
    empty = "nothing was sent" if state == "sent" else "nothing waits" if state is None else f"nothing is {state}"
    grid = Grid(columns=COLUMNS, rows=tuple(map(_row, found)), tones=tuple(map(_tone, found)), empty=empty)
    return Report(document=document, grid=grid, notes=unreadable_notes(damaged))


def show(session: Session, message: str) -> Report:
    """One message with its body, and what became of it so far."""
    found = session.state.outbox.show(message)
    if found is None:
        return _not_found(message)
    rows = _standing(found)
    lines = (*envelope_lines(found.envelope), "", *rows)
    return Report(document={"ok": True, **spooled_document(found)}, lines=lines)


def status(session: Session) -> Report:
    """How much stands in the outbox, and how long the oldest has been waiting."""
    counts = session.busy(session.state.outbox.counts, label="reading the outbox")
    notes = (f"{counts.damaged} damaged; `claims doctor` names them",) if counts.damaged else ()
    rows = counts_rows(counts)
    tones = tuple("warn" if name in ("dead", "damaged") and text != "0" else "" for name, text in rows)
    grid = Grid(columns=(), rows=rows, tones=tones)
    return Report(document={"ok": True, **counts_document(counts)}, grid=grid, notes=notes)


def flush(session: Session, *, count: int, time: int | None, sender: str | None) -> Report:
    """One bounded flush; 0 when nothing is left waiting, 9 when something is."""
    if not 1 <= count <= FLUSH_COUNT_MAX:
        raise Usage(f"--count: from 1 to {FLUSH_COUNT_MAX}")
    if time is not None and not 0 < time <= FLUSH_TIME_S_MAX * 1000:
        raise Usage(f"--time: above 0, at most {FLUSH_TIME_S_MAX:.0f} s")
    bound_s = (TIME_MS if time is None else time) / 1000
    box = session.state.outbox
    done = session.busy(lambda: box.flush(count_max=count, time_max_s=bound_s, sender=sender), label="delivering")
    left = done.total - done.sent - done.dead
    stopped = f", stopped by --{done.stopped}" if done.stopped else ""
    oldest = "" if done.oldest_age_ms is None or not left else f", the oldest made {ago(done.oldest_age_ms)}"
    line = (
        f"{count_of(done.total, 'message')} in all: {done.sent} sent, {done.failed} failed, {done.dead} dead, "
        f"{done.waiting} waiting{stopped}{oldest}"
    )
    notes = tuple(f"damaged in the outbox: {name}" for name in done.damaged)
    document = {"ok": True, **flush_document(done)}
    return Report(code=EXIT_QUEUED if left > 0 else 0, document=document, lines=(line,), notes=notes)


def retry(session: Session, message: str | None, *, all: bool) -> Report:  # noqa: A002 - reason: the option's name
    """Dead letters are pending again, what was put off is due."""
    if (message is None) == (not all):
        raise Usage("retry one message by its id, or --all of them")
    box = session.state.outbox
    if message is None:
        changed = box.retry(all=True)
        return _changed(changed, f"{count_of(changed, 'message')} will be tried again by the next flush")
    if box.retry(message):
        return _changed(1, f"{message} will be tried again by the next flush", message)
    found = box.show(message)
    if found is None:
        return _not_found(message)
    return _changed(0, f"{message}: nothing changed, it is {found.state} and may be tried at any time", message)


def drop(session: Session, message: str, *, reason: str) -> Report:
    """Remove a message for good; who and why stands in the audit trail."""
    state = session.state
    if state.outbox.drop(message, reason=reason, by=state.identity.owner):
        return _changed(1, f"dropped {message}", message)
    if state.outbox.show(message) is None:
        return _not_found(message)
    document = {"ok": False, "reason": "in_flight", "message": message, "retryable": True}
    text = f"{message}: is being delivered right now; nothing was dropped"
    return Report(code=EXIT_RETRY, document={**document, "detail": text}, problems=(text,))


def export(session: Session, *, state: str | None) -> Report:
    """Whole messages, one JSON object a line, with or without --json."""
    from sharedstate_cli.report import json_line

    for document in session.state.outbox.export(state=state):  # type: ignore[arg-type]  # reason: a choice of the table
        session.write(json_line({"ok": True, **document}))
    damaged = session.state.outbox.damaged()
    return Report(notes=unreadable_notes(damaged))


# Shared with `status` and `sweep`


def counts_document(counts: OutboxCounts) -> dict[str, Any]:
    """Counts of an outbox."""
    age_ms = counts.oldest_age_ms
    return {
        "pending": counts.pending,
        "in_flight": counts.in_flight,
        "dead": counts.dead,
        "damaged": counts.damaged,
        "bytes": counts.bytes,
        "oldest_age_s": None if age_ms is None else age_ms / 1000,
    }


def counts_rows(counts: OutboxCounts) -> tuple[tuple[str, str], ...]:
    """The same for people."""
    return (
        ("pending", str(counts.pending)),
        ("in flight", str(counts.in_flight)),
        ("dead", str(counts.dead)),
        ("damaged", str(counts.damaged)),
        ("bytes", str(counts.bytes)),
        ("oldest", "none" if counts.oldest_age_ms is None else span(counts.oldest_age_ms)),
    )


def outbox_counts(session: Session) -> OutboxCounts | None:
    """The counts, or None where the outbox cannot be read: what else a command tells is not lost with it."""
    try:
        return session.state.outbox.counts()
    except StoreError:
        return None


def flush_document(report: FlushReport) -> dict[str, Any]:
    """What a flush did."""
    return {
        "total": report.total,
        "sent": report.sent,
        "failed": report.failed,
        "dead": report.dead,
        "waiting": report.waiting,
        "damaged": list(report.damaged),
        "oldest_age_s": None if report.oldest_age_ms is None else report.oldest_age_ms / 1000,
        **compact(stopped=report.stopped or None),
    }


def spooled_document(one: Spooled) -> dict[str, Any]:
    """One message of the outbox: its state, and the envelope as `message`."""
    moments = {
        "not_before": one.not_before_ms,
        "lease_until": one.lease_until_ms,
        "settled_at": one.settled_at_ms,
    }
    return {
        "id": one.envelope.id,
        "state": one.state,
        "attempts": one.attempts,
        "bytes": one.bytes,
        **compact(reason=one.reason or None, via=one.via or None),
        **{name: iso_of_ms(ms) for name, ms in moments.items() if ms is not None},
        "message": document_of(one.envelope),
    }


# Inside


def _row(one: Spooled) -> tuple[str, ...]:
    envelope = one.envelope
    why = one.reason or (f"by {one.via}" if one.via else "")
    made = moment(envelope.created_at_ms)
    return (
        envelope.id,
        one.state,
        envelope.sender,
        ", ".join(envelope.recipients),
        envelope.kind,
        str(one.attempts),
        made,
        why,
    )


def _tone(one: Spooled) -> str:
    return TONES.get(one.state, "")


def _standing(one: Spooled) -> Sequence[str]:
    tried = "not tried yet" if one.attempts == 0 else f"tried {count_of(one.attempts, 'time')}"
    lines = [f"{one.state}, {tried}" + (f": {one.reason}" if one.reason else "")]
    if one.not_before_ms is not None:
        lines.append(f"not tried again before {moment(one.not_before_ms)}")
    if one.lease_until_ms is not None:
        lines.append(f"somebody delivers it, until {moment(one.lease_until_ms)} at the latest")
    if one.settled_at_ms is not None:
        lines.append(f"since {moment(one.settled_at_ms)}")
    return lines


def _changed(count: int, line: str, message: str | None = None) -> Report:
    return Report(document={"ok": True, "changed": count, **compact(message=message)}, lines=(line,))


def _not_found(message: str) -> Report:
    detail = "not in the outbox of this machine: delivered, dropped, or never here"
    document = {"ok": False, "reason": "not_found", "message": message, "detail": detail}
    return Report(code=EXIT_NOT_FOUND, document=document, problems=(f"{message}: {detail}",))

"""`claims inbox`, `claims thread`, `claims overdue`: reading what has come. Nothing here changes anything."""

from __future__ import annotations

from itertools import chain

from sharedstate.errors import EXIT_NOT_FOUND, EXIT_RETRY, StoreError
from sharedstate.messages.wire import document_of
from sharedstate_cli.hot import Usage
from sharedstate_cli.human import moment
from sharedstate_cli.letters import (
    ack_words,
    count_of,
    envelope_lines,
    letter_document,
    letter_lines,
    overdue_document,
    quoted,
    unknown_report,
)
from sharedstate_cli.mailboxes import Letters, Wanted, gateways_of, mailbox
from sharedstate_cli.report import Grid, Report
from sharedstate_cli.session import Session


def inbox(
    session: Session,
    agent: str,
    *,
    all: bool,  # noqa: A002 - reason: it is the name of the option
    unread: bool,
    after: int,
    limit: int | None,
    kind: str | None,
    phase: str | None,
) -> Report:
    """The letters of an agent with their bodies, in order."""
    if all and unread:
        raise Usage("--all and --unread: one of them")
    if after < 0:
        raise Usage("--after: a number is 0 or more")
    check_limit(limit)
    wanted = Wanted(everything=all, after=after, limit=limit, kind=kind, phase=phase)
    try:
        box = mailbox(session)
        found = session.busy(lambda: box.letters(agent, wanted), label="reading the inbox")
    except StoreError as error:
        return unknown_report(agent, str(error))
    letters = found.letters
    behind = letters[-1].sequence if found.more and letters and found.numbered else None
    told = [letter_document(letter, body=True) for letter in letters]
    lines = tuple(chain.from_iterable((*letter_lines(letter), "") for letter in letters))
    if found.unknown:
        known = sum(letter.unread for letter in letters)
        report = unknown_report(agent, found.unknown, known=known, letters=told, next_after=behind)
        return report.replace(lines=lines)
    document = {"ok": True, "agent": agent, "letters": told, "next_after": behind, "more": found.more}
    return Report(document=document, lines=(*lines, *_next_steps(agent, found, wanted, behind=behind)))


def _next_steps(agent: str, found: Letters, wanted: Wanted, *, behind: int | None) -> list[str]:
    narrowed = wanted.after > 0 or wanted.kind is not None or wanted.phase is not None
    if not found.letters:
        what = "letters" if wanted.everything else "unread letters"
        return [f"no {what}{' of this kind' if narrowed else ''} in the inbox of {agent}"]
    steps = []
    if found.more:
        steps.append("there are more" if behind is None else f"there are more: --after {behind}")
    unread = [letter for letter in found.letters if letter.unread]
    if unread:  # a number would acknowledge what was not shown
        up_to = 0 if narrowed or not found.numbered else unread[-1].sequence
        words = " ".join(ack_words(unread, up_to=up_to))
        steps.append(f"{count_of(len(unread), 'unread letter')} shown; then: claims ack {quoted(agent)} {words}")
    return steps


def thread(session: Session, message: str) -> Report:
    """The messages with exactly this correlation id, the first one first."""
    found, unknown = mailbox(session).thread(message)
    told = [document_of(envelope) for envelope in found]
    lines = tuple(chain.from_iterable((*envelope_lines(envelope), "") for envelope in found))
    if unknown:
        document = {"ok": False, "reason": "unknown", "thread": message, "detail": unknown, "messages": told}
        problem = f"{message}: unknown whether there is more: {unknown}"
        return Report(
            code=EXIT_RETRY, document={**document, "count": None, "retryable": True}, lines=lines, problems=(problem,)
        )
    if not found:
        detail = "no such thread; a thread has the id of its first message"
        document = {"ok": False, "reason": "not_found", "thread": message, "detail": detail}
        return Report(code=EXIT_NOT_FOUND, document=document, problems=(f"{message}: {detail}",))
    lines = (*lines, count_of(len(found), "message"))
    return Report(document={"ok": True, "thread": message, "messages": told}, lines=lines)


def overdue(session: Session, *, sender: str | None, to: str | None) -> Report:
    """Acknowledgements that were due and have not come, the oldest first."""
    late = session.busy(lambda: session.state.inbox.overdue(sender=sender, recipient=to), label="reading")
    rows = tuple((one.id, one.kind, one.sender, one.recipient, moment(one.due_ms)) for one in late)
    grid = Grid(columns=("ID", "KIND", "FROM", "TO", "WAS DUE"), rows=rows, empty="nothing is overdue")
    document = {"ok": True, "overdue": [overdue_document(one) for one in late]}
    return Report(document=document, grid=grid, notes=own_only(session))


def own_only(session: Session) -> tuple[str, ...]:
    """A remark for answers that no gateway can give."""
    gateways = gateways_of(session.state.settings)
    return ("this is our own store only; the gateways that are configured were not asked",) if gateways else ()


def check_limit(limit: int | None) -> None:
    """Raises `Usage` for a limit that would show nothing."""
    if limit is not None and limit < 1:
        raise Usage("--limit: at least 1")

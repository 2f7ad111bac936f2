"""`claims next`: the first task that can be claimed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sharedstate.errors import EXIT_NOT_FOUND, InvalidInput
from sharedstate.store import Unreadable
from sharedstate.tasks.model import ABANDONED, FAILED, NEW
from sharedstate.tasks.outcomes import Claimed
from sharedstate_cli.answers import claimed_report
from sharedstate_cli.interrupts import GiveBack, Undivided
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session, lines_of
from sharedstate_cli.streams import STDIN
from sharedstate_cli.verbs.claim import claim_options

REFUSALS_SHOWN_MAX = 100
SERVICE_PREFIX = "service:"


def claim_next(session: Session, *, source: str | None, **options: Any) -> Report:
    """Claim the first eligible candidate of a file, of standard input, or of the known tasks, oldest first."""
    given = claim_options(**options)
    claims = session.state.claims
    with GiveBack(session) as held:

        def ask(undivided: Undivided) -> Any:
            return claims.claim_next(undivided.between(candidates(session, source)), **given)

        answer = held.claim(ask)
        report = claimed_report(answer) if isinstance(answer, Claimed) else _nothing(answer)
        session.emit(report)
    return Report(code=report.code)


def candidates(session: Session, source: str | None) -> Iterator[str]:
    """Ids in the order in which they are to be tried. Raises `InvalidInput` when the file cannot be read."""
    if source is None:
        yield from _known(session)
    elif source == STDIN:
        yield from session.ids()
    else:
        try:
            with open(source, encoding="utf-8") as stream:
                yield from lines_of(stream, what=source)
        except OSError as error:
            raise InvalidInput(f"cannot read {source}: {error.strerror}") from None


def _known(session: Session) -> list[str]:
    """Tasks of the state root that may be waiting for somebody, oldest first."""
    waiting: list[tuple[int, str]] = []
    for view in session.state.tasks.list():
        if isinstance(view, Unreadable) or view.state.ignored is not None:
            continue
        if view.state.task.startswith(SERVICE_PREFIX):
            continue  # the right to run a service is no work that waits for somebody
        if view.state.status in (NEW, FAILED, ABANDONED) or view.stale:
            waiting.append((view.state.created_ms, view.state.task))
    return [task for _, task in sorted(waiting)]


def _nothing(answer: Any) -> Report:
    refused = [{"task": refusal.task, "reason": refusal.reason} for refusal in answer.refused[:REFUSALS_SHOWN_MAX]]
    document = {"ok": False, "reason": "nothing_eligible", "considered": answer.considered, "refused": refused}
    text = f"nothing eligible among {answer.considered} candidates"
    return Report(code=EXIT_NOT_FOUND, document=document, problems=(text,))

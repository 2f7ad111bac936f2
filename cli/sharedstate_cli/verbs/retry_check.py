"""`claims retry-check`: may a task be claimed now, and why?"""

from __future__ import annotations

from sharedstate.errors import EXIT_EXHAUSTED, EXIT_REFUSED
from sharedstate.tasks import outcomes as why
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session

_CODES = {why.IGNORED: EXIT_EXHAUSTED, why.MAX_RETRIES_EXCEEDED: EXIT_EXHAUSTED}


def retry_check(session: Session, *, task: str) -> Report:
    """The verdict, read only; exit code 0 when eligible, else that of the refusal a claim would get."""
    verdict = session.state.tasks.retry_check(task)
    document = {
        "ok": verdict.eligible,
        "task": verdict.task,
        "eligible": verdict.eligible,
        "reason": verdict.reason,
        "attempts": verdict.attempts,
        "retries": verdict.retries,
        "retries_left": verdict.retries_left,
    }
    text = "eligible" if verdict.eligible else "not eligible"
    line = f"{verdict.task}: {text}: {verdict.reason}, {verdict.attempts} attempts, {verdict.retries_left} retries left"
    if verdict.eligible:
        return Report(document=document, lines=(line,))
    return Report(code=_CODES.get(verdict.reason, EXIT_REFUSED), document=document, problems=(line,))

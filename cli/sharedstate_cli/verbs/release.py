"""`claims release`: end a claim with its outcome."""

from __future__ import annotations

from sharedstate.tasks.outcomes import Released
from sharedstate_cli.answers import lost_report, released_report
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session
from sharedstate_cli.streams import STDIN, for_each


def release(
    session: Session, *, task: str, status: str, error: str | None, owner: str | None, token: str | None
) -> Report:
    """Release one claim, or every id of standard input for `-`."""
    claims = session.state.claims

    def one(claimed: str) -> Report:
        answer = claims.release(claimed, status=status, error=error, owner=owner, token=token)
        return released_report(answer) if isinstance(answer, Released) else lost_report(answer)

    return for_each(session, one) if task == STDIN else one(task)

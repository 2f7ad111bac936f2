"""`claims renew`: show that the owner is alive."""

from __future__ import annotations

from sharedstate_cli.answers import renewed_report
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session
from sharedstate_cli.streams import STDIN, for_each


def renew(session: Session, *, task: str, owner: str | None, token: str | None) -> Report:
    """Renew one claim, or every id of standard input for `-`."""
    claims = session.state.claims

    def one(claimed: str) -> Report:
        return renewed_report(claims.renew(claimed, owner=owner, token=token))

    return for_each(session, one) if task == STDIN else one(task)

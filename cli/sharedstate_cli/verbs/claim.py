"""`claims claim`: take a task, or each of those on standard input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sharedstate.tasks.outcomes import Claimed
from sharedstate_cli.answers import claimed_report, refused_report
from sharedstate_cli.hot import Usage
from sharedstate_cli.interrupts import GiveBack
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session
from sharedstate_cli.streams import STDIN, for_each


def claim(session: Session, *, task: str, force: bool, reason: str | None, **options: Any) -> Report:
    """Claim one task, or every id of standard input for `-`; Ctrl-C gives back what was begun."""
    given = claim_options(force=force, reason=reason, **options)
    claims = session.state.claims
    with GiveBack(session) as held:

        def one(candidate: str) -> Report:
            answer = held.claim(lambda _: claims.claim(candidate, **given))
            return claimed_report(answer) if isinstance(answer, Claimed) else refused_report(answer)

        if task == STDIN:
            return for_each(session, one)
        report = one(task)
        session.emit(report)
    return Report(code=report.code)


def claim_options(*, force: bool = False, reason: str | None = None, **options: Any) -> Mapping[str, Any]:
    """The options of the table as keywords of `Claims.claim`. Raises `Usage` for a force without a reason."""
    if force and reason is None:
        raise Usage("--force needs --reason TEXT: it takes a task from a living holder, and the journal keeps why")
    if reason is not None and not force:
        raise Usage("--reason belongs to --force")
    ttl_ms = options.pop("ttl", None)
    return {**options, "ttl_ms": ttl_ms, "force_reason": reason}

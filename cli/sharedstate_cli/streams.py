"""Ids from a pipe: one answer per id, as it comes, and the worst exit code at the end."""

from __future__ import annotations

from collections.abc import Callable

from sharedstate.errors import SharedStateError
from sharedstate_cli.answers import error_report, worse
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session

STDIN = "-"


def for_each(session: Session, act: Callable[[str], Report]) -> Report:
    """Answer every id of standard input at once (JSON Lines with `--json`); a fault of one does not stop the others."""
    code = 0
    for task in session.ids():
        try:
            report = act(task)
        except SharedStateError as error:
            report = error_report(error, task=task)
        session.emit(report)
        code = worse(code, report.code)
    return Report(code=code)

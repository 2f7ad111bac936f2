"""`claims show`: one task."""

from __future__ import annotations

from sharedstate.claims.documents import task_document
from sharedstate.ids import check_id
from sharedstate_cli.answers import not_found_report
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session
from sharedstate_cli.views import task_grid


def show(session: Session, *, task: str) -> Report:
    """The task's state and how alive its holder looks. Reads only; an unreadable record is a fault of exit code 7."""
    view = session.state.tasks.get(check_id(task))
    if view is None:
        return not_found_report(task)
    return Report(document={"ok": True, **task_document(view)}, grid=task_grid(view))

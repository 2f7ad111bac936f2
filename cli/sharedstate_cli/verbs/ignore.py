"""`claims ignore` and `claims unignore`: a person asks the fleet to leave a task alone, or lets it back."""

from __future__ import annotations

from sharedstate_cli.answers import changed_report
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session


def ignore(session: Session, *, task: str, reason: str) -> Report:
    """Nobody begins the task until `unignore`; a live attempt goes on to its end."""
    state = session.state
    return changed_report(state.tasks.ignore(task, reason=reason, by=state.identity.owner), done="ignored")


def unignore(session: Session, *, task: str) -> Report:
    """The fleet may take the task again."""
    state = session.state
    return changed_report(state.tasks.unignore(task, by=state.identity.owner), done="no longer ignored:")

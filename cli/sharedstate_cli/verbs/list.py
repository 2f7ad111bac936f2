"""`claims list`: many tasks, one line each."""

from __future__ import annotations

from sharedstate.claims.documents import task_document
from sharedstate.claims.requests import owner_of
from sharedstate.store import Unreadable
from sharedstate.tasks.model import CLAIMED
from sharedstate.tasks.service import TaskView
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session
from sharedstate_cli.views import list_grid, unreadable_documents, unreadable_notes


def list_tasks(session: Session, *, status: str | None, owner: str | None, stale: bool, archived: bool) -> Report:
    """The live claims, which reads the index of live claims only; with options other tasks. Sorted by id."""
    state = session.state
    wanted = status or (None if archived else CLAIMED)
    found = session.busy(
        lambda: list(
            state.tasks.list(
                status=None if wanted == "all" else wanted,
                owner=None if owner is None else owner_of(owner, default="", host=state.identity.host),
                stale=True if stale else None,
                archived=archived,
            )
        ),
        label="reading tasks",
    )
    views = sorted((view for view in found if isinstance(view, TaskView)), key=lambda view: view.state.task)
    unreadable = [bad for bad in found if isinstance(bad, Unreadable)]
    document = {
        "ok": True,
        "tasks": [task_document(view) for view in views],
        "unreadable": unreadable_documents(unreadable),
    }
    grid = list_grid(views).replace(empty="no live claims" if wanted == CLAIMED else "no such tasks")
    return Report(document=document, grid=grid, notes=unreadable_notes(unreadable))

"""Tasks as readers see them: the JSON object and the rows of one task. Never a token, never its fingerprint."""

from __future__ import annotations

from collections.abc import Sequence

from sharedstate.store import Unreadable
from sharedstate.tasks.model import CLAIMED, COMPLETE, FAILED
from sharedstate.tasks.service import TaskView
from sharedstate_cli.human import ago, moment, span
from sharedstate_cli.report import Grid

LIST_COLUMNS = ("TASK", "STATUS", "OWNER", "FENCE", "SEEN", "TTL", "NOTE")


def unreadable_documents(unreadable: Sequence[Unreadable]) -> list[dict[str, str]]:
    """Records that could not be read, by name, with the reason."""
    return [{"name": bad.name, "reason": bad.reason} for bad in unreadable]


def unreadable_notes(unreadable: Sequence[Unreadable]) -> tuple[str, ...]:
    """The same for people, at most ten."""
    notes = [f"unreadable: {_told(bad)}" for bad in unreadable[:10]]
    if len(unreadable) > len(notes):
        notes.append(f"{len(unreadable) - len(notes)} more are unreadable; `claims doctor` names them")
    return tuple(notes)


def _told(bad: Unreadable) -> str:
    return bad.reason if bad.name in bad.reason else f"{bad.name}: {bad.reason}"


def list_grid(views: list[TaskView]) -> Grid:
    """Tasks as rows, one line each."""
    return Grid(
        columns=LIST_COLUMNS,
        rows=tuple(_row(view) for view in views),
        tones=tuple(tone(view) for view in views),
    )


def _row(view: TaskView) -> tuple[str, ...]:
    state, alive = view.state, view.alive
    seen = ago(alive.age_ms) if alive is not None else ""
    ttl = span(state.lease.ttl_ms) if alive is not None and state.lease is not None else ""
    return (state.task, state.status, state.owner or "", str(state.fence), seen, ttl, note(view))


def note(view: TaskView) -> str:
    """What is remarkable about a task, in a few words."""
    state = view.state
    if state.ignored is not None:
        return f"ignored by {state.ignored.by}: {state.ignored.reason}"
    if view.alive is not None and view.alive.takeover is not None:
        return view.alive.takeover
    if state.last_error is not None:
        return state.last_error
    return "degraded" if state.lease is not None and state.lease.degraded else ""


def tone(view: TaskView) -> str:
    """The look of a task's row."""
    if view.stale or view.state.ignored is not None:
        return "warn"
    return {CLAIMED: "good", FAILED: "bad", COMPLETE: ""}.get(view.state.status, "")


def task_grid(view: TaskView) -> Grid:
    """One task as names and values."""
    state, alive = view.state, view.alive
    rows = [
        ("task", state.task),
        ("status", state.status + (" (archived)" if view.archived else "")),
        ("fence", str(state.fence)),
        ("attempts", f"{state.attempts} begun, {state.retries} of them retries"),
    ]
    if alive is not None and state.lease is not None:
        stale = f", {alive.takeover}: may be taken over" if alive.takeover else ""
        rows.append(("owner", state.lease.owner))
        rows.append(("seen", f"{ago(alive.age_ms)}, ttl {span(state.lease.ttl_ms)}{stale}"))
        rows.append(("claimed", moment(state.lease.began.at_ms)))
    elif state.lease is not None:
        rows.append(("last owner", state.lease.owner))
    if state.lease is not None:
        rows.extend(("scope", path) for path in state.lease.scope)
        rows.extend(("meta", f"{name}={text}") for name, text in sorted(state.lease.meta.items()))
    if state.ignored is not None:
        rows.append(("ignored", f"{state.ignored.reason} (by {state.ignored.by}, {moment(state.ignored.at_ms)})"))
    if state.last_error is not None:
        rows.append(("last error", state.last_error))
    rows += [("created", moment(state.created_ms)), ("updated", moment(state.updated_ms))]
    return Grid(columns=(), rows=tuple(rows), tones=tuple(tone(view) if name == "status" else "" for name, _ in rows))

"""`claims service`: start, stop, restart and show shared services; who may is the owner guard's to say."""

from __future__ import annotations

from typing import Any

from sharedstate import SharedState
from sharedstate.claims.services import model as m
from sharedstate.claims.services.model import Denied, NotStarted, ServiceView, Started, Stopped
from sharedstate.clock import iso_of_ms
from sharedstate.errors import EXIT_NOT_FOUND, EXIT_REFUSED, EXIT_RETRY
from sharedstate.files.store import FileStore
from sharedstate.messages.lanes import lane_of
from sharedstate.store import Unreadable
from sharedstate_cli.hot import Usage
from sharedstate_cli.human import ago, moment
from sharedstate_cli.report import Grid, Report, compact
from sharedstate_cli.running.machine import HUB, guard_of, machine_guard
from sharedstate_cli.session import Session
from sharedstate_cli.views import unreadable_documents, unreadable_notes

_COLUMNS = ("SERVICE", "STATE", "OWNER", "PID", "HOST", "STARTED", "NOTE")
_TONES = {m.RUNNING: "good", m.DEAD: "bad", m.FAILED: "bad", m.UNKNOWN: "warn", m.ENDED: "warn"}


def start(session: Session, *, name: str, owner: str | None, command: tuple[str, ...], **force: Any) -> Report:
    """Start it, or say that it runs."""
    answer = session.state.guard.start(name, command, by=owner, rights=_rights(session), force_reason=_reason(**force))
    return _begun(name, answer)


def restart(
    session: Session, *, name: str, owner: str | None, command: tuple[str, ...], grace: int | None, **force: Any
) -> Report:
    """Stop it and start it again."""
    answer = session.state.guard.restart(
        name,
        command,
        by=owner,
        rights=_rights(session),
        force_reason=_reason(**force),
        grace_ms=m.GRACE_MS if grace is None else grace,
    )
    return _nobody(name) if answer is None else _begun(name, answer, done="restarted")


def stop(session: Session, *, name: str, owner: str | None, grace: int | None, **force: Any) -> Report:
    """Stop it."""
    with guard_of(session.state, name) as guard:
        answer = guard.stop(
            name,
            by=owner,
            rights=_rights(session),
            force_reason=_reason(**force),
            grace_ms=m.GRACE_MS if grace is None else grace,
        )
    if answer is None:
        return _nobody(name)
    return _denied(answer) if isinstance(answer, Denied) else _stopped(answer)


def status(session: Session, *, name: str | None) -> Report:
    """One, or all."""
    if name is None:
        return _all([*_of_this_machine(session.state), *session.state.guard.all()])
    with guard_of(session.state, name) as guard:
        view = guard.status(name)
    if view is None:
        return _nobody(name)
    return Report(document={"ok": True, **view_document(view)}, grid=_grid(view))


def _of_this_machine(state: SharedState) -> list[ServiceView]:
    """What is guarded in this machine's files beside another store."""
    with machine_guard(state) as own:
        view = own.status(HUB)
        return [] if view is None or isinstance(state.store, FileStore) else [view]


def view_document(view: ServiceView) -> dict[str, Any]:
    """A service as a JSON object; what is not there is left out."""
    record = view.record
    stop = record.stop
    return {
        "service": record.name,
        "state": view.state,
        "owner": record.owner,
        "fence": record.fence,
        "host": record.host,
        "started_by": record.started_by,
        "started_at": iso_of_ms(record.started_ms),
        "command": list(record.command),
        "folder": record.folder,
        "log": record.log,
        "detail": view.detail,
        **compact(
            pid=None if record.process is None or not view.running else record.process.pid,
            supervised=view.supervised,
            seen_s=None if view.seen_ms is None else view.seen_ms / 1000,
            ended_at=None if record.ended_ms is None else iso_of_ms(record.ended_ms),
            code=record.code,
            stop=None
            if stop is None
            else {"by": stop.by, "reason": stop.reason, "forced": stop.forced, "at": iso_of_ms(stop.at_ms)},
        ),
    }


def _begun(name: str, answer: Started | Denied | NotStarted, *, done: str = "started") -> Report:
    if isinstance(answer, Denied):
        return _denied(answer)
    if isinstance(answer, NotStarted):
        document = {"ok": False, "reason": "not_started", "service": name, "detail": answer.detail, "code": answer.code}
        return Report(code=answer.code, document=document, problems=(f"{name} not started: {answer.detail}",))
    record = answer.view.record
    document = {
        "ok": True,
        "outcome": answer.outcome,
        "recovery": answer.recovery,
        **view_document(answer.view),
    }
    pid = "" if record.process is None else f", pid {record.process.pid}"
    told = {"started": done, "adopted": "runs, with a new supervisor:", "already_running": "runs already:"}
    recovery = f", for {record.owner}" if answer.recovery else ""
    return Report(document=document, lines=(f"{told[answer.outcome]} {name}{pid}{recovery}; log {record.log}",))


def _stopped(answer: Stopped) -> Report:
    name = answer.view.record.name
    document = {
        "ok": True,
        "outcome": answer.outcome,
        "killed": answer.killed,
        "forced": answer.forced,
        **view_document(answer.view),
    }
    if answer.outcome == "not_running":
        return Report(document=document, lines=(f"{name} does not run",))
    how = " by SIGKILL" if answer.killed else ""
    force = f", by force: it is {answer.view.record.owner}'s" if answer.forced else ""
    return Report(document=document, lines=(f"stopped {name}{how}{force}",))


def _denied(answer: Denied) -> Report:
    document = {
        "ok": False,
        "reason": answer.code,
        "service": answer.name,
        "action": answer.action,
        "detail": answer.detail,
        "owner": answer.owner,
        "by": answer.by,
        "retryable": answer.retryable,
    }
    text = f"{answer.name}: {answer.action} denied: {answer.code}: {answer.detail}"
    return Report(code=EXIT_RETRY if answer.retryable else EXIT_REFUSED, document=document, problems=(text,))


def _nobody(name: str) -> Report:
    document = {"ok": False, "reason": m.NO_SUCH_SERVICE, "service": name, "detail": "no such service"}
    return Report(code=EXIT_NOT_FOUND, document=document, problems=(f"{name}: no such service",))


def _all(found: list[ServiceView | Unreadable]) -> Report:
    views = [view for view in found if isinstance(view, ServiceView)]
    unreadable = [bad for bad in found if isinstance(bad, Unreadable)]
    grid = Grid(
        columns=_COLUMNS,
        rows=tuple(_row(view) for view in views),
        tones=tuple(_TONES.get(view.state, "") for view in views),
        empty="no services",
    )
    document = {
        "ok": True,
        "services": [view_document(view) for view in views],
        "unreadable": unreadable_documents(unreadable),
    }
    return Report(document=document, grid=grid, notes=unreadable_notes(unreadable))


def _row(view: ServiceView) -> tuple[str, ...]:
    record = view.record
    pid = str(record.process.pid) if record.process is not None and view.running else ""
    return record.name, view.state, record.owner, pid, record.host, moment(record.started_ms), view.detail


def _grid(view: ServiceView) -> Grid:
    record = view.record
    by = "" if record.started_by == record.owner else f" by {record.started_by}, for the owner"
    rows = [
        ("service", record.name),
        ("state", view.state + (f" ({view.detail})" if view.detail else "")),
        ("owner", record.owner),
        ("process", "" if record.process is None or not view.running else f"pid {record.process.pid} on {record.host}"),
        ("started", f"{moment(record.started_ms)}{by}"),
        ("command", " ".join(record.command)),
        ("log", record.log),
    ]
    if view.seen_ms is not None:
        rows.append(("heartbeat", ago(view.seen_ms)))
    if record.stop is not None:
        why = f": {record.stop.reason}" if record.stop.reason else ""
        rows.append(("stop", f"asked by {record.stop.by}{' by force' if record.stop.forced else ''}{why}"))
    if record.ended_ms is not None:
        code = "" if record.code is None else f", exit code {record.code}"
        rows.append(("ended", f"{moment(record.ended_ms)}{code}"))
    return Grid(columns=(), rows=tuple(row for row in rows if row[1]))


def _rights(session: Session) -> tuple[str, ...] | None:
    """The rights of the acting lane; None, for all of them, where none is chosen."""
    lane = lane_of(session.state.settings)
    return None if lane is None else lane.rights


def _reason(*, force: bool, reason: str | None) -> str | None:
    if force and reason is None:
        raise Usage("--force needs --reason TEXT: it is another owner's service, and the trail keeps why")
    if reason is not None and not force:
        raise Usage("--reason belongs to --force")
    return reason

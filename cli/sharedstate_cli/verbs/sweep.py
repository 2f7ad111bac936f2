"""`claims sweep`: the reaper, for a scheduler or by hand."""

from __future__ import annotations

from typing import Any

from sharedstate import logs
from sharedstate.errors import StoreError
from sharedstate.messages.model import FlushReport
from sharedstate.tasks.outcomes import Swept
from sharedstate_cli.alone import alone, busy_report
from sharedstate_cli.human import ago
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session
from sharedstate_cli.views import unreadable_documents, unreadable_notes


def sweep(session: Session, *, dry_run: bool) -> Report:
    """One pass; exit code 0 whatever it finds. With `dry_run` nothing is written.

    Single-flight: where another sweep of this state root runs, nothing is done.
    """
    if dry_run:
        return _sweep(session, dry_run=True)
    with alone(session, "sweep") as other:
        return _sweep(session, dry_run=False) if other is None else busy_report("sweep", other)


def _sweep(session: Session, *, dry_run: bool) -> Report:
    done = session.busy(lambda: session.state.claims.sweep(dry_run=dry_run), label="sweeping")
    flushed = None if dry_run else session.busy(lambda: _flush(session), label="delivering messages")
    document = {
        "ok": True,
        "dry_run": done.dry_run,
        "examined": done.examined,
        "swept": [_swept(entry) for entry in done.swept],
        "archived": list(done.archived),
        "reconciled": list(done.reconciled),
        "conflicts": list(done.conflicts),
        "unreadable": unreadable_documents(done.unreadable),
        **({} if flushed is None else {"outbox": _flushed(flushed)}),
    }
    would = "would have " if dry_run else ""
    lines = [
        f"{would}ended {entry.task}, fence {entry.fence}, of {entry.owner}: {entry.reason}, seen {ago(entry.age_ms)}"
        for entry in done.swept
    ]
    lines += [f"{would}archived {task}" for task in done.archived]
    lines += [f"carried over {task}" for task in done.reconciled]
    lines += [f"the shared store refused the degraded claim of {task}" for task in done.conflicts]
    lines.append(
        f"{done.examined} live claims examined, {would}ended {len(done.swept)}, {would}archived {len(done.archived)}"
    )
    if flushed is not None and flushed.total:
        lines.append(
            f"{flushed.total} messages waited: {flushed.sent} sent, {flushed.dead} dead, {flushed.failed} failed"
        )
    damaged = () if flushed is None else tuple(f"damaged in the outbox: {name}" for name in flushed.damaged)
    return Report(document=document, lines=tuple(lines), notes=(*unreadable_notes(done.unreadable), *damaged))


def _flush(session: Session) -> FlushReport | None:
    """The outbox of this machine, once; a store that fails there takes nothing from what was swept."""
    try:
        return session.state.outbox.sweep()
    except StoreError as error:
        logs.warn("messages that wait were not delivered: %s", error)
        return None


def _flushed(report: FlushReport) -> dict[str, Any]:
    return {
        "total": report.total,
        "sent": report.sent,
        "failed": report.failed,
        "dead": report.dead,
        "waiting": report.waiting,
        "damaged": list(report.damaged),
        "oldest_age_s": None if report.oldest_age_ms is None else report.oldest_age_ms / 1000,
    }


def _swept(entry: Swept) -> dict[str, Any]:
    return {
        "task": entry.task,
        "owner": entry.owner,
        "fence": entry.fence,
        "reason": entry.reason,
        "age_s": entry.age_ms / 1000,
    }

"""`claims doctor`: what is wrong, where, and the safe next step; `--fix` repairs what can be repaired without loss."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from sharedstate.errors import EXIT_CORRUPT, EXIT_OK, EXIT_UNEXPECTED
from sharedstate_cli.report import Grid, Report, compact

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharedstate.connect import SharedState
    from sharedstate.files.doctor import Repairs
    from sharedstate.findings import Finding
    from sharedstate.store import Portable, Store
    from sharedstate_cli.session import Session

_TONES = {"ok": "good", "warn": "warn", "error": "bad"}


def doctor(session: Session, *, fix: bool = False) -> Report:
    """Examine everything: 0 when it is fine or only warns, 7 when something corrupt remains, 1 for other errors."""
    from sharedstate.files.doctor import examine

    state = session.state
    roots = _roots(state)
    stores = (state.store, state.local_store)
    repairs = session.busy(lambda: _mended(state, roots, stores), label="repairing") if fix else None
    findings = session.busy(lambda: [*_of_server(state), *examine(state.claims, roots=roots)], label="examining")
    return Report(
        code=_code(findings),
        document={
            "ok": _code(findings) == EXIT_OK,
            "findings": [_document(finding) for finding in findings],
            **({} if repairs is None else {"repairs": _repairs(repairs)}),
        },
        lines=() if repairs is None else _repair_lines(repairs),
        grid=_grid(findings),
    )


def _roots(state: SharedState) -> list[str]:
    """The state roots on this machine's disk: the shared one, where it is files, and that of the local ledger."""
    from sharedstate.files.store import FileStore

    shared = [state.store.root.path] if isinstance(state.store, FileStore) else []
    return [*shared, os.path.join(state.root, "local", "ledger")]


def _of_server(state: SharedState) -> list[Finding]:
    """What a store that is no files says about its far side (`checkup` in docs/stores.md), and what stands there."""
    from sharedstate.masking import masked_url
    from sharedstate.proving.contents import check_contents, check_trials

    store: Any = state.store
    checkup: Callable[[], list[Finding]] | None = getattr(store, "checkup", None)
    found = [] if checkup is None else checkup()
    if not _is_remote(state) or any(finding.code.endswith("_unreachable") for finding in found):
        return found
    where = masked_url(state.settings.url)
    return [*found, *check_contents(store, where=where, host=state.host), *check_trials(store, where=where)]


def _mended(state: SharedState, roots: list[str], stores: tuple[Store, ...]) -> Repairs:
    """The repairs of the roots on this machine, and of tasks in a store that is no files."""
    from sharedstate.errors import SharedStateError
    from sharedstate.files.doctor import holdings_of, mend
    from sharedstate.files.restoring import LEFT
    from sharedstate.proving.restoring import restore_tasks

    done = mend(state.claims, roots=roots, stores=stores)
    if not _is_remote(state):
        return done
    try:
        records = restore_tasks(cast("Portable", state.store), holdings=holdings_of(state.claims))
    except SharedStateError as error:
        return done.replace(failed=(*done.failed, str(error)))
    failed = (*done.failed, *(f"{record.where}: {record.detail}" for record in records if record.outcome == LEFT))
    return done.replace(records=(*done.records, *records), failed=failed)


def _is_remote(state: SharedState) -> bool:
    """Whether the shared state stands in a store that can tell all it holds, and is no files of this machine."""
    from sharedstate.files.store import FileStore

    return hasattr(state.store, "load_entries") and not isinstance(state.store, FileStore)


def _code(findings: list[Finding]) -> int:
    if any(finding.corrupt for finding in findings):
        return EXIT_CORRUPT
    return EXIT_UNEXPECTED if any(finding.severity == "error" for finding in findings) else EXIT_OK


def _document(finding: Finding) -> dict[str, Any]:
    return compact(
        severity=finding.severity,
        code=finding.code,
        where=finding.where,
        what=finding.what,
        next_step=finding.next_step or None,
    )


def _repairs(repairs: Repairs) -> dict[str, Any]:
    return {
        "done": list(repairs.done),
        "records": [record.fields() for record in repairs.records],
        "failed": list(repairs.failed),
    }


def _repair_lines(repairs: Repairs) -> tuple[str, ...]:
    told = [f"{record.outcome}: {record.where}: {record.detail}" for record in repairs.records]
    failed = [f"could not: {text}" for text in repairs.failed]
    return (*repairs.done, *told, *failed) or ("nothing to repair",)


def _grid(findings: list[Finding]) -> Grid:
    rank = {"error": 0, "warn": 1, "ok": 2}
    ordered = sorted(findings, key=lambda finding: rank[finding.severity])
    rows = [(finding.severity, finding.code, finding.where, _text(finding)) for finding in ordered]
    return Grid(
        columns=("", "CODE", "WHERE", "WHAT"),
        rows=tuple(rows),
        tones=tuple(_TONES[finding.severity] for finding in ordered),
        empty="nothing was found",
    )


def _text(finding: Finding) -> str:
    return f"{finding.what}; next: {finding.next_step}" if finding.next_step else finding.what

"""`claims selftest`: prove or refute, on the user's own file system or server, what everything here relies on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharedstate.errors import EXIT_CONFIG, EXIT_OK, InvalidInput
from sharedstate.masking import masked_url
from sharedstate_cli.hot import Usage
from sharedstate_cli.report import Grid, Report

if TYPE_CHECKING:
    from sharedstate.files.selftest import Check
    from sharedstate_cli.session import Session

_TONES = {"pass": "good", "fail": "bad", "unknown": "warn"}


def selftest(session: Session, *, folder: str | None = None, url: str | None = None) -> Report:
    """Run every check on a folder, or on the store of `url`: 0 when none failed, 78 when something is refuted."""
    if url is not None and not url.startswith("file://"):
        if folder is not None:
            raise Usage("a folder and --url: give one of them")
        return _of_store(session, url)
    if url is not None:
        folder = url.removeprefix("file://")
    report = _of_folder(session, folder)
    shared = session.state.settings.url if folder is None else ""
    if not shared or shared.startswith("file://"):
        return report
    note = 'these are the files of this machine; the shared store: claims selftest --url "$SHARED_STATE_URL"'
    return report.replace(notes=(note,))


def _of_store(session: Session, url: str) -> Report:
    from sharedstate.proving.run import prove

    session.choose(url=url)
    state = session.state
    checks = session.busy(lambda: prove(state, folder=os.getcwd()), label="testing")
    where = masked_url(url)
    problem = "this store does not keep what is relied upon: do not put shared state there before it does"
    return _report(checks, where=where, named={"url": where}, problem=problem)


def _of_folder(session: Session, folder: str | None) -> Report:
    from sharedstate.files.premises import nearest_folder
    from sharedstate.files.selftest import run_selftest

    if folder is not None and not os.path.isdir(folder):
        raise InvalidInput(f"not a folder: {folder[:200]!a}")
    place = os.path.abspath(folder) if folder is not None else nearest_folder(session.state.root)
    checks = session.busy(lambda: run_selftest(place), label="testing")
    problem = "this is no place for a state root: put it on a local disk (SHARED_STATE_DIR)"
    return _report(checks, where=place, named={"folder": place}, problem=problem)


def _report(checks: tuple[Check, ...], *, where: str, named: dict[str, str], problem: str) -> Report:
    failed = any(check.verdict == "fail" for check in checks)
    return Report(
        code=EXIT_CONFIG if failed else EXIT_OK,
        document={
            "ok": not failed,
            **named,
            "checks": [{**check.fields(), "measured": dict(check.measured)} for check in checks],
        },
        lines=(f"tested in {where}" if "folder" in named else f"tested at {where}",),
        grid=Grid(
            columns=("CHECK", "VERDICT", "SEEN"),
            rows=tuple((check.name, check.verdict, check.what) for check in checks),
            tones=tuple(_TONES[check.verdict] for check in checks),
        ),
        problems=(problem,) if failed else (),
    )

"""`claims selftest`: prove or refute, on the user's own file system, what the store relies on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharedstate.errors import EXIT_CONFIG, EXIT_OK, InvalidInput
from sharedstate_cli.report import Grid, Report

if TYPE_CHECKING:
    from sharedstate_cli.session import Session

_TONES = {"pass": "good", "fail": "bad", "unknown": "warn"}


def selftest(session: Session, *, folder: str | None = None) -> Report:
    """Run every check in a new folder below `folder`: 0 when none failed, 78 when this is no place for a state root."""
    from sharedstate.files.premises import nearest_folder
    from sharedstate.files.selftest import run_selftest

    if folder is not None and not os.path.isdir(folder):
        raise InvalidInput(f"not a folder: {folder[:200]!a}")
    place = os.path.abspath(folder) if folder is not None else nearest_folder(session.state.root)
    checks = session.busy(lambda: run_selftest(place), label="testing")
    failed = [check for check in checks if check.verdict == "fail"]
    return Report(
        code=EXIT_CONFIG if failed else EXIT_OK,
        document={
            "ok": not failed,
            "folder": place,
            "checks": [{**check.fields(), "measured": dict(check.measured)} for check in checks],
        },
        lines=(f"tested in {place}",),
        grid=Grid(
            columns=("CHECK", "VERDICT", "SEEN"),
            rows=tuple((check.name, check.verdict, check.what) for check in checks),
            tones=tuple(_TONES[check.verdict] for check in checks),
        ),
        problems=("this is no place for a state root: put it on a local disk (SHARED_STATE_DIR)",) if failed else (),
    )

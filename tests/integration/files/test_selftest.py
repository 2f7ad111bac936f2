"""The self-test passes on a good file system, and refutes every broken promise that is planted."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from sharedstate.errors import StoreUnavailable
from sharedstate.files import selftest
from sharedstate.files.selftest import RUN_S_MAX, Check, run_selftest
from sharedstate.files.selftest_checks import CHECKS
from sharedstate.host import Host
from tests.integration.cli.real import claims
from tests.integration.files import broken_machines as broken

PROGRAM = str(Path(broken.__file__))


def on(machine: type[Host], folder: Path, *only: str) -> dict[str, Check]:
    """The checks made on a broken machine, whose processes are all broken in the same way."""
    peer = (sys.executable, PROGRAM, machine.__name__)
    return {check.name: check for check in run_selftest(str(folder), host=machine(), peer=peer, only=only)}


def test_a_good_file_system_passes_in_time_and_keeps_nothing(tmp_path: Path) -> None:
    begun_s = time.monotonic()
    checks = run_selftest(str(tmp_path))
    assert time.monotonic() - begun_s < RUN_S_MAX
    assert [check for check in checks if check.verdict == "fail"] == []
    assert sum(check.verdict == "pass" for check in checks) >= 12
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "machine,check",
    [
        (broken.LockDoesNothing, "lock_excludes"),
        (broken.LockDoesNothing, "lock_counts"),
        (broken.LockDoesNothing, "lock_waits"),
        (broken.LockRefused, "lock_survives_close"),
        (broken.LockFallsWithAnyClose, "lock_survives_close"),
        (broken.RenameCopies, "rename_is_atomic"),
        (broken.RenameLeavesAGap, "rename_is_atomic"),
        (broken.CreateIsNotExclusive, "create_is_exclusive"),
        (broken.LinksAreFollowed, "links_are_refused"),
        (broken.FoldersCannotBeSynced, "fsync_is_accepted"),
        (broken.NamesAreCut, "names_stay_distinct"),
        (broken.ClockGoesBack, "clocks_agree"),
        (broken.WritesAreNotInPlace, "beats_are_never_torn"),
    ],
)
def test_a_planted_failure_is_refuted(tmp_path: Path, machine: type[Host], check: str) -> None:
    found = on(machine, tmp_path, check)[check]
    assert found.verdict == "fail", found
    assert list(tmp_path.iterdir()) == []


def test_processes_that_never_answer_leave_the_check_unknown_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "ANSWER_S_MAX", 0.2)
    peer = (sys.executable, "-c", "import time; time.sleep(60)")
    begun_s = time.monotonic()
    (found,) = run_selftest(str(tmp_path), peer=peer, only=("lock_excludes",))
    assert found.verdict == "unknown"
    assert time.monotonic() - begun_s < RUN_S_MAX
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_ends_at_once_leaves_the_check_unknown(tmp_path: Path) -> None:
    (found,) = run_selftest(str(tmp_path), peer=(sys.executable, "-c", ""), only=("lock_counts",))
    assert found.verdict == "unknown"


def test_a_missing_folder_is_a_declared_error(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot make a folder"):
        run_selftest(str(tmp_path / "missing"))


def test_the_command_says_what_it_measured(tmp_path: Path) -> None:
    done = claims(tmp_path / "state", "selftest", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert {check["name"] for check in document["checks"]} == {check.__name__ for check in CHECKS}
    assert not (tmp_path / "state").exists()

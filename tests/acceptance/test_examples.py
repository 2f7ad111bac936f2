"""Every example is a program that runs, says what its text promises, and leaves nothing held."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sharedstate import SharedState, TaskView

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# Run elsewhere: the fleet and its parts by `test_demo.py`.
ELSEWHERE = {"fleet.py", "fleet_parts"}


def run(name: str, *words: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Run an example with a state root of its own; `claims` is the one installed beside this Python."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "SHARED_STATE_DIR": str(root), "SHARED_STATE_OWNER": "tester", "PATH": path}
    program = [sys.executable, str(EXAMPLES / name)] if name.endswith(".py") else [str(EXAMPLES / name)]
    return subprocess.run(
        [*program, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=EXAMPLES.parent,
    )


def statuses(root: Path) -> dict[str, str]:
    with SharedState.open(root) as state:
        return {view.state.task: view.state.status for view in state.tasks.list() if isinstance(view, TaskView)}


def test_every_example_is_run_by_a_test() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    names = {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"} - ELSEWHERE
    assert {name for name in names if f'"{name}"' not in tested} == set()


def test_a_claim_in_20_lines(tmp_path: Path) -> None:
    first = run("claim_in_20_lines.py", root=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1] == "T-1 is complete now"
    again = run("claim_in_20_lines.py", root=tmp_path)
    assert (again.returncode, again.stderr) == (1, "not ours: task_already_complete\n")


def test_the_orchestrator_finishes_all_tasks_and_retries_the_flaky_ones(tmp_path: Path) -> None:
    done = run("orchestrator.py", root=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "10 complete, 12 attempts, 2 retries" in done.stdout
    assert set(statuses(tmp_path).values()) == {"complete"}


def test_scopes_keep_two_agents_out_of_one_folder(tmp_path: Path) -> None:
    done = run("scopes.py", root=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "refused (scope_conflict)" in lines[1]
    assert [line.split(":")[0] for line in lines if "is ours" in line] == ["ann", "cleo", "bob"]
    assert set(statuses(tmp_path).values()) == {"complete"}


def test_the_hook_runs_the_command_once_and_skips_politely(tmp_path: Path) -> None:
    first = run("hook.sh", "nightly", "echo", "working", root=tmp_path)
    assert (first.returncode, first.stdout) == (0, "working\nnightly: done\n")
    again = run("hook.sh", "nightly", "echo", "working", root=tmp_path)
    assert (again.returncode, again.stdout) == (0, "nightly: somebody else has it, or it is done\n")


def test_the_hook_passes_on_the_exit_code_of_a_failed_command(tmp_path: Path) -> None:
    failed = run("hook.sh", "nightly", sys.executable, "-c", "raise SystemExit(17)", root=tmp_path)
    assert failed.returncode == 17
    assert statuses(tmp_path) == {"nightly": "failed"}


@pytest.mark.parametrize("ignored", [True, False], ids=["ignored", "held"])
def test_the_hook_leaves_alone_what_is_ignored_or_held(tmp_path: Path, ignored: bool) -> None:
    with SharedState.open(tmp_path, owner="somebody") as state:
        if ignored:
            state.tasks.ignore("nightly", reason="not today", by="human/me")
        else:
            state.claims.claim("nightly")
    skipped = run("hook.sh", "nightly", "echo", "working", root=tmp_path)
    assert skipped.returncode == 0
    assert "working" not in skipped.stdout

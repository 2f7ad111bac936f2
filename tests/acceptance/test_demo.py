"""The demo on a small list: real processes, real worktrees, one of them killed, and a proof that can also fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from sharedstate import SharedState, TaskView

FLEET = Path(__file__).resolve().parents[2] / "examples" / "fleet.py"
NAP = [sys.executable, "-c", "import time; time.sleep(0.4)"]

pytestmark = pytest.mark.slow


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", *who, "-C", str(folder), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, and something uncommitted that no task may see."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "one.txt").write_text("committed\n")
    git(folder, "add", "one.txt")
    git(folder, "commit", "--quiet", "-m", "one")
    (folder / "one.txt").write_text("changed\n")
    (folder / "two.txt").write_text("new\n")
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where the fleet makes its temporary folder: empty again at the end."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def command(*words: str, svg: Path) -> list[str]:
    return [sys.executable, str(FLEET), *words, "--svg", str(svg)]


def run(*words: str, cwd: Path, scratch: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(scratch), "NO_COLOR": "1"}
    done = subprocess.run(
        command(*words, svg=scratch.parent / "fleet.svg"),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert list(scratch.iterdir()) == [], "the fleet left something in its temporary folder"
    return done


def write_jsonl(path: Path, tasks: Sequence[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    return path


def test_the_fleet_survives_a_killed_agent_and_proves_that_nothing_was_doubled(
    repository: Path, scratch: Path, tmp_path: Path
) -> None:
    tasks: list[dict[str, object]] = [{"id": f"nap {n}", "commands": [NAP], "scope": [f"part/{n}"]} for n in range(10)]
    tasks.append({"id": "whole", "commands": [NAP], "scope": ["part"]})
    tasks.append({"id": "doomed", "commands": [[sys.executable, "-c", "raise SystemExit(9)"]], "expect": "failed"})
    tasks.append({"id": "waits", "commands": [NAP], "expect": "ignored"})
    listed = write_jsonl(tmp_path / "tasks.jsonl", tasks)
    done = run(str(listed), "--kill", "--agents", "4", cwd=repository, scratch=scratch)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIGKILL to agent-" in done.stdout
    assert "was recovered" in done.stdout
    assert "doomed: 4 attempts, 3 retries allowed" in done.stdout
    assert "11 complete, 1 failed, 1 ignored" in done.stdout
    assert "Verdict: every claim of the proof holds" in done.stdout
    assert "FAILED" not in done.stdout
    assert git(repository, "worktree", "list").count("\n") == 1
    assert ET.parse(tmp_path / "fleet.svg").getroot().tag.endswith("svg")  # noqa: S314 - our own output, just made


def test_a_markdown_list_is_worked_on_in_worktrees_of_the_commit(
    repository: Path, scratch: Path, tmp_path: Path
) -> None:
    new = "import os; raise SystemExit(os.path.exists('two.txt'))"
    code = "import pathlib; raise SystemExit(pathlib.Path('one.txt').read_text() != 'committed\\n')"
    listed = tmp_path / "plan.md"
    listed.write_text(
        f"# Plan\n\n- [ ] same: sees the commit\n      $ {sys.executable} -c {json.dumps(code)}\n"
        f"- [ ] absent: not what is new `{sys.executable} -c {json.dumps(new)}`\n"
        "- [x] long done\n"
    )
    done = run(str(listed), "--agents", "2", "--root", str(tmp_path / "state"), cwd=repository, scratch=scratch)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 complete" in done.stdout
    again = run(str(listed), "--agents", "2", "--root", str(tmp_path / "state"), cwd=repository, scratch=scratch)
    assert again.returncode == 0, again.stdout
    assert "tasks 2, attempts 2," in again.stdout, "what is complete is not done again"


def test_a_task_that_ends_otherwise_than_expected_is_a_failed_proof(scratch: Path, tmp_path: Path) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("first: plain lines\nsecond\n")
    words = ("--run", f"{sys.executable} -c pass", "--agents", "1", "--retries", "0")
    assert run(str(listed), *words, cwd=tmp_path, scratch=scratch).returncode == 0
    bad = ("--run", f"{sys.executable} -c 1/0", "--agents", "1", "--retries", "0")
    done = run(str(listed), *bad, cwd=tmp_path, scratch=scratch)
    assert done.returncode == 1
    assert "first: failed, not complete" in done.stdout
    assert "Verdict: THE PROOF FAILED" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_an_interrupted_fleet_leaves_no_process_worktree_or_file(
    repository: Path, scratch: Path, tmp_path: Path, number: int
) -> None:
    long = [sys.executable, "-c", "import time; time.sleep(60)"]
    listed = write_jsonl(tmp_path / "tasks.jsonl", [{"id": f"long-{n}", "commands": [long]} for n in range(4)])
    root = tmp_path / "state"
    words = command(str(listed), "--agents", "3", "--root", str(root), svg=tmp_path / "fleet.svg")
    environment = {**os.environ, "TMPDIR": str(scratch)}
    running = subprocess.Popen(words, cwd=repository, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: git(repository, "worktree", "list").count("\n") >= 3)
    agents = children_of(running.pid)
    assert len(agents) >= 3
    running.send_signal(number)
    running.communicate(timeout=30)
    assert running.returncode == 130
    assert list(scratch.iterdir()) == []
    assert git(repository, "worktree", "list").count("\n") == 1
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in agents))
    assert held_in(root) == [], "Ctrl-C leaves nothing held"


def test_a_bad_list_is_one_clear_message(scratch: Path, tmp_path: Path) -> None:
    listed = tmp_path / "tasks.md"
    listed.write_text("- [ ] a: no command\n")
    done = run(str(listed), cwd=tmp_path, scratch=scratch)
    assert done.returncode == 1
    assert "task 'a' has no command" in done.stderr
    assert "Traceback" not in done.stderr


def until(condition: object, *, seconds: float = 30.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def held_in(root: Path) -> list[str]:
    with SharedState.open(root) as state:
        return [view.state.task for view in state.tasks.list(status="claimed") if isinstance(view, TaskView)]

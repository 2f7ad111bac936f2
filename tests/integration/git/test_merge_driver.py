"""`claims merge-driver` as git runs it: two branches that both worked on the same state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sharedstate import SharedState
from sharedstate_cli.verbs.merge_driver import DRIVER
from tests.integration.git.ground import git

STATE = "state"


def claims(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, run in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "sharedstate_cli", *words],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone that keeps its state in the branch, with the driver installed."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "-b", "main")
    git(folder, "config", "user.name", "a")
    git(folder, "config", "user.email", "a@example.invalid")
    (folder / ".gitignore").write_text("local/\n")
    with opened(folder, "ws/a") as state:
        state.claims.claim("T-1")
        state.claims.release("T-1", status="failed", error="first try")
    commit(folder)
    ran = claims(folder, "--dir", STATE, "merge-driver", "--install", "--apply")
    assert ran.returncode == 0, ran.stderr
    driver = DRIVER.replace("claims", f"'{sys.executable}' -m sharedstate_cli")
    git(folder, "config", "merge.sharedstate.driver", driver)  # the command of this very environment
    return folder


def opened(folder: Path, owner: str) -> SharedState:
    return SharedState.open(folder / STATE, owner=owner, folder=folder)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "work")


def forget_locals(folder: Path) -> None:
    """What is machine-local does not travel: each branch is another machine here."""
    subprocess.run(["rm", "-rf", str(folder / STATE / "local")], check=True)


def merge(folder: Path, branch: str) -> int:
    words = ["git", "-C", str(folder), "merge", "--quiet", "--no-edit", branch]
    return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode


def record(folder: Path) -> dict[str, object]:
    (path,) = (folder / STATE / "tasks").glob("T-1-*.json")
    found: dict[str, object] = json.loads(path.read_text())
    return found


def diverge(folder: Path) -> None:
    """On `topic` another owner completes the task under fence 2; on `main` two take it, up to fence 3."""
    git(folder, "switch", "--quiet", "-c", "topic")
    forget_locals(folder)
    with opened(folder, "ws/b") as state:
        state.claims.claim("T-1")
        state.claims.release("T-1", status="complete")
    commit(folder)
    git(folder, "switch", "--quiet", "main")
    forget_locals(folder)
    with opened(folder, "ws/c") as state:
        state.claims.claim("T-1")
        state.claims.release("T-1", status="abandoned")
        state.claims.claim("T-1")
        state.claims.claim("T-2")
    commit(folder)


def test_two_branches_become_one_state_with_the_highest_fence(repository: Path) -> None:
    diverge(repository)
    code = merge(repository, "topic")
    assert code == 1, "both sides owned the task: a person must look"
    merged = record(repository)
    assert (merged["status"], merged["fence"]) == ("complete", 3)
    assert merged["conflicts"]
    forget_locals(repository)
    with opened(repository, "ws/d") as state:
        view = state.tasks.get("T-1")
        assert view is not None
        task = view.state
        assert (task.status, task.fence) == ("complete", 3)
        assert {entry.get("owner") for entry in task.history if entry.get("owner")} >= {"ws/a", "ws/b", "ws/c"}
        claimed = state.claims.claim("T-1", reopen=True)
        assert getattr(claimed, "fence", None) == 4
        entries = list(state.events())
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))


def test_what_only_one_branch_changed_merges_without_a_word(repository: Path) -> None:
    git(repository, "switch", "--quiet", "-c", "topic")
    forget_locals(repository)
    with opened(repository, "ws/b") as state:
        state.claims.claim("T-1")
    commit(repository)
    git(repository, "switch", "--quiet", "main")
    forget_locals(repository)
    with opened(repository, "ws/c") as state:
        state.claims.claim("T-2")
    commit(repository)
    assert merge(repository, "topic") == 0
    assert (record(repository)["fence"], record(repository)["status"]) == (2, "claimed")
    assert git(repository, "status", "--porcelain") == ""


def test_a_file_left_with_markers_is_repaired(repository: Path) -> None:
    git(repository, "config", "--unset", "merge.sharedstate.driver")
    (repository / ".git" / "info" / "attributes").unlink()
    diverge(repository)
    assert merge(repository, "topic") == 1
    (path,) = (repository / STATE / "tasks").glob("T-1-*.json")
    assert b"<<<<<<< " in path.read_bytes()
    journals = [str(found) for found in (repository / STATE / "journal").rglob("*.jsonl")]
    ran = claims(repository, "merge-driver", "--repair", str(path), *journals)
    assert ran.returncode == 1, "both sides had something else to say"
    assert record(repository)["fence"] == 3
    again = claims(repository, "merge-driver", "--repair", str(path), *journals)
    assert again.returncode == 0, "repaired is repaired"


def test_install_prints_and_changes_nothing(repository: Path) -> None:
    before = (repository / ".git" / "config").read_bytes()
    ran = claims(repository, "--dir", STATE, "merge-driver", "--install")
    assert ran.returncode == 0
    assert "git config merge.sharedstate.driver 'claims merge-driver -- %O %A %B %P'" in ran.stdout
    assert f"{STATE}/**/*.json merge=sharedstate" in ran.stdout
    assert (repository / ".git" / "config").read_bytes() == before


def test_wrong_words_are_refused(tmp_path: Path) -> None:
    for words in (["a"], ["--repair"], ["--apply"], ["--install", "a"], ["a", "b", "c"]):
        assert claims(tmp_path, "merge-driver", *words).returncode == 2
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["-x.json", "--repair.json", "a b.json", "$(touch pwned).json"])
def test_a_file_is_merged_whatever_it_is_called(repository: Path, name: str) -> None:
    (repository / ".gitattributes").write_text("*.json merge=sharedstate\n")
    plain = '{"schema":1,"id":"k","revision":1,"live":null,"a":1,"b":1}'
    (repository / name).write_text(plain)
    commit(repository)
    git(repository, "switch", "--quiet", "-c", "topic")
    (repository / name).write_text(plain.replace('"a":1', '"a":2'))
    commit(repository)
    git(repository, "switch", "--quiet", "main")
    (repository / name).write_text(plain.replace('"b":1', '"b":3'))
    commit(repository)
    assert merge(repository, "topic") == 0
    merged = json.loads((repository / name).read_text())
    assert (merged["a"], merged["b"]) == (2, 3)
    assert not (repository / "pwned").exists()


def test_who_keeps_the_default_root_is_told_that_git_ignores_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert "git ignores the default state root" in claims(tmp_path, "merge-driver", "--install").stderr
    named = claims(tmp_path, "--dir", STATE, "merge-driver", "--install")
    assert (named.returncode, named.stderr) == (0, "")

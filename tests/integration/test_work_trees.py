"""Real repositories: all work trees of one share its state, and no two repositories share one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sharedstate import SharedState
from sharedstate.claims.identity import default_root, find_worktree
from sharedstate.tasks.outcomes import Claimed, Refused

AS_NOBODY = {
    "GIT_AUTHOR_NAME": "n",
    "GIT_AUTHOR_EMAIL": "n@example.org",
    "GIT_COMMITTER_NAME": "n",
    "GIT_COMMITTER_EMAIL": "n@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(folder: Path, *arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments]
    subprocess.run(command, cwd=folder, env={**environment, **AS_NOBODY}, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    git(made, "init")
    git(made, "commit", "--allow-empty", "-m", "first")
    return made


def root_of(folder: Path) -> str:
    return os.path.realpath(default_root(str(folder)))


def test_the_state_lies_beside_the_git_directory(repository: Path) -> None:
    (repository / "src").mkdir()
    assert root_of(repository) == str(repository / ".cache" / "sharedstate")
    assert root_of(repository / "src") == root_of(repository)


def test_all_work_trees_share_one_state(repository: Path, tmp_path: Path) -> None:
    trees = [tmp_path / "one", tmp_path / "deep" / "two", repository / "inside"]
    for number, tree in enumerate(trees):
        git(repository, "worktree", "add", "-b", f"b{number}", str(tree))
        assert root_of(tree) == root_of(repository)
        found = find_worktree(str(tree))
        assert found is not None
        assert found.linked


def test_owners_in_two_work_trees_exclude_each_other(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-b", "other", str(tmp_path / "other"))
    with SharedState.open(folder=repository) as here, SharedState.open(folder=tmp_path / "other") as there:
        assert here.identity.owner != there.identity.owner
        assert isinstance(here.claims.claim("T-1"), Claimed)
        refused = there.claims.claim("T-1")
        assert isinstance(refused, Refused)
        assert refused.holder is not None
        assert refused.holder.owner == here.identity.owner


def test_work_trees_with_relative_links_share_it_too(repository: Path, tmp_path: Path) -> None:
    tree = tmp_path / "moved"
    git(repository, "worktree", "add", "-b", "moved", str(tree))
    link = Path((tree / ".git").read_text().removeprefix("gitdir:").strip())
    (tree / ".git").write_text(f"gitdir: {os.path.relpath(link, tree)}\n")
    assert root_of(tree) == root_of(repository)


def test_bare_repositories_beside_each_other_keep_their_states_apart(repository: Path, tmp_path: Path) -> None:
    trees = []
    for name in ("a", "b"):
        bare = tmp_path / f"{name}.git"
        git(tmp_path, "clone", "--bare", str(repository), str(bare))
        tree = tmp_path / f"tree-{name}"
        git(bare, "worktree", "add", str(tree), "main")
        second = tmp_path / f"second-{name}"
        git(bare, "worktree", "add", "-b", "second", str(second))
        assert root_of(tree) == root_of(second)
        trees.append(tree)
    assert root_of(trees[0]) != root_of(trees[1])


def test_submodules_beside_each_other_keep_their_states_apart(repository: Path, tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    git(parent, "init")
    for name in ("a", "b"):
        git(parent, "submodule", "add", str(repository), f"libs/{name}")
    roots = {root_of(parent), root_of(parent / "libs" / "a"), root_of(parent / "libs" / "b")}
    assert len(roots) == 3
    git(parent / "libs" / "a", "worktree", "add", "-b", "other", str(tmp_path / "other"))
    assert root_of(tmp_path / "other") == root_of(parent / "libs" / "a")


def test_a_separate_git_directory_is_shared_by_its_work_trees(tmp_path: Path) -> None:
    top, gits = tmp_path / "top", tmp_path / "gits"
    top.mkdir()
    gits.mkdir()
    git(top, "init", "--separate-git-dir", str(gits / "one"))
    git(top, "commit", "--allow-empty", "-m", "first")
    git(top, "worktree", "add", "-b", "other", str(tmp_path / "other"))
    assert root_of(top) == root_of(tmp_path / "other")
    assert root_of(top).startswith(str(gits / "one"))


def test_outside_a_repository_each_folder_has_a_state_of_its_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert root_of(tmp_path / "a") == str(tmp_path / "a" / ".cache" / "sharedstate")
    assert root_of(tmp_path / "a") != root_of(tmp_path / "b")


@pytest.mark.parametrize("text", ["", "gitdir:", "gitdir: ", "nonsense", "\0", "gitdir: /nowhere/at/all\n"])
def test_a_broken_git_file_is_no_traceback(tmp_path: Path, text: str) -> None:
    (tmp_path / ".git").write_text(text)
    assert default_root(str(tmp_path))

"""A git worktree for every attempt, and none left behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TRIES_MAX = 5
_GIT_SECONDS_MAX = 60


class GitError(RuntimeError):
    """git said no; the message is its own."""


def clean_environment() -> dict[str, str]:
    """This environment without what a git hook around us would impose on every git below (GIT_DIR and the like)."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def git(folder: Path, *words: str) -> str:
    """The output of one git command, without the user's hooks. Raises `GitError`."""
    done = subprocess.run(
        ["git", "-c", "core.hooksPath=/dev/null", "-C", str(folder), *words],
        capture_output=True,
        text=True,
        errors="replace",
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        timeout=_GIT_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        raise GitError(f"git {words[0]}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


@dataclass(frozen=True, kw_only=True)
class Worktrees:
    """Worktrees of one commit of `repository`, all under `folder`. Without a commit, `repository` itself is used."""

    repository: Path
    commit: str
    folder: Path

    @classmethod
    def of(cls, repository: Path, *, folder: Path) -> Worktrees:
        """At the commit that is checked out there now; what is not committed is not seen by the tasks."""
        try:
            commit = git(repository, "rev-parse", "--verify", "HEAD^{commit}").strip()
        except GitError:
            commit = ""
        return cls(repository=repository, commit=commit, folder=folder)

    def add(self, name: str) -> Path:
        """A fresh worktree; git's own locks do not queue, so a collision with another agent is tried again."""
        if not self.commit:
            return self.repository
        place = self.folder / (re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:80].strip(".") or "task")
        for attempt in range(_TRIES_MAX):
            try:
                git(self.repository, "worktree", "add", "--quiet", "--detach", str(place), self.commit)
            except GitError:
                if attempt + 1 == _TRIES_MAX:
                    raise
                self.remove(place)
                time.sleep(0.1 * (attempt + 1))
            else:
                break
        return place

    def remove(self, place: Path) -> None:
        """Take one worktree away, half-made ones too. Only ever touches what lies under `folder`."""
        if not self.commit or self.folder not in place.parents:
            return
        try:
            git(self.repository, "worktree", "remove", "--force", "--force", str(place))
        except GitError:
            shutil.rmtree(place, ignore_errors=True)
            self._forget(place)

    def remove_all(self) -> None:
        """Take away every worktree under `folder`, those of killed agents included."""
        if not self.commit:
            return
        for place in self.left():
            self.remove(place)

    def left(self) -> Sequence[Path]:
        """The worktrees that git still knows under `folder`."""
        if not self.commit:
            return ()
        lines = git(self.repository, "worktree", "list", "--porcelain").splitlines()
        places = (Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree "))
        return [place for place in places if self.folder in place.parents]

    def _forget(self, place: Path) -> None:
        """What `git worktree prune` would do, for this one place only: other worktrees are not ours to judge."""
        common = Path(self.repository, git(self.repository, "rev-parse", "--git-common-dir").strip())
        for pointer in common.glob("worktrees/*/gitdir"):
            try:
                if Path(pointer.read_text().strip()).parent == place:
                    shutil.rmtree(pointer.parent, ignore_errors=True)
            except OSError:
                continue  # another agent has just removed its own


def tracked_files(repository: Path, commit: str) -> list[str]:
    """All paths of a commit."""
    return git(repository, "ls-tree", "-r", "-z", "--name-only", commit).rstrip("\0").split("\0")


def top_of(folder: Path) -> Path | None:
    """The top of the work tree around `folder`, or None outside of one."""
    try:
        return Path(git(folder, "rev-parse", "--show-toplevel").strip())
    except (GitError, FileNotFoundError):
        return None

"""A `git` in front of the real one, which does something else at one call: fail, lose the answer, hang, kill.

The plan is a file, so that it can change while a store object lives: `MODE NUMBER`, NUMBER counted from the plan on,
or `all`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_SCRIPT = """#!/bin/sh
dir='{folder}'
real='{real}'
echo "$*" >> "$dir/calls"
read mode number < "$dir/plan" || exec "$real" "$@"
done=$(wc -l < "$dir/counted")
echo x >> "$dir/counted"
[ "$number" = all ] || [ "$((done + 1))" = "$number" ] || exec "$real" "$@"
case "$mode" in
  fail) echo "fatal: unable to access: planted" >&2; exit 128;;
  lost) "$real" "$@" > /dev/null 2>&1; echo "fatal: the remote end hung up unexpectedly" >&2; exit 128;;
  hang) sleep 1000;;
  late) "$real" "$@" > /dev/null 2>&1; sleep 1000;;
  kill) kill -9 $PPID; exit 1;;
  killed-after) "$real" "$@" > /dev/null 2>&1; kill -9 $PPID; exit 1;;
  orphan) kill -9 $PPID; sleep 0.05; exec "$real" "$@" < /dev/null > /dev/null 2>&1;;
esac
"""


class Shim:
    """The git in front. `path` is to be put in front of PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        real = shutil.which("git")
        assert real is not None
        script = folder / "bin" / "git"
        script.parent.mkdir()
        script.write_text(_SCRIPT.format(folder=folder, real=real))
        script.chmod(0o755)
        self.path = f"{script.parent}{os.pathsep}{os.environ['PATH']}"
        self.plan("none", 0)

    def plan(self, mode: str, number: int | str) -> None:
        """At the call with this number from now on, or at `all`, do `mode` instead."""
        (self.folder / "counted").write_text("")
        (self.folder / "calls").write_text("")
        (self.folder / "plan").write_text(f"{mode} {number}\n")

    def calls(self, word: str = "") -> int:
        """How many calls had this word since the plan."""
        return sum(f" {word} " in f" {line} " for line in (self.folder / "calls").read_text().splitlines())


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shim:
    """A git in front of the real one, for this test."""
    planted = Shim(tmp_path / "shim")
    monkeypatch.setenv("PATH", planted.path)
    return planted

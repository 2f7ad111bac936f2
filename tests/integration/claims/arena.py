"""Real processes around one state root: start them, wait for what they do, look at what the kernel knows of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sharedstate import SharedState

T = TypeVar("T")
DEADLINE_S = 30.0


def wait_for(look: Callable[[], T | None], *, what: str) -> T:
    """What `look` finds, as soon as it is neither None nor False."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        found = look()
        if found is not None and found is not False:
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {DEADLINE_S} s: {what}")


class Arena:
    """A state root and the processes that work on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(("SHARED_STATE", "TASK_CLAIM"))},
            "SHARED_STATE_DIR": str(self.root),
            "SHARED_STATE_OWNER": "here/holder",
            "PYTHONUNBUFFERED": "1",
        }

    def open(self, owner: str = "here/other") -> SharedState:
        """The state, as another owner sees it."""
        return SharedState.open(self.root, owner=owner, folder=self.folder)

    def start(self, words: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start a program on this root."""
        return subprocess.Popen(
            words,
            text=True,
            cwd=self.folder,
            env={**self.environment, **options.pop("environment", {})},
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE),
            **options,
        )

    @contextmanager
    def script(self, code: str, *words: str) -> Generator[subprocess.Popen[str]]:
        """Run Python code for the length of a block; afterwards it is gone."""
        path = self.folder / f"script{len(list(self.folder.glob('script*')))}.py"
        path.write_text(code, "utf-8")
        with self.running([sys.executable, str(path), *words]) as started:
            yield started

    @contextmanager
    def running(self, words: Sequence[str], **options: Any) -> Generator[subprocess.Popen[str]]:
        """Run a program for the length of a block; afterwards it is gone."""
        started = self.start(words, **options)
        try:
            yield started
        finally:
            started.kill()
            started.communicate()

    def claims(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        started = self.start(command(*words), **options)
        try:
            out, err = started.communicate(timeout=DEADLINE_S)
        finally:
            started.kill()
        return subprocess.CompletedProcess(started.args, started.returncode, out, err)

    def task(self, task: str = "T") -> tuple[str, str | None]:
        """Status and last error of a task."""
        with self.open() as state:
            view = state.tasks.get(task)
            return ("unknown", None) if view is None else (view.state.status, view.state.last_error)

    def holder(self, task: str = "T") -> str | None:
        """Who holds the task now."""
        with self.open() as state:
            view = state.tasks.get(task)
            return None if view is None else view.state.owner

    def processes(self) -> dict[int, str]:
        """Every running process that has this root in its environment, with its command line."""
        mark = f"SHARED_STATE_DIR={self.root}".encode()
        return {pid: line for pid, line, environment in everything() if mark in environment.split(b"\0")}


def command(*words: str) -> list[str]:
    """The command line of `claims`."""
    return [sys.executable, "-m", "sharedstate_cli", *words]


def everything() -> Iterator[tuple[int, str, bytes]]:
    """Pid, command line and environment of every living process that we may look at."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            line = Path("/proc", name, "cmdline").read_bytes()
            environment = Path("/proc", name, "environ").read_bytes()
        except OSError:
            continue
        if line:
            yield int(name), line.replace(b"\0", b" ").decode(errors="replace"), environment


def is_running(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def heard(started: subprocess.Popen[str]) -> dict[str, Any]:
    """The next JSON object that the program prints."""
    assert started.stdout is not None
    line = started.stdout.readline()
    assert line, f"ended with {started.wait()}: {started.stderr.read() if started.stderr else ''}"
    document: dict[str, Any] = json.loads(line)
    return document

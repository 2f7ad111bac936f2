"""The schedulers of this machine: put a job's files where they belong, and tell the scheduler of them.

Installing twice changes nothing; removing what is not there is fine. Whatever else a crontab holds stays as it is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any, Final, Protocol

from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate.values import Value
from sharedstate_cli import schedules
from sharedstate_cli.schedules import Job, Text

TOOL_TIMEOUT_S: Final = 30
_DETAIL_CHARACTERS_MAX: Final = 300


class Change(Value):
    """One thing installed or removed: where (a path, or `crontab`), and whether it was not so before."""

    where: str
    changed: bool


class Found(Value):
    """One thing that is installed, and whether the scheduler runs it (None: it cannot be asked here)."""

    where: str
    active: bool | None


class Scheduler(Protocol):
    """What every scheduler can do. All raise `StoreUnavailable` when the scheduler's own tool fails or is missing."""

    def install(self, jobs: Sequence[Job]) -> list[Change]:
        """Put the jobs in place and have them run."""
        ...

    def remove(self, jobs: Sequence[Job]) -> list[Change]:
        """Take the jobs back."""
        ...

    def status(self, jobs: Sequence[Job]) -> list[Found]:
        """What of the jobs is installed. Never fails for want of a tool."""
        ...


def scheduler(system: str, *, folder: str) -> Scheduler:
    """The scheduler called `system`; a workflow belongs to the repository around `folder`."""
    if system == "systemd":
        home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return Systemd(os.path.join(home, "systemd", "user"))
    if system == "cron":
        return Cron()
    if system == "launchd":
        return Launchd(os.path.expanduser("~/Library/LaunchAgents"), domain=f"gui/{os.getuid()}")
    return Workflow(folder)


class Systemd:
    """Timers of the user's own systemd."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def install(self, jobs: Sequence[Job]) -> list[Change]:
        """Write the units, and start their timers."""
        _tool("systemctl", "--user", "show-environment")  # where it does not answer, nothing is left lying about
        changes = [_write(self._folder, file) for job in jobs for file in schedules.systemd(job)]
        _tool("systemctl", "--user", "daemon-reload")
        for job in jobs:
            changed = any(change.changed and job.unit in change.where for change in changes)
            _tool("systemctl", "--user", "enable", f"{job.unit}.timer")
            _tool("systemctl", "--user", "restart" if changed else "start", f"{job.unit}.timer")
        return changes

    def remove(self, jobs: Sequence[Job]) -> list[Change]:
        """Stop the timers, and delete the units."""
        for job in jobs:
            _try_tool("systemctl", "--user", "disable", "--now", f"{job.unit}.timer")
        changes = [_drop(self._folder, name) for job in jobs for name in _unit_names(job)]
        _try_tool("systemctl", "--user", "daemon-reload")
        return changes

    def status(self, jobs: Sequence[Job]) -> list[Found]:
        """The timers there are."""
        found: list[Found] = []
        for job in jobs:
            path = os.path.join(self._folder, f"{job.unit}.timer")
            if os.path.exists(path):
                asked = _try_tool("systemctl", "--user", "is-active", f"{job.unit}.timer")
                found.append(Found(where=path, active=None if asked is None else asked.returncode == 0))
        return found


class Launchd:
    """Launch agents of the user, in the domain `gui/UID`."""

    def __init__(self, folder: str, *, domain: str) -> None:
        self._folder = folder
        self._domain = domain

    def install(self, jobs: Sequence[Job]) -> list[Change]:
        """Write the agents, and load them anew."""
        _tool("launchctl", "print", self._domain)  # where it does not answer, nothing is left lying about
        changes: list[Change] = []
        for job in jobs:
            change = _write(self._folder, schedules.launchd(job))
            if change.changed or not self._is_loaded(job):
                _try_tool("launchctl", "bootout", f"{self._domain}/{job.unit}")  # an older one would stay
                _tool("launchctl", "bootstrap", self._domain, change.where)
            changes.append(change)
        return changes

    def remove(self, jobs: Sequence[Job]) -> list[Change]:
        """Unload the agents, and delete their files."""
        for job in jobs:
            _try_tool("launchctl", "bootout", f"{self._domain}/{job.unit}")
        return [_drop(self._folder, f"{job.unit}.plist") for job in jobs]

    def status(self, jobs: Sequence[Job]) -> list[Found]:
        """The agents there are."""
        paths = [(job, os.path.join(self._folder, f"{job.unit}.plist")) for job in jobs]
        return [Found(where=path, active=self._is_loaded(job)) for job, path in paths if os.path.exists(path)]

    def _is_loaded(self, job: Job) -> bool | None:
        asked = _try_tool("launchctl", "print", f"{self._domain}/{job.unit}")
        return None if asked is None else asked.returncode == 0


class Cron:
    """Lines in the user's crontab."""

    def install(self, jobs: Sequence[Job]) -> list[Change]:
        """Replace our lines where they stand, add new ones at the end."""
        lines = {job.unit: schedules.crontab_line(job) for job in jobs}
        return [self._change(schedules.crontab_with(_crontab(), lines=lines))]

    def remove(self, jobs: Sequence[Job]) -> list[Change]:
        """Take our lines out."""
        return [self._change(schedules.crontab_without(_crontab(), units=[job.unit for job in jobs]))]

    def status(self, jobs: Sequence[Job]) -> list[Found]:
        """Our lines."""
        asked = _try_tool("crontab", "-l")
        if asked is None or asked.returncode:
            return []
        lines = schedules.crontab_lines(asked.stdout, units=[job.unit for job in jobs])
        return [Found(where=f"crontab: {line}", active=True) for line in lines]

    def _change(self, after: str) -> Change:
        changed = after != _crontab()
        if changed:
            _tool("crontab", "-", stdin=after)
        return Change(where="crontab", changed=changed)


class Workflow:
    """A GitHub Actions workflow in the repository around `folder`. What is run there is up to a commit."""

    def __init__(self, folder: str) -> None:
        self._from = folder

    def install(self, jobs: Sequence[Job]) -> list[Change]:
        """Write the workflow."""
        self._refuse_foreign()
        return [_write(self._folder(), schedules.workflow(jobs))]

    def remove(self, jobs: Sequence[Job]) -> list[Change]:
        """Delete the workflow."""
        self._refuse_foreign()
        return [_drop(self._folder(), os.path.basename(schedules.WORKFLOW))]

    def status(self, jobs: Sequence[Job]) -> list[Found]:
        """The workflow, if it is there."""
        try:
            path = self._path()
        except InvalidInput:
            return []
        return [Found(where=path, active=None)] if os.path.exists(path) else []

    def _folder(self) -> str:
        return os.path.dirname(self._path())

    def _path(self) -> str:
        from sharedstate.claims.identity import find_worktree

        tree = find_worktree(self._from)
        if tree is None:
            raise InvalidInput("a workflow belongs into a repository; the working directory is in none")
        return os.path.join(tree.top, schedules.WORKFLOW)

    def _refuse_foreign(self) -> None:
        text = _read(self._path())
        if text is not None and not text.startswith(schedules.WORKFLOW_HEAD):
            raise InvalidInput(f"{self._path()} is not ours: its first line says nothing of `claims schedule`")


def _unit_names(job: Job) -> tuple[str, str]:
    return f"{job.unit}.timer", f"{job.unit}.service"


# Files


def _write(folder: str, file: Text) -> Change:
    path = os.path.join(folder, file.name)
    if _read(path) == file.content:
        return Change(where=path, changed=False)
    try:
        os.makedirs(folder, exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as out:
            out.write(file.content)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {path}: {error.strerror}") from error
    return Change(where=path, changed=True)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailable(f"cannot read {path}: {error.strerror}") from error


def _drop(folder: str, name: str) -> Change:
    path = os.path.join(folder, name)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return Change(where=path, changed=False)
    except OSError as error:
        raise StoreUnavailable(f"cannot remove {path}: {error.strerror}") from error
    return Change(where=path, changed=True)


# Tools


def _crontab() -> str:
    """The user's crontab; empty only when there is none: what could not be read must not be written over."""
    asked = _run("crontab", "-l")
    if asked.returncode == 0:
        return str(asked.stdout)
    said = asked.stderr.lower()
    if "no crontab" in said or "no such file" in said:
        return ""
    raise _failure(asked, "crontab", "-l")


def _tool(*words: str, stdin: str | None = None) -> None:
    done = _run(*words, stdin=stdin)
    if done.returncode:
        raise _failure(done, *words)


def _try_tool(*words: str) -> subprocess.CompletedProcess[str] | None:
    """What one of the scheduler's tools says; None where it cannot be asked."""
    try:
        return _run(*words)
    except StoreUnavailable:
        return None


def _failure(done: subprocess.CompletedProcess[str], *words: str) -> StoreUnavailable:
    said = " ".join(done.stderr.split())[:_DETAIL_CHARACTERS_MAX] or f"exit code {done.returncode}"
    return StoreUnavailable(
        f"{' '.join(words[:4])}: {said}", hint="`claims schedule print` shows what to install by hand"
    )


def _run(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    options: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}
    try:
        return subprocess.run(
            words, input=stdin, capture_output=True, timeout=TOOL_TIMEOUT_S, check=False, text=True, **options
        )
    except OSError as error:
        raise StoreUnavailable(
            f"{words[0]} cannot be run here: {error.strerror}",
            hint="`claims schedule print` shows what to install by hand",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise StoreUnavailable(f"{' '.join(words[:3])} did not end within {TOOL_TIMEOUT_S} s") from error

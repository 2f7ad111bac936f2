"""`claims schedule`: let the machine's own scheduler run sweeps and syncs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate_cli import schedules
from sharedstate_cli.report import Report
from sharedstate_cli.schedules import Job, Text
from sharedstate_cli.session import Session

_TOOL_TIMEOUT_S = 30


def show(session: Session, **given: Any) -> Report:
    """`schedule print`: what would be installed, on stdout; nothing is written."""
    system, jobs = _system(given), _jobs(session, given)
    files = _render(system, jobs)
    document = {"ok": True, "system": system, "files": [file.fields() for file in files]}
    several = len(files) > 1
    lines = [line for file in files for line in ([f"# {file.name}"] if several else []) + file.content.splitlines()]
    return Report(document=document, lines=tuple(lines))


def install(session: Session, **given: Any) -> Report:
    """`schedule install`: write the files and tell the scheduler. Installing twice changes nothing."""
    system, jobs = _system(given), _jobs(session, given)
    files = _render(system, jobs)
    if system == "cron":
        _write_crontab(schedules.crontab_without(_crontab(), units=_units(jobs)) + files[0].content)
        written = ["crontab"]
    else:
        written = [_write(_folder(system, session), file) for file in files]
        _activate(system, jobs, written)
    return Report(
        document={"ok": True, "system": system, "written": written}, lines=tuple(f"installed {w}" for w in written)
    )


def remove(session: Session, **given: Any) -> Report:
    """`schedule remove`: take back what `install` wrote. Removing what is not there is fine."""
    system, jobs = _system(given), _all_jobs(session)
    if system == "cron":
        before = _crontab()
        after = schedules.crontab_without(before, units=_units(jobs))
        removed = ["crontab"] if after != before else []
        if removed:
            _write_crontab(after)
    else:
        _deactivate(system, jobs)
        removed = [path for file in _names(system, jobs) if (path := _drop(_folder(system, session), file))]
    lines = tuple(f"removed {path}" for path in removed) or ("nothing was installed",)
    return Report(document={"ok": True, "system": system, "removed": removed}, lines=lines)


def status(session: Session, **given: Any) -> Report:
    """`schedule status`: which jobs of this state root are installed, for which scheduler."""
    jobs = _all_jobs(session)
    found: list[dict[str, str]] = []
    for system in schedules.SYSTEMS:
        for where in _installed(system, jobs, session):
            found.append({"system": system, "where": where})
    lines = tuple(f"{one['system']}: {one['where']}" for one in found) or ("nothing is installed",)
    return Report(document={"ok": True, "installed": found}, lines=lines)


def _system(given: dict[str, Any]) -> str:
    chosen = [name for name in schedules.SYSTEMS if given.get(name.replace("-", "_"))]
    if len(chosen) > 1:
        raise InvalidInput(f"one scheduler at a time, not {' and '.join(chosen)}")
    if chosen:
        return chosen[0]
    return "launchd" if sys.platform == "darwin" else "systemd" if os.path.isdir("/run/systemd/system") else "cron"


def _jobs(session: Session, given: dict[str, Any]) -> list[Job]:
    wanted = given.get("job") or "both"
    jobs = _all_jobs(session, sweep_ms=given.get("sweep_every"), sync_ms=given.get("sync_every"))
    syncing = bool(session.state.settings.repository)
    if wanted == "both":
        return [job for job in jobs if job.name == "sweep" or syncing]
    return [job for job in jobs if job.name == wanted]


def _all_jobs(session: Session, *, sweep_ms: int | None = None, sync_ms: int | None = None) -> list[Job]:
    root = session.state.root
    mark = blake2b(os.fsencode(root), digest_size=4).hexdigest()
    command = _command()
    at = ("--dir", root)
    folder = os.getcwd()
    return [
        Job(
            name="sweep",
            words=(command, "sweep", *at),
            every_ms=schedules.check_every(sweep_ms or 5 * schedules.MINUTE_MS),
            folder=folder,
            mark=mark,
        ),
        Job(
            name="sync",
            words=(command, "sync", "--once", *at),
            every_ms=schedules.check_every(sync_ms or 5 * schedules.MINUTE_MS),
            folder=folder,
            mark=mark,
        ),
    ]


def _command() -> str:
    """The absolute path of this very command: a scheduler has a PATH of its own."""
    beside = os.path.join(os.path.dirname(sys.executable), "claims")
    return beside if os.path.exists(beside) else os.path.abspath(sys.argv[0])


def _render(system: str, jobs: Sequence[Job]) -> list[Text]:
    if not jobs:
        raise InvalidInput("nothing to schedule: no repository is configured for sync (SHARED_STATE_REPOSITORY)")
    if system == "systemd":
        return schedules.systemd(jobs)
    if system == "cron":
        return schedules.cron(jobs)
    if system == "launchd":
        return schedules.launchd(jobs)
    return schedules.github_actions(jobs, package="sharedstate[github]")


def _units(jobs: Sequence[Job]) -> list[str]:
    return [job.unit for job in jobs]


def _names(system: str, jobs: Sequence[Job]) -> list[str]:
    endings = {"systemd": (".timer", ".service"), "launchd": (".plist",)}
    if system == "github-actions":
        return ["sharedstate.yml"]
    return [job.unit + ending for job in jobs for ending in endings.get(system, ())]


def _folder(system: str, session: Session) -> str:
    if system == "systemd":
        home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return os.path.join(home, "systemd", "user")
    if system == "launchd":
        return os.path.expanduser("~/Library/LaunchAgents")
    from sharedstate.claims.identity import find_worktree

    tree = find_worktree(os.getcwd())
    if tree is None:
        raise InvalidInput("a workflow belongs into a repository; the working directory is in none")
    return os.path.join(tree.top, os.path.dirname(schedules.WORKFLOW))


def _write(folder: str, file: Text) -> str:
    path = os.path.join(folder, file.name)
    try:
        os.makedirs(folder, exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(file.content)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {path}: {error.strerror}") from error
    return path


def _drop(folder: str, name: str) -> str | None:
    path = os.path.join(folder, name)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailable(f"cannot remove {path}: {error.strerror}") from error
    return path


def _installed(system: str, jobs: Sequence[Job], session: Session) -> list[str]:
    if system == "cron":
        ends = tuple(f"# {unit}" for unit in _units(jobs))
        return [line for line in _crontab(missing_ok=True).splitlines() if line.endswith(ends)]
    try:
        folder = _folder(system, session)
    except InvalidInput:
        return []
    paths = [os.path.join(folder, name) for name in _names(system, jobs)]
    return [path for path in paths if os.path.exists(path)]


def _activate(system: str, jobs: Sequence[Job], written: Sequence[str]) -> None:
    if system == "systemd":
        _tool("systemctl", "--user", "daemon-reload")
        for job in jobs:
            _tool("systemctl", "--user", "enable", "--now", f"{job.unit}.timer")
    elif system == "launchd":
        for path in written:
            _tool("launchctl", "load", "-w", path)


def _deactivate(system: str, jobs: Sequence[Job]) -> None:
    for job in jobs:
        if system == "systemd":
            _tool("systemctl", "--user", "disable", "--now", f"{job.unit}.timer", must=False)
        elif system == "launchd":
            _tool("launchctl", "remove", job.unit, must=False)


def _crontab(*, missing_ok: bool = False) -> str:
    done = _tool("crontab", "-l", must=False, missing_ok=missing_ok)
    return "" if done is None or done.returncode else done.stdout


def _write_crontab(text: str) -> None:
    _tool("crontab", "-", stdin=text)


def _tool(
    *words: str, must: bool = True, missing_ok: bool = False, stdin: str | None = None
) -> subprocess.CompletedProcess[str] | None:
    """Run one of the scheduler's own tools; its failure is ours when it `must` succeed."""
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=_TOOL_TIMEOUT_S, check=False, encoding="utf-8"
        )
    except (FileNotFoundError, PermissionError) as error:
        if missing_ok:
            return None
        raise StoreUnavailable(
            f"{words[0]} is not on this machine; `claims schedule print` shows what to install"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise StoreUnavailable(f"{' '.join(words[:3])} did not end within {_TOOL_TIMEOUT_S} s") from error
    if must and done.returncode:
        raise StoreUnavailable(f"{' '.join(words[:4])}: {done.stderr.strip()[:300] or f'exit {done.returncode}'}")
    return done

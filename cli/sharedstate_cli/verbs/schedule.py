"""`claims schedule`: let the machine's own scheduler run sweeps and syncs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from sharedstate.errors import BadSettings
from sharedstate.ids import fingerprint
from sharedstate.settings import BY_NAME, Settings
from sharedstate_cli import schedules
from sharedstate_cli.hot import Usage
from sharedstate_cli.report import Report
from sharedstate_cli.schedulers import Change, scheduler
from sharedstate_cli.schedules import EVERY_MS_DEFAULT, JOBS, Job
from sharedstate_cli.session import Session


def show(
    session: Session,
    *,
    systemd: bool,
    cron: bool,
    launchd: bool,
    github_actions: bool,
    sweep_every: int | None,
    sync_every: int | None,
    job: str,
) -> Report:
    """`schedule print`: what would be installed, on stdout; nothing is written."""
    system = _system(systemd=systemd, cron=cron, launchd=launchd, github_actions=github_actions)
    jobs = _wanted(session, system, job=job, sweep_every=sweep_every, sync_every=sync_every)
    files = schedules.render(system, jobs)
    several = len(files) > 1
    lines = [line for file in files for line in ([f"# {file.name}"] if several else []) + file.content.splitlines()]
    return Report(
        document={"ok": True, "system": system, "files": [file.fields() for file in files]},
        lines=tuple(lines),
        notes=tuple(_remarks(session.state.settings, system, jobs)),
    )


def install(
    session: Session,
    *,
    systemd: bool,
    cron: bool,
    launchd: bool,
    github_actions: bool,
    sweep_every: int | None,
    sync_every: int | None,
    job: str,
) -> Report:
    """`schedule install`: write the files and tell the scheduler. Installing twice changes nothing."""
    system = _system(systemd=systemd, cron=cron, launchd=launchd, github_actions=github_actions)
    jobs = _wanted(session, system, job=job, sweep_every=sweep_every, sync_every=sync_every)
    changes = scheduler(system, folder=os.getcwd()).install(jobs)
    return _changed(system, changes, done="installed", notes=tuple(_remarks(session.state.settings, system, jobs)))


def remove(session: Session, *, systemd: bool, cron: bool, launchd: bool, github_actions: bool, job: str) -> Report:
    """`schedule remove`: take back what `install` wrote. Removing what is not there is fine."""
    system = _system(systemd=systemd, cron=cron, launchd=launchd, github_actions=github_actions)
    jobs = [one for one in _jobs(session) if job in (one.name, "both")]
    return _changed(system, scheduler(system, folder=os.getcwd()).remove(jobs), done="removed")


def status(session: Session, *, systemd: bool, cron: bool, launchd: bool, github_actions: bool) -> Report:
    """`schedule status`: which jobs of this state root are installed, and where; without an option, for all of them."""
    chosen = _chosen(systemd=systemd, cron=cron, launchd=launchd, github_actions=github_actions)
    jobs = _jobs(session)
    found = [
        (system, one)
        for system in chosen or schedules.SYSTEMS
        for one in scheduler(system, folder=os.getcwd()).status(jobs)
    ]
    words = {True: "active", False: "not active", None: "cannot be asked here"}
    lines = tuple(f"{system}: {one.where} ({words[one.active]})" for system, one in found)
    document = {
        "ok": True,
        "installed": [{"system": system, "where": one.where, "active": one.active} for system, one in found],
    }
    return Report(document=document, lines=lines or ("nothing is installed",))


def _changed(system: str, changes: Sequence[Change], *, done: str, notes: tuple[str, ...] = ()) -> Report:
    changed = [change.where for change in changes if change.changed]
    document = {
        "ok": True,
        "system": system,
        "changed": changed,
        "unchanged": [change.where for change in changes if not change.changed],
    }
    lines = tuple(f"{done} {where}" for where in changed) or (f"nothing had to be {done}",)
    return Report(document=document, lines=lines, notes=notes)


# Which scheduler


def _chosen(*, systemd: bool, cron: bool, launchd: bool, github_actions: bool) -> list[str]:
    given = {"systemd": systemd, "cron": cron, "launchd": launchd, "github-actions": github_actions}
    return [name for name, wanted in given.items() if wanted]


def _system(*, systemd: bool, cron: bool, launchd: bool, github_actions: bool) -> str:
    """The one that is asked for, else the one that this machine has."""
    chosen = _chosen(systemd=systemd, cron=cron, launchd=launchd, github_actions=github_actions)
    if len(chosen) > 1:
        raise Usage(f"one scheduler at a time, not {' and '.join(chosen)}")
    if chosen:
        return chosen[0]
    if sys.platform == "darwin":
        return "launchd"
    return "systemd" if os.path.isdir("/run/systemd/system") else "cron"


# Which jobs


def _wanted(session: Session, system: str, *, job: str, sweep_every: int | None, sync_every: int | None) -> list[Job]:
    """The jobs that are asked for; a sync only where there is something to sync with."""
    every = {"sweep": sweep_every, "sync": sync_every}
    jobs = [one.replace(every_ms=every[one.name] or EVERY_MS_DEFAULT) for one in _jobs(session)]
    can_sync = system == "github-actions" or bool(session.state.settings.repository)
    if job == "sync" and not can_sync:
        raise BadSettings(
            "there is no repository to sync with",
            hint="set SHARED_STATE_REPOSITORY, or `repository` in sharedstate.toml",
        )
    return [
        schedules.check_job(one)
        for one in jobs
        if one.name == job or (job == "both" and (one.name == "sweep" or can_sync))
    ]


def _jobs(session: Session) -> list[Job]:
    """Both jobs of this state root."""
    root = session.state.root
    mark = fingerprint(os.fsencode(root), size=4)
    return [Job(name=name, command=_command(), root=root, folder=os.getcwd(), mark=mark) for name in JOBS]


def _command() -> tuple[str, ...]:
    """How to call this very command by absolute paths: a scheduler has a PATH of its own."""
    beside = os.path.join(os.path.dirname(sys.executable), "claims")
    return (beside,) if os.access(beside, os.X_OK) else (sys.executable, "-m", "sharedstate_cli")


# What a scheduler does not know


def _remarks(settings: Settings, system: str, jobs: Sequence[Job]) -> Iterable[str]:
    if system == "github-actions":
        yield (
            "commit the workflow to the default branch; other machines trust its comments when 41898282"
            " (github-actions[bot]) is among their SHARED_STATE_TRUSTED_AUTHORS"
        )
        return
    unseen = sorted(
        BY_NAME[name].env
        for name, origin in settings.origins.items()
        if origin.startswith("environment") and name != "dir"
    )
    if unseen:
        yield f"a scheduler does not see this shell's {', '.join(unseen)}: put what matters into sharedstate.toml"
    syncs = any(job.name == "sync" for job in jobs)
    if syncs and not settings.github_token_file and not settings.github_app_id:
        yield "a scheduler does not see GITHUB_TOKEN: name a file with it as `github_token_file` in sharedstate.toml"
    if system == "systemd":
        yield "user timers rest while you are logged out, unless `loginctl enable-linger` is set"

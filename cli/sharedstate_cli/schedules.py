"""Schedules for sweeps and syncs, as text: systemd units, crontab lines, launchd agents, a GitHub Actions workflow.

Pure: what is rendered here is what `claims schedule print` shows and `install` writes. Every job is single-flight and
exits 0 when there was nothing to do, so that no scheduler mails about a sweep that found something.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from sharedstate.errors import InvalidInput
from sharedstate.values import Value

MINUTE_MS: Final = 60_000
EVERY_MS_DEFAULT: Final = 5 * MINUTE_MS
EVERY_MS_MIN: Final = MINUTE_MS
EVERY_MS_MAX: Final = 86_400_000
SYSTEMS: Final = ("systemd", "cron", "launchd", "github-actions")
JOBS: Final = ("sweep", "sync")
WORKFLOW: Final = ".github/workflows/sharedstate.yml"
WORKFLOW_HEAD: Final = (
    "# Written by `claims schedule install`, which writes it anew; `claims schedule remove` deletes it."
)
WORKFLOW_MINUTES_MIN: Final = 5  # GitHub runs no schedule more often
PACKAGE: Final = "sharedstate[github]"
_ARGUMENTS: Final = {"sweep": ("sweep",), "sync": ("sync", "--once")}


class Job(Value):
    """One command to run again and again: `name` (sweep, sync), how to call `claims`, its state root, in which folder.

    `every_ms` is in milliseconds. `mark` tells the jobs of one state root from those of another (8 hex digits).
    """

    name: str
    command: tuple[str, ...]
    root: str
    folder: str
    mark: str
    every_ms: int = EVERY_MS_DEFAULT

    @property
    def unit(self) -> str:
        """The name under which a scheduler knows the job."""
        return f"sharedstate-{self.name}-{self.mark}"

    @property
    def words(self) -> tuple[str, ...]:
        """The command line."""
        return (*self.command, *_ARGUMENTS[self.name], "--dir", self.root)

    @property
    def minutes(self) -> int:
        """The interval in minutes."""
        return self.every_ms // MINUTE_MS


class Text(Value):
    """One file of a schedule: its name (no folder) and its content."""

    name: str
    content: str


def check_job(job: Job) -> Job:
    """A job that every scheduler can run: whole minutes from one to a day, no control characters in any path.

    Raises `InvalidInput`.
    """
    if not EVERY_MS_MIN <= job.every_ms <= EVERY_MS_MAX or job.every_ms % MINUTE_MS:
        raise InvalidInput("an interval of a schedule is in whole minutes, from 1m to 24h")
    for word in (*job.words, job.folder):
        # Line breaks end a line of a unit or a crontab, and a backslash at its end continues it.
        if not word.isprintable() or word.endswith("\\") or word != word.strip():
            raise InvalidInput(f"no scheduler can be trusted with this path: {word!r}")
    return job


def render(system: str, jobs: Sequence[Job]) -> list[Text]:
    """The files of a schedule for one of `SYSTEMS`. Raises `InvalidInput` for an interval that it cannot keep."""
    if system == "systemd":
        return [text for job in jobs for text in systemd(job)]
    if system == "cron":
        return [Text(name="crontab", content="".join(f"{crontab_line(job)}\n" for job in jobs))]
    if system == "launchd":
        return [launchd(job) for job in jobs]
    return [workflow(jobs)]


def systemd(job: Job) -> tuple[Text, Text]:
    """A oneshot service and its timer, for `systemctl --user`."""
    command = " ".join((_program(job.words[0]), *(_argument(word) for word in job.words[1:])))
    service = (
        f"[Unit]\nDescription=sharedstate {job.name}\n\n"
        f"[Service]\nType=oneshot\nWorkingDirectory={job.folder.replace('%', '%%')}\n"
        f"ExecStart={command}\nTimeoutStartSec=15min\nNice=10\n"
    )
    timer = (
        f"[Unit]\nDescription=sharedstate {job.name}, every {job.minutes} min\n\n"
        f"[Timer]\nOnBootSec=2min\nOnUnitActiveSec={job.minutes}min\nRandomizedDelaySec=10\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    return Text(name=f"{job.unit}.service", content=service), Text(name=f"{job.unit}.timer", content=timer)


def crontab_line(job: Job) -> str:
    """One line, marked at its end. Errors reach the user by mail, the rest is dropped."""
    command = f"cd {shlex.quote(job.folder)} && {shlex.join(job.words)} >/dev/null"
    escaped = command.replace("%", "\\%")  # cron reads a bare % as the end of the command
    return f"{_cron_times(job.minutes)} {escaped} # {job.unit}"


def crontab_with(text: str, *, lines: Mapping[str, str]) -> str:
    """The crontab with these lines by unit: one that is there is replaced in its place, a new one comes last."""
    left = dict(lines)
    kept: list[str] = []
    for line in _lines(text):
        unit = _unit_of(line, lines)
        if unit is None:
            kept.append(line)
        elif unit in left:
            kept.append(left.pop(unit))
    return "".join(f"{line}\n" for line in (*kept, *left.values()))


def crontab_without(text: str, *, units: Sequence[str]) -> str:
    """The crontab without the lines of these units; every other line stays as it is."""
    return "".join(f"{line}\n" for line in _lines(text) if _unit_of(line, units) is None)


def crontab_lines(text: str, *, units: Sequence[str]) -> list[str]:
    """The lines of these units."""
    return [line for line in _lines(text) if _unit_of(line, units) is not None]


def launchd(job: Job) -> Text:
    """A launch agent."""
    import plistlib

    agent = {
        "Label": job.unit,
        "ProgramArguments": list(job.words),
        "WorkingDirectory": job.folder,
        "StartInterval": job.every_ms // 1000,
        "RunAtLoad": True,
        "ProcessType": "Background",
    }
    # It indents with tabs, which a terminal's output does not keep; no path of a job holds one.
    content = plistlib.dumps(agent, sort_keys=False).decode().replace("\t", "  ")
    return Text(name=f"{job.unit}.plist", content=content)


def workflow(jobs: Sequence[Job]) -> Text:
    """One workflow that runs the jobs on GitHub's machines, with the repository itself as the shared store.

    A runner begins with an empty disk: what machines share has to stand elsewhere, and paths of this machine mean
    nothing there.
    """
    minutes = max(WORKFLOW_MINUTES_MIN, min(job.minutes for job in jobs))
    steps = [f"      - name: {job.name}\n        run: claims {' '.join(_ARGUMENTS[job.name])}\n" for job in jobs]
    content = (
        f"{WORKFLOW_HEAD}\n"
        "name: sharedstate\n"
        f"on:\n  schedule:\n    - cron: {json.dumps(_cron_times(minutes))}\n  workflow_dispatch: {{}}\n"
        "permissions:\n  contents: read\n  issues: write\n"
        "concurrency:\n  group: sharedstate\n  cancel-in-progress: false\n"
        "jobs:\n  run:\n    runs-on: ubuntu-latest\n    timeout-minutes: 10\n    env:\n"
        "      GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}\n"
        "      SHARED_STATE_URL: github://${{ github.repository }}\n"
        "      SHARED_STATE_REPOSITORY: ${{ github.repository }}\n"
        "      SHARED_STATE_SIGNING_KEY: ${{ secrets.SHARED_STATE_SIGNING_KEY }}\n"
        "    steps:\n"
        "      - uses: actions/checkout@v4\n"
        "      - uses: actions/setup-python@v5\n"
        '        with:\n          python-version: "3.12"\n'
        f"      - name: install\n        run: pip install {shlex.quote(PACKAGE)}\n"
        f"{''.join(steps)}"
    )
    return Text(name="sharedstate.yml", content=content)


def _lines(text: str) -> list[str]:
    """Lines as cron sees them: a form feed or a Unicode separator in somebody's line ends none."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _unit_of(line: str, units: Sequence[str] | Mapping[str, str]) -> str | None:
    if line.lstrip().startswith("#"):
        return None  # switched off by hand: not ours any more
    return next((unit for unit in units if line.rstrip().endswith(f"# {unit}")), None)


def _cron_times(minutes: int) -> str:
    if minutes == 1:
        return "* * * * *"
    if minutes < 60 and 60 % minutes == 0:
        return f"*/{minutes} * * * *"
    hours = minutes // 60
    if minutes % 60 == 0 and 24 % hours == 0:
        return {1: "0 * * * *", 24: "0 0 * * *"}.get(hours, f"0 */{hours} * * *")
    raise InvalidInput("cron keeps only intervals that divide an hour or a day: 1m 5m 10m 15m 30m 1h 2h 6h 12h 24h …")


def _program(path: str) -> str:
    """The first word of ExecStart, in which $ is no variable. systemd starts no program whose path holds quotes."""
    if not set(path) & set("\"'\\"):
        return _quoted(path)
    if "=" in path:
        raise InvalidInput(f"systemd cannot start a program with this path: {path!r}")
    return f"/usr/bin/env {_argument(path)}"


def _argument(word: str) -> str:
    """A further word of ExecStart, in which $ would be a variable."""
    return word if word.replace("-", "").isalnum() else _quoted(word).replace("$", "$$")


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'

"""Schedules for sweeps and syncs, as text: systemd units, a crontab block, a launchd agent, a GitHub Actions workflow.

Pure: what is rendered here is what `claims schedule print` shows and `install` writes. Every job is single-flight and
exits 0 when there was nothing to do, so that no scheduler mails about a sweep that found something.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from sharedstate.errors import InvalidInput
from sharedstate.values import Value

MINUTE_MS: Final = 60_000
EVERY_MS_MIN: Final = MINUTE_MS
EVERY_MS_MAX: Final = 86_400_000
SYSTEMS: Final = ("systemd", "cron", "launchd", "github-actions")
WORKFLOW: Final = ".github/workflows/sharedstate.yml"


class Job(Value):
    """One command to run again and again: `name` (sweep, sync), its words, every how many milliseconds, in which folder.

    `mark` tells the jobs of one state root from those of another (8 hex digits).
    """

    name: str
    words: tuple[str, ...]
    every_ms: int
    folder: str
    mark: str

    @property
    def unit(self) -> str:
        """The name under which a scheduler knows the job."""
        return f"sharedstate-{self.name}-{self.mark}"


class Text(Value):
    """One file of a schedule: its name (no folder) and its content."""

    name: str
    content: str


def check_every(every_ms: int) -> int:
    """An interval that every scheduler can keep: whole minutes, from one minute to one day."""
    if not EVERY_MS_MIN <= every_ms <= EVERY_MS_MAX or every_ms % MINUTE_MS:
        raise InvalidInput("an interval for a schedule is in whole minutes, from 1m to 1d")
    return every_ms


def systemd(jobs: Sequence[Job]) -> list[Text]:
    """A oneshot service and a timer for each job, for `systemctl --user`."""
    files: list[Text] = []
    for job in jobs:
        service = (
            f"[Unit]\nDescription=sharedstate {job.name}\n\n"
            f"[Service]\nType=oneshot\nWorkingDirectory={_systemd_path(job.folder)}\n"
            f"ExecStart={' '.join(_systemd_word(word) for word in job.words)}\nTimeoutStartSec=300\nNice=10\n"
        )
        timer = (
            f"[Unit]\nDescription=sharedstate {job.name}, every {job.every_ms // MINUTE_MS} min\n\n"
            f"[Timer]\nOnBootSec=2min\nOnUnitActiveSec={job.every_ms // MINUTE_MS}min\nRandomizedDelaySec=10\n\n"
            "[Install]\nWantedBy=timers.target\n"
        )
        files += [Text(name=f"{job.unit}.service", content=service), Text(name=f"{job.unit}.timer", content=timer)]
    return files


def cron(jobs: Sequence[Job]) -> list[Text]:
    """One marked line for each job; `install` puts them between the lines of the user's crontab."""
    lines = [f"{_cron_times(job.every_ms)} {_cron_command(job)} # {job.unit}" for job in jobs]
    return [Text(name="crontab", content="\n".join(lines) + "\n")]


def launchd(jobs: Sequence[Job]) -> list[Text]:
    """A launch agent for each job."""
    files: list[Text] = []
    for job in jobs:
        words = "\n".join(f"    <string>{escape(word)}</string>" for word in job.words)
        content = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
            '<plist version="1.0">\n<dict>\n'
            f"  <key>Label</key>\n  <string>{job.unit}</string>\n"
            f"  <key>ProgramArguments</key>\n  <array>\n{words}\n  </array>\n"
            f"  <key>WorkingDirectory</key>\n  <string>{escape(job.folder)}</string>\n"
            f"  <key>StartInterval</key>\n  <integer>{job.every_ms // 1000}</integer>\n"
            "  <key>ProcessType</key>\n  <string>Background</string>\n</dict>\n</plist>\n"
        )
        files.append(Text(name=f"{job.unit}.plist", content=content))
    return files


def github_actions(jobs: Sequence[Job], *, package: str) -> list[Text]:
    """One workflow that runs the jobs on GitHub's own machines; only useful where the state is reached over the network.

    The state root of a runner is empty: `SHARED_STATE_URL` has to name a shared store. GitHub runs no schedule more often
    than every five minutes.
    """
    every = max(5, min(job.every_ms for job in jobs) // MINUTE_MS)
    steps = "\n".join(f"      - name: {job.name}\n        run: {shlex.join(_portable(job.words))}" for job in jobs)
    content = (
        "name: sharedstate\n"
        "on:\n  schedule:\n"
        f'    - cron: "{_cron_times(every * MINUTE_MS)}"\n  workflow_dispatch: {{}}\n'
        "permissions:\n  contents: read\n  issues: write\n"
        "concurrency:\n  group: sharedstate\n  cancel-in-progress: false\n"
        "jobs:\n  run:\n    runs-on: ubuntu-latest\n    timeout-minutes: 10\n    env:\n"
        "      GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}\n"
        "      SHARED_STATE_URL: github://${{ github.repository }}\n"
        "      SHARED_STATE_REPOSITORY: ${{ github.repository }}\n"
        "    steps:\n"
        "      - uses: actions/checkout@v4\n"
        "      - uses: actions/setup-python@v5\n        with:\n"
        '          python-version: "3.12"\n'
        f"      - name: install\n        run: pip install {shlex.quote(package)}\n"
        f"{steps}\n"
    )
    return [Text(name="sharedstate.yml", content=content)]


def crontab_without(text: str, *, units: Sequence[str]) -> str:
    """A crontab without the lines of these units; every other line stays as it is."""
    ends = tuple(f"# {unit}" for unit in units)
    kept = [line for line in text.splitlines() if not line.endswith(ends)]
    return "".join(line + "\n" for line in kept)


def _portable(words: Sequence[str]) -> list[str]:
    return ["claims", *words[1:]]


def _cron_times(every_ms: int) -> str:
    minutes = every_ms // MINUTE_MS
    if minutes < 60 and 60 % minutes == 0:
        return "* * * * *" if minutes == 1 else f"*/{minutes} * * * *"
    hours = minutes // 60
    if minutes % 60 == 0 and (24 % hours == 0):
        return f"0 */{hours} * * *" if hours < 24 else "0 0 * * *"
    raise InvalidInput(
        "cron keeps intervals that divide an hour or a day: 1m, 5m, 10m, 15m, 30m, 1h, 2h, 6h, 12h, 1d …"
    )


def _cron_command(job: Job) -> str:
    command = f"cd {shlex.quote(job.folder)} && {shlex.join(job.words)} >/dev/null"
    if "\n" in command:
        raise InvalidInput("a crontab line cannot hold a line break")
    return command.replace("%", "\\%")  # cron reads a bare % as a line break


def _systemd_word(word: str) -> str:
    """One word of ExecStart: quoted, with systemd's own specials (%, $, \\, ") escaped."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if not word.isalnum() else escaped


def _systemd_path(path: str) -> str:
    return path.replace("%", "%%")

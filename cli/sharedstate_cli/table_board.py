"""The commands about the board and the schedules; a part of the one table."""

from __future__ import annotations

from typing import Final

from sharedstate_cli.grammar import Command, Param
from sharedstate_cli.options import TASK

REPO: Final = Param(
    name="repo",
    flags=("--repo",),
    metavar="OWNER/NAME",
    about="Repository on GitHub; default: SHARED_STATE_REPOSITORY.",
)
SYNC: Final = (
    REPO,
    Param(name="once", flags=("--once",), kind="flag", default=False, about="One cycle; the default."),
    Param(name="every", flags=("--every",), kind="duration", about="Cycle after cycle, until SIGTERM or Ctrl-C."),
    Param(
        name="dry_run",
        flags=("--dry-run",),
        kind="flag",
        default=False,
        about="Only say what would be done; writes nothing.",
    ),
    Param(
        name="policy",
        flags=("--policy",),
        kind="choice",
        choices=("board-primary", "internal-primary", "mirror-only"),
        about="Who wins when both sides changed; default: SHARED_STATE_SYNC_POLICY.",
    ),
    Param(
        name="status",
        flags=("--status",),
        kind="flag",
        default=False,
        about="Only show counters, what waits, the last errors, when it goes on; asks nobody.",
    ),
)
SCHEDULERS: Final = (
    Param(name="systemd", flags=("--systemd",), kind="flag", default=False, about="A timer of your own systemd."),
    Param(name="cron", flags=("--cron",), kind="flag", default=False, about="A line in your crontab."),
    Param(name="launchd", flags=("--launchd",), kind="flag", default=False, about="A launch agent (macOS)."),
    Param(
        name="github_actions",
        flags=("--github-actions",),
        kind="flag",
        default=False,
        about="A workflow in this repository; the repository itself is the shared store there.",
    ),
)
INTERVALS: Final = (
    Param(
        name="sweep_every",
        flags=("--sweep-every",),
        kind="duration",
        about="How often to sweep, in whole minutes; default: 5m.",
    ),
    Param(
        name="sync_every",
        flags=("--sync-every",),
        kind="duration",
        about="How often to sync, in whole minutes; default: 5m.",
    ),
)
JOB: Final = Param(
    name="job",
    flags=("--job",),
    kind="choice",
    choices=("sweep", "sync", "both"),
    default="both",
    about="Which one; a sync only where a repository is configured.",
)


BOARD: Final[tuple[Command, ...]] = (
    Command(
        name="sync",
        about="Mirror task state to the board, bring home what people changed there.",
        handler="sharedstate_cli.verbs.sync:sync",
        params=SYNC,
        details="Exit code 0 also when something waits, and when another sync of this state root is running; 75: the "
        "board could not be reached; 78: no repository, no token, or no right. --every goes on whatever fails.",
    ),
    Command(
        name="board show",
        about="Show one task as the board shows it.",
        handler="sharedstate_cli.verbs.board:show",
        params=(TASK, REPO),
        details="Exit code 5: the board has no such item; 75: it could not be reached.",
    ),
    Command(
        name="board adopt",
        about="Report which state comments on the board count, which not, and why.",
        handler="sharedstate_cli.verbs.board:adopt",
        params=(
            Param(name="task", flags=("--task",), metavar="TASK", ids="all", about="Only those of this task."),
            REPO,
        ),
        details="Changes nothing, and says what to configure to trust an author.",
    ),
    Command(
        name="schedule print",
        about="Print what would make a scheduler run sweeps and syncs.",
        handler="sharedstate_cli.verbs.schedule:show",
        params=(*SCHEDULERS, *INTERVALS, JOB),
        details="Default: launchd on macOS, systemd where it runs, else cron.",
    ),
    Command(
        name="schedule install",
        about="Have a scheduler of yours run sweeps and syncs.",
        handler="sharedstate_cli.verbs.schedule:install",
        params=(*SCHEDULERS, *INTERVALS, JOB),
        details="Installing twice changes nothing.",
    ),
    Command(
        name="schedule remove",
        about="Take back what `schedule install` installed.",
        handler="sharedstate_cli.verbs.schedule:remove",
        params=(*SCHEDULERS, JOB),
    ),
    Command(
        name="schedule status",
        about="Show what of it is installed.",
        handler="sharedstate_cli.verbs.schedule:status",
        params=SCHEDULERS,
    ),
)

"""The one table of commands: plain data for the fast parser, the typer application, help, completion, the docs test.

A handler is named by text and loaded when its command runs, so that the table costs next to nothing.
"""

from __future__ import annotations

from typing import Final

from sharedstate_cli.grammar import Command, Param
from sharedstate_cli.options import (
    EVERYWHERE,
    FORCE,
    INTERVALS,
    JOB,
    LEASE,
    LIVE_OR_STDIN,
    MERGE,
    OWNER,
    REOPEN,
    REPO,
    SCHEDULERS,
    SYNC,
    TASK,
    TASK_OR_STDIN,
    TIMELINE,
    TOKEN,
)
from sharedstate_cli.table_stores import STORES

__all__ = ["BY_NAME", "COMMANDS", "EVERYWHERE", "GROUPS", "SCHEMAS", "Command", "Param"]

STATUSES: Final = ("new", "claimed", "complete", "failed", "abandoned", "all")
ENDINGS: Final = ("complete", "failed", "abandoned")
SCHEMAS: Final = (
    "record",
    "event",
    "claim",
    "refusal",
    "renewal",
    "loss",
    "release",
    "task",
    "tasks",
    "history",
    "status",
    "sweep",
    "retry-check",
    "change",
    "sync",
    "sync-status",
    "board-item",
    "trust",
    "error",
)
SHELLS: Final = ("bash", "zsh", "fish")
# Words that begin the names of several commands.
GROUPS: Final = {
    "board": "What the board shows of a task, and whose word counts there.",
    "schedule": "Let a scheduler of yours run sweeps and syncs.",
    "store": "Move state to another store; make a store's tables.",
    "config": "Settings, and where their values come from.",
}

COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        name="claim",
        about="Claim a task: exclusively yours until released or stale.",
        handler="sharedstate_cli.verbs.claim:claim",
        hot=True,
        params=(TASK_OR_STDIN, OWNER, *LEASE[:1], TOKEN, *LEASE[1:], *FORCE, REOPEN),
        details="Exit code 0: yours; 3: refused, held by another or complete; 6: ignored or retries exhausted.",
    ),
    Command(
        name="renew",
        about="Show that the owner of a claim is alive.",
        handler="sharedstate_cli.verbs.renew:renew",
        hot=True,
        params=(LIVE_OR_STDIN, OWNER, TOKEN),
        details="Exit code 0: still yours; 4: lost, stop working; 5: no such claim; 75: unknown, go on within the ttl.",
    ),
    Command(
        name="release",
        about="End a claim with its outcome.",
        handler="sharedstate_cli.verbs.release:release",
        hot=True,
        params=(
            LIVE_OR_STDIN,
            Param(
                name="status",
                flags=("--status",),
                kind="choice",
                choices=ENDINGS,
                default="complete",
                about="How the attempt ended.",
            ),
            Param(name="error", flags=("--error",), metavar="TEXT", about="What went wrong, kept with the task."),
            OWNER,
            TOKEN,
        ),
        details="Exit code 0: ended (a repeated release is fine); 4: not yours any more; 5: no such claim.",
    ),
    Command(
        name="run",
        about="Run a program under a claim: claim, renew, release by its result.",
        handler="sharedstate_cli.verbs.run:run",
        hot=True,
        rest=True,
        params=(
            TASK,
            OWNER,
            *LEASE,
            *FORCE,
            REOPEN,
            Param(
                name="grace",
                flags=("--grace",),
                kind="duration",
                about="From SIGTERM to SIGKILL, if lost; default: 10s.",
            ),
        ),
        details="Signals are forwarded; the exit code is the program's own (above 128: a signal; 127, 126: no start), "
        "3 or 6 when the claim is refused and nothing runs, 4 when it is lost. The program gets SHARED_STATE_TASK, "
        "SHARED_STATE_FENCE and SHARED_STATE_OWNER. With --json its stdout goes to stderr.",
    ),
    Command(
        name="next",
        about="Claim the first task that can be claimed.",
        handler="sharedstate_cli.verbs.next:claim_next",
        hot=True,
        params=(
            Param(
                name="source",
                flags=("--from",),
                metavar="FILE|-",
                ids="file",
                about="Candidates in order, one id a line; - is standard input; default: known tasks, oldest first.",
            ),
            OWNER,
            *LEASE,
        ),
        details="Ignored, held, complete and exhausted tasks are passed over. Exit code 5: nothing eligible.",
    ),
    Command(
        name="show",
        about="Show one task.",
        handler="sharedstate_cli.verbs.show:show",
        hot=True,
        params=(TASK,),
    ),
    Command(
        name="log",
        about="Show the history of one task.",
        handler="sharedstate_cli.verbs.log:log",
        params=(
            TASK,
            Param(name="limit", flags=("--limit",), kind="number", about="Only the latest N entries (at least 1)."),
        ),
    ),
    Command(
        name="list",
        about="List tasks; without options the live claims.",
        handler="sharedstate_cli.verbs.list:list_tasks",
        hot=True,
        params=(
            Param(
                name="status",
                flags=("--status",),
                kind="choice",
                choices=STATUSES,
                about="Only tasks in this status; default: claimed.",
            ),
            Param(name="owner", flags=("--owner",), metavar="ID", about="Only tasks held by this owner."),
            Param(
                name="stale",
                flags=("--stale",),
                kind="flag",
                default=False,
                about="Only claims that may be taken over.",
            ),
            Param(name="archived", flags=("--archived",), kind="flag", default=False, about="Archived tasks instead."),
        ),
    ),
    Command(
        name="status",
        about="Counts by status, stale claims, counters from the journal.",
        handler="sharedstate_cli.verbs.status:status",
    ),
    Command(
        name="sweep",
        about="End stale and dead claims, archive old ended tasks, tidy up.",
        handler="sharedstate_cli.verbs.sweep:sweep",
        params=(
            Param(
                name="dry_run",
                flags=("--dry-run",),
                kind="flag",
                default=False,
                about="Only say what would be done; writes nothing.",
            ),
        ),
        details="Exit code 0 also when something was found, so that a scheduler stays quiet, and when another sweep of "
        "this state root is running.",
    ),
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
    Command(
        name="retry-check",
        about="Say whether a task may be claimed now, and why.",
        handler="sharedstate_cli.verbs.retry_check:retry_check",
        hot=True,
        params=(TASK,),
        details="Exit code 0: eligible; 3: held or complete; 6: ignored or retries exhausted.",
    ),
    Command(
        name="ignore",
        about="Ask the fleet to leave a task alone.",
        handler="sharedstate_cli.verbs.ignore:ignore",
        params=(
            TASK,
            Param(name="reason", flags=("--reason",), metavar="TEXT", required=True, about="Why; 1 to 500 characters."),
        ),
    ),
    Command(
        name="unignore",
        about="Let the fleet take a task again.",
        handler="sharedstate_cli.verbs.ignore:unignore",
        params=(TASK,),
    ),
    Command(
        name="watch",
        about="Print events as they happen.",
        handler="sharedstate_cli.verbs.watch:watch",
        params=(
            Param(name="task", flags=("--task",), metavar="TASK", ids="all", about="Only events of this task."),
            Param(
                name="after",
                flags=("--after",),
                kind="number",
                about="Begin behind this sequence number, 0 for the first event; default: only what is new.",
            ),
            Param(name="count", flags=("--count",), kind="number", about="Stop after N events (at least 1)."),
            Param(
                name="timeout", flags=("--timeout",), kind="duration", about="Stop after this long; default: Ctrl-C."
            ),
        ),
        details="With --json one object a line. Exit code 75: --count was not reached within --timeout.",
    ),
    Command(
        name="timeline",
        about="Draw who held what when.",
        handler="sharedstate_cli.verbs.timeline:timeline",
        params=TIMELINE,
    ),
    *STORES,
    Command(
        name="import",
        about="Take over the ledgers of older tools.",
        handler="sharedstate_cli.verbs.importing:import_ledgers",
        params=(
            Param(
                name="files",
                metavar="FILE",
                many=True,
                required=True,
                ids="file",
                about="shared-task-states.json, task-claims.json.",
            ),
            Param(
                name="dry_run",
                flags=("--dry-run",),
                kind="flag",
                default=False,
                about="Only say what would be taken, changed or refused; writes nothing.",
            ),
        ),
        details="Importing twice changes nothing.",
    ),
    Command(
        name="merge-driver",
        about="Merge files of shared state that are kept in branches.",
        handler="sharedstate_cli.verbs.merge_driver:merge_driver",
        params=MERGE,
        details="The result goes into OURS. Exit code 0: merged; 1: a person must look. No fence is lowered, no value "
        "lost.",
    ),
    Command(
        name="doctor",
        about="Examine the state root and say what is wrong.",
        handler="sharedstate_cli.verbs.doctor:doctor",
        params=(
            Param(
                name="fix",
                flags=("--fix",),
                kind="flag",
                default=False,
                about="Repair what can be repaired without loss.",
            ),
        ),
    ),
    Command(
        name="selftest",
        about="Prove or refute, on your file system, what the store relies on.",
        handler="sharedstate_cli.verbs.selftest:selftest",
        params=(
            Param(name="folder", metavar="DIR", ids="folder", about="Where; default: the state root's file system."),
        ),
    ),
    Command(
        name="config show",
        about="Show every setting.",
        handler="sharedstate_cli.verbs.config:show",
        params=(
            Param(
                name="origin", flags=("--origin",), kind="flag", default=False, about="Say where each value comes from."
            ),
        ),
    ),
    Command(
        name="whoami",
        about="Show the owner that claims are made for, and the state root.",
        handler="sharedstate_cli.verbs.whoami:whoami",
        hot=True,
    ),
    Command(
        name="schema",
        about="Print the JSON Schemas of files and outputs.",
        handler="sharedstate_cli.verbs.schema:schema",
        params=(Param(name="name", kind="choice", choices=SCHEMAS, about="Which one; default: all of them."),),
    ),
    Command(
        name="completion",
        about="Print the shell completion script.",
        handler="sharedstate_cli.verbs.completion:completion",
        params=(Param(name="shell", kind="choice", choices=SHELLS, required=True, about="For which shell."),),
        details='For bash: eval "$(claims completion bash)".',
    ),
    Command(
        name="help",
        about="Show what there is, or how to use one command.",
        handler="sharedstate_cli.verbs.help:show_help",
        params=(Param(name="words", metavar="COMMAND", many=True, about="A command, or the first word of several."),),
        details="The same as --help behind the command.",
    ),
    Command(name="version", about="Print the version.", handler="sharedstate_cli.verbs.version:version", hot=True),
)
BY_NAME: Final = {command.name: command for command in COMMANDS}

"""The one table of commands: plain data for the fast parser, the typer application, help, completion, the docs test.

A handler is named by text and loaded when its command runs, so that the table costs next to nothing.
"""

from __future__ import annotations

from typing import Final

from sharedstate_cli.grammar import Command, Param
from sharedstate_cli.options import TASK
from sharedstate_cli.table_board import BOARD
from sharedstate_cli.table_hot import EVERYWHERE, GROUPS, HOT
from sharedstate_cli.table_hub import HUB, HUB_SCHEMAS
from sharedstate_cli.table_messages import MESSAGE_SCHEMAS, MESSAGES
from sharedstate_cli.table_services import SERVICE_SCHEMAS, SERVICES
from sharedstate_cli.table_stores import STORES

__all__ = ["BY_NAME", "COMMANDS", "EVERYWHERE", "GROUPS", "SCHEMAS", "Command", "Param"]

TIMELINE: Final = (
    Param(
        name="svg",
        flags=("--svg",),
        metavar="FILE",
        ids="file",
        about="Draw a picture into this file; - is stdout; default: a chart in plain text.",
    ),
    Param(
        name="journal",
        flags=("--journal",),
        metavar="FILE",
        ids="file",
        about="A journal file to read instead of the state root's.",
    ),
)

# `merge-driver`
MERGE: Final = (
    Param(name="files", metavar="FILE", many=True, ids="file", about="BASE OURS THEIRS [PATH], as git gives them."),
    Param(
        name="repair",
        flags=("--repair",),
        kind="flag",
        default=False,
        about="Take the conflict markers out of each FILE instead.",
    ),
    Param(
        name="install",
        flags=("--install",),
        kind="flag",
        default=False,
        about="Print the lines that make git call it; changes nothing.",
    ),
    Param(
        name="apply",
        flags=("--apply",),
        kind="flag",
        default=False,
        about="With --install: put them into the configuration of this clone.",
    ),
)

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
    *SERVICE_SCHEMAS,
    *MESSAGE_SCHEMAS,
    *HUB_SCHEMAS,
    "error",
)
SHELLS: Final = ("bash", "zsh", "fish")

_HOT: Final = {command.name: command for command in HOT}
COMMANDS: Final[tuple[Command, ...]] = (
    _HOT["claim"],
    _HOT["renew"],
    _HOT["release"],
    _HOT["run"],
    _HOT["next"],
    _HOT["show"],
    Command(
        name="log",
        about="Show the history of one task.",
        handler="sharedstate_cli.verbs.log:log",
        params=(
            TASK,
            Param(name="limit", flags=("--limit",), kind="number", about="Only the latest N entries (at least 1)."),
        ),
    ),
    _HOT["list"],
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
    *BOARD,
    *MESSAGES,
    *SERVICES,
    *HUB,
    _HOT["retry-check"],
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
        about="Examine the state, its store and this machine, and say what is wrong.",
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
        about="Prove or refute, on your file system or your server, what the store relies on.",
        handler="sharedstate_cli.verbs.selftest:selftest",
        params=(
            Param(name="folder", metavar="DIR", ids="folder", about="Where; default: the state root's file system."),
            Param(name="url", flags=("--url",), metavar="URL", about="A store instead, as in SHARED_STATE_URL."),
        ),
        details="Exit code 0: nothing is refuted; 78: something is; 75: the store cannot be reached.",
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
    _HOT["whoami"],
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
    _HOT["version"],
)
BY_NAME: Final = {command.name: command for command in COMMANDS}

"""The one table of commands: plain data for the fast parser, the typer application, help, completion, the docs test.

A handler is named by text and loaded when its command runs, so that the table costs next to nothing.
"""

from __future__ import annotations

from typing import Final

from sharedstate_cli.grammar import Command, Param

__all__ = [
    "BY_NAME",
    "COMMANDS",
    "DIR",
    "ENDINGS",
    "EVERYWHERE",
    "JSON",
    "SCHEMAS",
    "SHELLS",
    "STATUSES",
    "Command",
    "Param",
]

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
    "error",
)
SHELLS: Final = ("bash", "zsh", "fish")

JSON: Final = Param(
    name="json", flags=("--json",), kind="flag", default=False, about="One JSON object on stdout, errors too."
)
DIR: Final = Param(
    name="dir",
    flags=("--dir",),
    metavar="PATH",
    ids="folder",
    about="State root; default: SHARED_STATE_DIR, else beside the repository's common git directory.",
)
EVERYWHERE: Final = (JSON, DIR)

_TASK: Final = Param(name="task", metavar="TASK", required=True, ids="all", about="Task id.")
_TASK_OR_STDIN: Final = Param(
    name="task",
    metavar="TASK",
    required=True,
    ids="all",
    about="Task id, or - for ids from standard input, one a line.",
)
_LIVE_OR_STDIN: Final = _TASK_OR_STDIN.replace(ids="live")
_OWNER: Final = Param(
    name="owner", flags=("--owner",), metavar="ID", about="Who acts; default: SHARED_STATE_OWNER, else see whoami."
)
_TOKEN: Final = Param(
    name="token",
    flags=("--token",),
    metavar="T",
    about="Secret of the attempt; default: this machine's owner-only ledger.",
)
_LEASE: Final = (
    Param(
        name="ttl",
        flags=("--ttl",),
        kind="duration",
        about="Unrenewed for longer, the claim may be taken over (300s, 5m, 1h30m); default: the stale threshold.",
    ),
    Param(name="meta", flags=("--meta",), kind="pair", many=True, about="A note kept with the claim; repeatable."),
    Param(
        name="scope",
        flags=("--scope",),
        metavar="PATH",
        many=True,
        ids="file",
        about="File or folder the work will touch; refused when another live claim's scope overlaps; repeatable.",
    ),
    Param(
        name="priority",
        flags=("--priority",),
        kind="number",
        about="Lower takes over from higher, if the owner is a configured coordinator.",
    ),
)
_FORCE: Final = (
    Param(
        name="force",
        flags=("--force",),
        kind="flag",
        default=False,
        about="Take the task over from a living holder; audited, needs --reason.",
    ),
    Param(name="reason", flags=("--reason",), metavar="TEXT", about="Why --force is right; kept in the journal."),
)
_REOPEN: Final = Param(
    name="reopen",
    flags=("--reopen",),
    kind="flag",
    default=False,
    about="Start an ended task again; its retries start over.",
)

COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        name="claim",
        about="Claim a task: exclusively yours until released or stale.",
        handler="sharedstate_cli.verbs.claim:claim",
        hot=True,
        params=(_TASK_OR_STDIN, _OWNER, *_LEASE[:1], _TOKEN, *_LEASE[1:], *_FORCE, _REOPEN),
        details="Exit code 0: yours; 3: refused, held by another or complete; 6: ignored or retries exhausted.",
    ),
    Command(
        name="renew",
        about="Show that the owner of a claim is alive.",
        handler="sharedstate_cli.verbs.renew:renew",
        hot=True,
        params=(_LIVE_OR_STDIN, _OWNER, _TOKEN),
        details="Exit code 0: still yours; 4: lost, stop working; 5: no such claim; 75: unknown, go on within the ttl.",
    ),
    Command(
        name="release",
        about="End a claim with its outcome.",
        handler="sharedstate_cli.verbs.release:release",
        hot=True,
        params=(
            _LIVE_OR_STDIN,
            Param(
                name="status",
                flags=("--status",),
                kind="choice",
                choices=ENDINGS,
                default="complete",
                about="How the attempt ended.",
            ),
            Param(name="error", flags=("--error",), metavar="TEXT", about="What went wrong, kept with the task."),
            _OWNER,
            _TOKEN,
        ),
        details="Exit code 0: ended (a repeated release is fine); 4: not yours any more; 5: no such claim.",
    ),
    Command(
        name="run",
        about="Run a program under a claim: claim, renew, release by its result.",
        handler="sharedstate_cli.verbs.run:run",
        hot=True,
        rest=True,
        params=(_TASK, _OWNER, *_LEASE, *_FORCE, _REOPEN),
        details="Signals are forwarded; the exit code is the program's own, or that of the refusal.",
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
            _OWNER,
            *_LEASE,
        ),
        details="Ignored, held, complete and exhausted tasks are passed over. Exit code 5: nothing eligible.",
    ),
    Command(
        name="show",
        about="Show one task.",
        handler="sharedstate_cli.verbs.show:show",
        hot=True,
        params=(_TASK,),
    ),
    Command(
        name="log",
        about="Show the history of one task.",
        handler="sharedstate_cli.verbs.log:log",
        params=(
            _TASK,
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
        details="Exit code 0 also when something was found, so that a scheduler stays quiet.",
    ),
    Command(
        name="retry-check",
        about="Say whether a task may be claimed now, and why.",
        handler="sharedstate_cli.verbs.retry_check:retry_check",
        hot=True,
        params=(_TASK,),
        details="Exit code 0: eligible; 3: held or complete; 6: ignored or retries exhausted.",
    ),
    Command(
        name="ignore",
        about="Ask the fleet to leave a task alone.",
        handler="sharedstate_cli.verbs.ignore:ignore",
        params=(
            _TASK,
            Param(name="reason", flags=("--reason",), metavar="TEXT", required=True, about="Why; 1 to 500 characters."),
        ),
    ),
    Command(
        name="unignore",
        about="Let the fleet take a task again.",
        handler="sharedstate_cli.verbs.ignore:unignore",
        params=(_TASK,),
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
            Param(
                name="timeout", flags=("--timeout",), kind="duration", about="Stop after this long; default: Ctrl-C."
            ),
        ),
        details="With --json one object a line.",
    ),
    Command(
        name="timeline",
        about="Draw who held what when.",
        handler="sharedstate_cli.verbs.timeline:timeline",
        params=(
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
        ),
    ),
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
            Param(
                name="folder",
                metavar="DIR",
                ids="folder",
                about="Where to test; default: the state root's file system.",
            ),
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
    Command(name="version", about="Print the version.", handler="sharedstate_cli.verbs.version:version", hot=True),
)
BY_NAME: Final = {command.name: command for command in COMMANDS}

"""The hot verbs: a part of the one table. The fast parser loads it alone; all of the table costs a millisecond."""

from __future__ import annotations

from typing import Final

from sharedstate_cli.grammar import Command, Param
from sharedstate_cli.options import (
    EVERYWHERE,
    FORCE,
    LEASE,
    LIVE_OR_STDIN,
    OWNER,
    REOPEN,
    TASK,
    TASK_OR_STDIN,
    TOKEN,
)

__all__ = ["AGENT", "EVERYWHERE", "GROUPS", "HOT", "HOT_BY_NAME", "UNREAD"]

# Words that begin the names of several commands.
GROUPS: Final = {
    "board": "What the board shows of a task, and whose word counts there.",
    "schedule": "Let a scheduler of yours run sweeps and syncs.",
    "service": "Services that several lanes use, with one owner each.",
    "flags": "How far agents have read.",
    "outbox": "Messages of this machine that have not arrived.",
    "store": "Move state to another store; make a store's tables.",
    "hub": "Who is doing what right now, everywhere.",
    "config": "Settings, and where their values come from.",
}

STATUSES: Final = ("new", "claimed", "complete", "failed", "abandoned", "all")
ENDINGS: Final = ("complete", "failed", "abandoned")
AGENT: Final = Param(name="agent", metavar="AGENT", required=True, about="Whose inbox; exactly this name.")

UNREAD: Final = Command(
    name="unread",
    about="Say what an agent has not acknowledged, and which guidance is new.",
    handler="sharedstate_cli.verbs.unread:unread",
    hot=True,
    params=(
        AGENT,
        Param(name="phase", flags=("--phase",), metavar="P", about="Guidance of this phase, too; hides no letter."),
        Param(
            name="hook",
            flags=("--hook",),
            kind="flag",
            default=False,
            about="For start-up hooks: exit code 0 and an end within 2 s, whatever happens; silent without news.",
        ),
    ),
    details="Changes nothing. Exit code 75: unknown, it could not be looked at, or not all of it.",
)
HOT: Final[tuple[Command, ...]] = (
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
        name="retry-check",
        about="Say whether a task may be claimed now, and why.",
        handler="sharedstate_cli.verbs.retry_check:retry_check",
        hot=True,
        params=(TASK,),
        details="Exit code 0: eligible; 3: held or complete; 6: ignored or retries exhausted.",
    ),
    Command(
        name="whoami",
        about="Print the owner that claims are made for; with --json also the state root.",
        handler="sharedstate_cli.verbs.whoami:whoami",
        hot=True,
    ),
    Command(name="version", about="Print the version.", handler="sharedstate_cli.verbs.version:version", hot=True),
    UNREAD,
)
HOT_BY_NAME: Final = {command.name: command for command in HOT}

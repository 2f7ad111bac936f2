"""Parameters that several commands share, so that one word means one thing everywhere."""

from __future__ import annotations

from typing import Final

from sharedstate_cli.grammar import Param

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

TASK: Final = Param(name="task", metavar="TASK", required=True, ids="all", about="Task id.")
TASK_OR_STDIN: Final = Param(
    name="task",
    metavar="TASK",
    required=True,
    ids="all",
    about="Task id, or - for ids from standard input, one a line.",
)
LIVE_OR_STDIN: Final = TASK_OR_STDIN.replace(ids="live")
OWNER: Final = Param(
    name="owner", flags=("--owner",), metavar="ID", about="Who acts; default: SHARED_STATE_OWNER, else see whoami."
)
TOKEN: Final = Param(
    name="token",
    flags=("--token",),
    metavar="T",
    about="Secret of the attempt; default: this machine's owner-only ledger.",
)
LEASE: Final = (
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
FORCE: Final = (
    Param(
        name="force",
        flags=("--force",),
        kind="flag",
        default=False,
        about="Take the task over from a living holder; audited, needs --reason.",
    ),
    Param(name="reason", flags=("--reason",), metavar="TEXT", about="Why --force is right; kept in the journal."),
)
REOPEN: Final = Param(
    name="reopen",
    flags=("--reopen",),
    kind="flag",
    default=False,
    about="Start an ended task again; its retries start over.",
)

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

# The board and the schedules

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

"""The commands of the hub; a part of the one table."""

from __future__ import annotations

from typing import Final

from sharedstate_cli.grammar import Command, Param
from sharedstate_cli.options import OWNER

_AGENT: Final = Param(name="agent", metavar="AGENT", required=True, about="Whose; exactly this name.")
_RESULT: Final = Param(
    name="result", flags=("--result",), metavar="JSON|-", about="Any JSON value, kept as it is; - is standard input."
)
RECORDS: Final = ("task", "proposal", "lesson", "usage")

HUB_SCHEMAS: Final = (
    "hub-context",
    "hub-contexts",
    "hub-event",
    "hub-gap",
    "hub-health",
    "hub-outage",
    "hub-recorded",
    "hub-lessons",
    "hub-usage",
)
HUB: Final[tuple[Command, ...]] = (
    Command(
        name="hub status",
        about="Show who is doing what right now.",
        handler="sharedstate_cli.verbs.hub:status",
        params=(
            Param(name="expired", flags=("--expired",), kind="flag", default=False, about="Also who has expired."),
        ),
        details="Exit code 0, also while the shared store is away: then it says so and shows what this machine knows.",
    ),
    Command(
        name="hub get",
        about="Show the context of one agent.",
        handler="sharedstate_cli.verbs.hub:get",
        params=(_AGENT,),
        details="Exit code 5: the hub knows no such agent.",
    ),
    Command(
        name="hub update",
        about="Change what everybody knows of an agent.",
        handler="sharedstate_cli.verbs.hub:update",
        params=(
            _AGENT,
            Param(
                name="patch",
                flags=("--patch",),
                metavar="JSON|-",
                about="An object, merged into the context (RFC 7396: null removes); - is standard input.",
            ),
            Param(name="pairs", flags=("--set",), kind="pair", many=True, about="One text of the patch; repeatable."),
            Param(
                name="replace",
                flags=("--replace",),
                kind="flag",
                default=False,
                about="Put the patch in place of the whole context.",
            ),
            Param(name="status", flags=("--status",), metavar="TEXT", about="The agent's status; empty clears it."),
            Param(
                name="ttl",
                flags=("--ttl",),
                kind="duration",
                about="Expires without a sign of life for longer; 0: never.",
            ),
        ),
        details="What changes nothing is a mere sign of life. --patch never touches the status.",
    ),
    Command(
        name="hub delete",
        about="Take an agent out of the hub.",
        handler="sharedstate_cli.verbs.hub:delete",
        params=(_AGENT,),
        details="Exit code 5: the hub knows no such agent.",
    ),
    Command(
        name="hub record",
        about="Record work done: a task, a proposal, a lesson, usage.",
        handler="sharedstate_cli.verbs.hub:record",
        params=(
            Param(name="kind", kind="choice", choices=RECORDS, required=True, about="What is recorded."),
            _AGENT,
            Param(name="what", metavar="ID", about="The task or proposal."),
            Param(name="outcome", metavar="OUTCOME", about="What became of it: complete, failed, accepted …"),
            _RESULT,
            Param(
                name="amounts",
                flags=("--use",),
                kind="pair",
                many=True,
                about="For usage: a name and a whole number, such as input_tokens=1200; repeatable.",
            ),
        ),
        details="The result of a lesson is an object. Nothing of a result is ever evaluated.",
    ),
    Command(
        name="hub lessons",
        about="Show the last lessons that were recorded, the oldest of them first.",
        handler="sharedstate_cli.verbs.ledger:lessons",
        params=(Param(name="last", flags=("--last",), kind="number", about="So many (1 to 10000); default: 20."),),
    ),
    Command(
        name="hub usage",
        about="Show what every agent has used in all.",
        handler="sharedstate_cli.verbs.ledger:usage",
    ),
    Command(
        name="hub watch",
        about="Print events of the hub as they happen.",
        handler="sharedstate_cli.verbs.hub:watch",
        params=(
            Param(
                name="after",
                flags=("--after",),
                metavar="CURSOR",
                about="Begin behind this cursor; first for the first event; default: only what is new.",
            ),
            Param(name="count", flags=("--count",), kind="number", about="Stop after N events (at least 1)."),
            Param(
                name="timeout", flags=("--timeout",), kind="duration", about="Stop after this long; default: Ctrl-C."
            ),
        ),
        details="With --json one object a line, each with the cursor to go on from; a gap comes with a snapshot. "
        "While the shared store is away it says so, tells what happens on this machine, and afterwards the rest. Exit "
        "code 75: --count was not reached within --timeout.",
    ),
    Command(
        name="hub health",
        about="Try real round trips to each store and say what fails.",
        handler="sharedstate_cli.verbs.hub:health",
        details="Exit code 0: all is well; 75: something fails, with a hint for each.",
    ),
    Command(
        name="hub run",
        about="Keep both ends of the hub together, and take in the files of a bridge folder.",
        handler="sharedstate_cli.verbs.hub:run",
        params=(
            Param(name="every", flags=("--every",), kind="duration", about="How often to look; default: 2s."),
            Param(
                name="bridge", flags=("--bridge",), metavar="DIR", ids="folder", about="Take in JSON files put here."
            ),
            OWNER,
        ),
        details="A service with the name hub, one for each machine; it runs also while the shared store is away. Ends "
        "at SIGTERM or Ctrl-C. Exit code 3: it runs already, or the owner guard says no; 4: it was taken over.",
    ),
)

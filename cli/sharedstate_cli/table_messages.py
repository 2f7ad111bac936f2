"""The commands about messages; a part of the one table."""

from __future__ import annotations

from typing import Final

from sharedstate_cli.grammar import Command, Param
from sharedstate_cli.table_hot import AGENT, UNREAD

# States and kinds stand here as text: the table must not load the library.
STATES: Final = ("pending", "in_flight", "sent", "dead")
MESSAGE_SCHEMAS: Final = (
    "sending",
    "rejection",
    "inbox",
    "unread",
    "unknown",
    "watermark",
    "flags",
    "thread",
    "overdue",
    "outbox",
    "outbox-message",
    "outbox-status",
    "outbox-export",
    "outbox-change",
    "flush",
)

MESSAGE: Final = Param(name="message", metavar="ID", required=True, about="Message id, 26 characters.")
KIND: Final = Param(name="kind", flags=("--kind",), metavar="K", about="Only letters of this kind.")
LIMIT: Final = Param(name="limit", flags=("--limit",), kind="number", about="At most N of them (at least 1).")
REASON: Final = Param(
    name="reason", flags=("--reason",), metavar="TEXT", required=True, about="Why; kept in the audit trail."
)
STATE: Final = Param(
    name="state", flags=("--state",), kind="choice", choices=STATES, about="Only messages in this state."
)
SENDER: Final = Param(name="sender", flags=("--from",), metavar="A", about="Only messages of this sender.")
RECIPIENT: Final = Param(name="to", flags=("--to",), metavar="B", about="Only messages to this recipient.")

_SEND: Final = (
    Param(
        name="to",
        flags=("--to",),
        metavar="B",
        many=True,
        required=True,
        about="To whom, exactly this name; repeatable; * (quote it) is everybody else.",
    ),
    Param(name="body", flags=("--body",), metavar="TEXT|-", required=True, about="What to say; - is standard input."),
    Param(name="sender", flags=("--from",), metavar="A", about="Who says it; default: see whoami."),
    Param(
        name="kind",
        flags=("--kind",),
        metavar="K",
        default="message",
        about="hello, checkout, progress, question, guidance, complete, ack, or a word of yours.",
    ),
    Param(name="phase", flags=("--phase",), metavar="P", about="The phase of the work it belongs to."),
    Param(name="lane", flags=("--lane",), metavar="L", about="The lane it belongs to; default: SHARED_STATE_LANE."),
    Param(name="reply_to", flags=("--reply-to",), metavar="ID", about="The message that this one answers."),
    Param(
        name="correlation",
        flags=("--correlation",),
        metavar="ID",
        about="The first message of its thread; default: that of --reply-to.",
    ),
    Param(
        name="requires_ack",
        flags=("--requires-ack",),
        kind="duration",
        about="Each recipient is to acknowledge it within this time (15m, 2h).",
    ),
    Param(name="priority", flags=("--priority",), kind="number", default=0, about="-9 to 9; for the reader."),
    Param(
        name="endpoint",
        flags=("--endpoint",),
        metavar="URL",
        many=True,
        about="Where to deliver it, in this order; repeatable; default: as configured, else our own store.",
    ),
    Param(
        name="no_deliver",
        flags=("--no-deliver",),
        kind="flag",
        default=False,
        about="Only accept it; a flush or a sweep delivers it.",
    ),
    Param(name="timeout", flags=("--timeout",), kind="duration", about="How long to try to deliver; default: 10s."),
)

MESSAGES: Final[tuple[Command, ...]] = (
    Command(
        name="send",
        about="Send a message: durable first, then delivered.",
        handler="sharedstate_cli.verbs.send:send",
        params=_SEND,
        details="Exit code 0: delivered; 9: accepted, waits in the outbox; 2: rejected, no flush will send it; "
        "75: nothing was accepted.",
    ),
    Command(
        name="inbox",
        about="Read an inbox; without options what is unread.",
        handler="sharedstate_cli.verbs.inbox:inbox",
        params=(
            AGENT,
            Param(name="all", flags=("--all",), kind="flag", default=False, about="What was read, too."),
            Param(
                name="unread",
                flags=("--unread",),
                kind="flag",
                default=False,
                about="Only what is unread; the default.",
            ),
            Param(name="after", flags=("--after",), kind="number", default=0, about="Only letters behind this number."),
            LIMIT,
            KIND,
            Param(name="phase", flags=("--phase",), metavar="P", about="Only letters of this phase."),
        ),
        details="Changes nothing; `claims ack` does. Exit code 75: unknown, the inbox could not be read.",
    ),
    UNREAD,
    Command(
        name="ack",
        about="Acknowledge what was looked at.",
        handler="sharedstate_cli.verbs.ack:ack",
        params=(
            AGENT,
            Param(name="up_to", flags=("--up-to",), kind="number", about="Everything up to this number."),
            Param(name="ids", flags=("--id",), metavar="ID", many=True, about="This message; repeatable."),
            Param(
                name="guidance",
                flags=("--guidance",),
                metavar="PATH@DIGEST",
                many=True,
                about="This file as it was seen; repeatable.",
            ),
        ),
        details="Never goes back, and never beyond what has arrived: what came after the look stays unread.",
    ),
    Command(
        name="thread",
        about="Show the messages of one thread.",
        handler="sharedstate_cli.verbs.inbox:thread",
        params=(MESSAGE.replace(about="Id of the thread: that of its first message."),),
        details="Exit code 5: no such thread.",
    ),
    Command(
        name="overdue",
        about="List acknowledgements that were due and have not come.",
        handler="sharedstate_cli.verbs.inbox:overdue",
        params=(
            SENDER.replace(about="Only those this sender waits for."),
            RECIPIENT.replace(about="Only of this one."),
        ),
    ),
    Command(
        name="flags status",
        about="Show how far an agent has read.",
        handler="sharedstate_cli.verbs.flags:status",
        params=(AGENT,),
    ),
    Command(
        name="flags reset",
        about="Make letters unread again; audited.",
        handler="sharedstate_cli.verbs.flags:reset",
        params=(
            AGENT,
            REASON,
            Param(
                name="up_to", flags=("--up-to",), kind="number", default=0, about="What is behind this number; from 0."
            ),
        ),
    ),
    Command(
        name="outbox list",
        about="List messages that wait, are under way, or were given up.",
        handler="sharedstate_cli.verbs.outbox:list_messages",
        params=(STATE, SENDER, RECIPIENT, LIMIT),
        details="--state sent: the last deliveries (100 without --limit), without their bodies.",
    ),
    Command(
        name="outbox show",
        about="Show one message of the outbox.",
        handler="sharedstate_cli.verbs.outbox:show",
        params=(MESSAGE,),
        details="Exit code 5: not there (any more); 7: its record cannot be read.",
    ),
    Command(
        name="outbox status",
        about="Count what stands in the outbox.",
        handler="sharedstate_cli.verbs.outbox:status",
    ),
    Command(
        name="outbox flush",
        about="Deliver what waits and is due.",
        handler="sharedstate_cli.verbs.outbox:flush",
        params=(
            Param(name="count", flags=("--count",), kind="number", default=1000, about="At most N messages."),
            Param(name="time", flags=("--time",), kind="duration", about="At most this long; default: 30s."),
            SENDER,
        ),
        details="Any number may run at once. Exit code 0: nothing is left waiting; 9: something still waits.",
    ),
    Command(
        name="outbox retry",
        about="Let messages be tried again: dead ones at all, others at once.",
        handler="sharedstate_cli.verbs.outbox:retry",
        params=(
            MESSAGE.replace(required=False, about="Which one."),
            Param(name="all", flags=("--all",), kind="flag", default=False, about="All of them."),
        ),
        details="Delivers nothing by itself; a flush does. Exit code 5: no such message.",
    ),
    Command(
        name="outbox drop",
        about="Remove a message that waits or was given up; audited.",
        handler="sharedstate_cli.verbs.outbox:drop",
        params=(MESSAGE, REASON),
        details="Its recipients never get it. Exit code 5: no such message; 75: it is under way right now.",
    ),
    Command(
        name="outbox export",
        about="Print whole messages as JSON Lines.",
        handler="sharedstate_cli.verbs.outbox:export",
        params=(STATE.replace(choices=("pending", "in_flight", "dead")),),
    ),
)

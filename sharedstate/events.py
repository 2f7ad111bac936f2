"""Typed events: every state change is one entry of the journal, from which counters are derived."""

from __future__ import annotations

from typing import Any, Final

EVENT_TYPES: Final = frozenset(
    (
        "claimed",  # a fresh attempt began
        "reclaimed",  # the same owner went on with a new token and a higher fence
        "taken_over",  # another owner went on: owner_stale, owner_dead, coordinator_priority, forced
        "released",  # the owner ended its attempt: complete, failed, abandoned
        "swept",  # a sweep ended a stale or dead attempt as abandoned
        "ignored",  # a person asked the fleet to leave the task alone
        "unignored",
        "reopened",  # a terminal task may be claimed again, retries start over
        "overridden",  # a person ended the task from the board, whoever held it
        "conflict",  # two ledgers or two scopes disagreed; says who won and keeps what lost
        "imported",  # state came from an older tool's ledger
        "archived",  # an old terminal record moved out of the way, its fence kept
        "restored",  # an archived task came back, or a corrupt record was rebuilt from the journal
        "degraded",  # a claim was made by the local ledger alone
        "reconciled",  # a degraded claim was accepted by the shared store
        # In the journal `audit`
        "service_started",  # a shared service runs; `recovery`: started by another than its owner
        "service_adopted",  # a running service got a new supervisor in place of a dead one
        "service_stopping",  # its owner asked it to stop
        "service_forced",  # another than its owner stopped it, restarted it, or took it over, and said why
        "service_denied",  # somebody was not allowed to do that
        "right_denied",  # the lane of whoever tried it has no right to `action`: read, send, claim, force
        "service_ended",  # it has ended: as asked, by itself, or it could not begin
        "flags_reset",  # an agent's watermark was forgotten on purpose
        "message_dropped",  # an accepted message was taken out of the outbox on purpose
    )
)


def event(kind: str, *, task: str, **fields: Any) -> dict[str, Any]:
    """A journal document of type `kind` about `task`; fields that are None are left out."""
    if kind not in EVENT_TYPES:
        raise ValueError(f"unknown event type {kind!r}")
    return {"type": kind, "task": task, **{name: value for name, value in fields.items() if value is not None}}


# What happens to messages in the outbox of one machine; they stand in a journal of their own there.
MESSAGE_EVENT_TYPES: Final = frozenset(
    (
        "message_sent",  # the receiving side has it
        "message_dead",  # given up: rejected, too old, or tried too often; it stands among the dead letters
        "message_retried",  # a person put it back among the pending ones
    )
)


def message_event(kind: str, /, *, message: str, **fields: Any) -> dict[str, Any]:
    """A journal document of type `kind` about the message with this id; fields that are None are left out."""
    if kind not in MESSAGE_EVENT_TYPES:
        raise ValueError(f"unknown event type {kind!r}")
    return {"type": kind, "message": message, **{name: value for name, value in fields.items() if value is not None}}

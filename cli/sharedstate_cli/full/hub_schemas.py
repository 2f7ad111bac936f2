"""JSON Schemas of the answers of `claims hub`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from sharedstate_cli.full.shapes import Count, Fence, Moment, Ok, Open, Seconds


class ContextFields(Open):
    """One agent. `number` counts the changes of its context; `seen_at` is its last sign of life, where one is known."""

    agent: str
    status: str | None
    context: dict[str, Any]
    number: Fence
    changed_at: Moment
    writer: str
    expired: bool
    seen_at: Moment | None = None
    ttl_s: Seconds | None = None


class HubContext(Ok, ContextFields):
    """`hub get`, `hub update`. `degraded`: the shared store is away; it is what this machine knows, or keeps for it."""

    degraded: bool


class ContextsFields(Open):
    """Everybody. `degraded`: the shared store is away, this is what this machine knows."""

    contexts: list[ContextFields]
    degraded: bool
    unreadable: list[str]


class HubContexts(Ok, ContextsFields):
    """`hub status`."""


class HubEventLine(Ok):
    """One line of `hub watch`: an event, and the cursor that goes on behind it.

    `local`: the shared store is away, the event stands on this machine only. It is not told again.
    """

    sequence: Fence
    at: Moment
    cursor: str
    event: dict[str, Any]
    local: bool


class HubGap(Ok):
    """One line of `hub watch`: events may be missing here; `snapshot` is what to start from."""

    gap: str
    cursor: str
    snapshot: ContextsFields


class HubOutage(Ok):
    """One line of `hub watch`: the shared store is away, and why, or (`away` false) back again."""

    away: bool
    reason: str
    cursor: str


class HealthCheckField(Open):
    """One round trip. `problem` and `hint` are empty where it worked."""

    side: str
    name: str
    ok: bool
    ms: Seconds
    problem: str
    hint: str


class HubHealth(Open):
    """`hub health`. `score`: the share of the round trips that worked, in percent."""

    schema_: Literal[1] = Field(alias="schema")
    ok: bool
    score: Count
    checks: list[HealthCheckField]


class HubRecorded(Ok):
    """`hub record`. `degraded`: the shared store is away; it is kept on this machine until that is back."""

    recorded: Literal["task", "proposal", "lesson", "usage"]
    agent: str
    degraded: bool
    id: str | None = None
    outcome: str | None = None


class LessonFields(Open):
    """One entry of the learning ledger."""

    sequence: Fence
    at: Moment
    agent: str
    lesson: dict[str, Any]


class HubLessons(Ok):
    """`hub lessons`."""

    lessons: list[LessonFields]


class UsageFields(Open):
    """What one agent has used in all, and how often that was told."""

    agent: str
    count: Count
    amounts: dict[str, Count]


class HubUsage(Ok):
    """`hub usage`."""

    usage: list[UsageFields]


HUB_MODELS: dict[str, type[BaseModel]] = {
    "hub-context": HubContext,
    "hub-contexts": HubContexts,
    "hub-event": HubEventLine,
    "hub-gap": HubGap,
    "hub-health": HubHealth,
    "hub-outage": HubOutage,
    "hub-recorded": HubRecorded,
    "hub-lessons": HubLessons,
    "hub-usage": HubUsage,
}

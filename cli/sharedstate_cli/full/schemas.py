"""JSON Schemas of what others read: the record and the event on disk, and every answer of the command.

Readers must let unknown fields pass: a later version of the same schema number may add some, never take one away.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from sharedstate.events import EVENT_TYPES
from sharedstate.tasks.model import HISTORY_ENTRIES_MAX
from sharedstate_cli.full.board_schemas import BoardItem, Sync, SyncStatusAnswer, Trust
from sharedstate_cli.full.hub_schemas import HUB_MODELS
from sharedstate_cli.full.message_schemas import MESSAGE_MODELS, FlushField, MailSweepField, OutboxCountsField
from sharedstate_cli.full.service_schemas import AuditTrail, Lanes, Service, ServiceDenial, Services
from sharedstate_cli.full.shapes import Count, Fence, Moment, NotOk, Ok, Open, Seconds, Status, TaskId
from sharedstate_cli.table import SCHEMAS

# On disk


class BoundTo(Open):
    """The process that a claim is bound to."""

    pid: Count
    start: Count
    boot_id: str
    pid_ns: str


class LeaseField(Open):
    """The latest attempt of a task. `digest` is the public fingerprint of the secret token."""

    owner: str
    digest: str
    ttl_ms: Fence
    priority: Count
    host: str
    claimed_at: Moment
    boot_id: str
    boot_ms: Count
    process: BoundTo | None = None
    scope: list[str] = Field(default_factory=list)
    meta: dict[str, str] = Field(default_factory=dict)
    degraded: bool = False


class IgnoredField(Open):
    """A person asked the fleet to leave the task alone."""

    reason: str
    by: str
    at: Moment


class HistoryEntry(Open):
    """One transition of a task."""

    at: Moment
    event: str
    fence: Count
    status: Status
    owner: str | None = None


class Record(Open):
    """A file `tasks/*.json`: the state of one task in the store's envelope (`schema id revision live last_events`)."""

    schema_: Literal[1] = Field(alias="schema")
    id: TaskId
    revision: Fence
    live: Fence | None
    last_events: dict[str, Any] | None = None
    status: Status
    fence: Count
    attempts: Count
    retries: Count
    last_error: str | None
    lease: LeaseField | None
    ignored: IgnoredField | None
    created_at: Moment
    updated_at: Moment
    history: Annotated[list[HistoryEntry], Field(max_length=HISTORY_ENTRIES_MAX)]


class Event(Open):
    """One line of `journal/events/*.jsonl`."""

    seq: Fence
    at: Moment
    record: str
    type: Annotated[str, Field(description="A later version may add types.", examples=sorted(EVENT_TYPES))]
    task: TaskId
    owner: str | None = None
    fence: Count | None = None
    status: Status | None = None
    reason: str | None = None


# Answers


class HolderField(Open):
    """Who holds a task: seconds since the last sign of life, and after how many it counts as stale."""

    owner: str
    fence: Fence
    age_s: Seconds
    ttl_s: Seconds


class Claim(Ok):
    """`claim` and `next`: the task is yours. `token` renews and releases it; keep it to yourself."""

    task: TaskId
    owner: str
    fence: Fence
    token: str
    status: Literal["claimed"]
    outcome: Literal["claimed", "reclaimed", "taken_over", "already_owned"]
    expires_at: Moment
    ttl_s: Seconds
    attempts: Count
    retries: Count
    degraded: bool
    scope: list[str]
    meta: dict[str, str]
    reason: str | None = None
    previous_owner: str | None = None


class Refusal(NotOk):
    """`claim` and `next`: not yours; `task` is missing when no candidate was eligible."""

    holder: HolderField | None = None
    conflict: str | None = None


class Renewal(Ok):
    """`renew`: still yours."""

    task: TaskId
    owner: str
    fence: Fence
    status: Literal["claimed"]
    outcome: Literal["kept"]
    expires_at: Moment
    ttl_s: Seconds
    degraded: bool


class Loss(NotOk):
    """`renew` and `release`: not yours any more, never was, or could not be asked (`unverifiable`)."""

    holder: HolderField | None = None
    retryable: bool | None = None


class Release(Ok):
    """`release`: the attempt has ended."""

    task: TaskId
    owner: str
    fence: Fence
    status: Literal["complete", "failed", "abandoned"]
    outcome: Literal["released"]
    repeated: bool


class LeaseView(Open):
    """The latest attempt as `show` and `list` tell it."""

    owner: str
    host: str
    priority: Count
    ttl_s: Seconds
    claimed_at: Moment
    degraded: bool
    scope: list[str]
    meta: dict[str, str]
    pid: Count | None = None


class TaskFields(Open):
    """One task. `owner` and `holder` are there while somebody holds it, `takeover` while anybody may take it over."""

    task: TaskId
    status: Status
    fence: Count
    attempts: Count
    retries: Count
    stale: bool
    archived: bool
    revision: Fence
    created_at: Moment
    updated_at: Moment
    owner: str | None = None
    holder: HolderField | None = None
    lease: LeaseView | None = None
    takeover: str | None = None
    last_error: str | None = None
    ignored: IgnoredField | None = None


class Task(Ok, TaskFields):
    """`show`."""


class UnreadableField(Open):
    """A record that could not be read: its file or key, and why."""

    name: str
    reason: str


class Tasks(Ok):
    """`list`, sorted by task id."""

    tasks: list[TaskFields]
    unreadable: list[UnreadableField]


class History(Ok):
    """`log`, oldest first."""

    task: TaskId
    history: list[HistoryEntry]


class CountersField(Open):
    """Events of the journal, counted."""

    events: Count
    by_type: dict[str, Count]
    by_reason: dict[str, Count]


class StatusAnswer(Ok):
    """`status`."""

    store: str
    root: str
    owner: str
    tasks: Count
    by_status: dict[str, Count]
    claimed: Count
    stale: Count
    ignored: Count
    attempts: Count
    retries: Count
    unreadable: Count
    counters: CountersField
    outbox: OutboxCountsField | None = None


class SweptField(Open):
    """An attempt that a sweep ended."""

    task: TaskId
    owner: str
    fence: Fence
    reason: str
    age_s: Seconds


class Sweep(Ok):
    """`sweep`; only `skipped` when another one of this state root is running."""

    dry_run: bool = False
    examined: Count = 0
    swept: list[SweptField] = Field(default_factory=list)
    archived: list[str] = Field(default_factory=list)
    reconciled: list[str] = Field(default_factory=list)
    conflicts: list[str] = Field(default_factory=list)
    unreadable: list[UnreadableField] = Field(default_factory=list)
    outbox: FlushField | None = None
    messages: MailSweepField | None = None
    skipped: Literal["already_running"] | None = None
    holder_pid: int | None = None


class RetryCheck(Open):
    """`retry-check`: `ok` is `eligible`."""

    schema_: Literal[1] = Field(alias="schema")
    ok: bool
    task: TaskId
    eligible: bool
    reason: str
    attempts: Count
    retries: Count
    retries_left: Count


class Change(Ok):
    """`ignore` and `unignore`."""

    task: TaskId
    changed: bool
    status: Status
    detail: str | None = None


class FaultField(Open):
    """What failed, and the safe next step."""

    code: str
    message: str
    hint: str
    retryable: bool


class Error(Open):
    """A fault of any command; with ids from standard input also the `task` it is about."""

    schema_: Literal[1] = Field(alias="schema")
    ok: Literal[False]
    error: FaultField
    task: str | None = None


MODELS: dict[str, type[BaseModel]] = dict(
    zip(
        SCHEMAS,
        (
            Record,
            Event,
            Claim,
            Refusal,
            Renewal,
            Loss,
            Release,
            Task,
            Tasks,
            History,
            StatusAnswer,
            Sweep,
            RetryCheck,
            Change,
            Sync,
            SyncStatusAnswer,
            BoardItem,
            Trust,
            Service,
            Services,
            ServiceDenial,
            Lanes,
            AuditTrail,
            *MESSAGE_MODELS,
            *HUB_MODELS.values(),
            Error,
        ),
        strict=True,
    )
)


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one kind of document; names as in the table."""
    made = TypeAdapter(MODELS[name]).json_schema(mode="validation", by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def schemas() -> dict[str, dict[str, Any]]:
    """All of them by name."""
    return {name: schema_of(name) for name in SCHEMAS}

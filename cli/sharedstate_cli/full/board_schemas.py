"""JSON Schemas of what `claims sync` and `claims board` answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sharedstate_cli.full.shapes import Count, Moment, Ok, Open, Status


class SyncErrorField(Open):
    """Something that failed in a sync; `task` is `(list)` for the listing of the board."""

    at: Moment
    task: str
    detail: str


class DistrustField(Open):
    """A state comment that does not count."""

    task: str
    where: str
    author: str
    reason: str


class Sync(Open):
    """`sync`, one object a cycle: `ok` is false when the board could not be listed.

    `actions`: what people's changes led to; `pushed`: what was written (`record labels card`); both by task.
    """

    schema_: Literal[1] = Field(alias="schema")
    ok: bool
    board: str = ""
    dry_run: bool = False
    pulled: list[str] = Field(default_factory=list)
    actions: dict[str, list[str]] = Field(default_factory=dict)
    pushed: dict[str, list[str]] = Field(default_factory=dict)
    conflicts: list[str] = Field(default_factory=list)
    gone: list[str] = Field(default_factory=list)
    distrusted: list[DistrustField] = Field(default_factory=list)
    errors: list[SyncErrorField] = Field(default_factory=list)
    waiting: Count = 0
    skipped: Literal["already_running"] | None = None
    holder_pid: int | None = None
    skipped_until: Moment | None = None
    parked_until: Moment | None = None
    reason: str | None = None
    detail: str | None = None


class WaitingField(Open):
    """A task that waits to be pushed, or read again."""

    task: str
    not_before: Moment
    tries: Count
    reason: str


class SyncStatusAnswer(Ok):
    """`sync --status`: counters since the beginning, the last 20 errors, what waits."""

    board: str
    cycles: Count
    failed_in_row: Count
    counters: dict[str, Count]
    waiting: list[WaitingField]
    errors: list[SyncErrorField]
    last_at: Moment | None = None
    last_clean_at: Moment | None = None
    resume_at: Moment | None = None


class RecordField(Open):
    """What a state comment says of a task."""

    task: str
    status: Status
    fence: Count
    attempts: Count
    retries: Count
    retries_max: Count
    ignored: bool
    revision: Count
    owner: str | None = None
    since: Moment | None = None
    heartbeat: Moment | None = None
    last_error: str | None = None


class CommentField(Open):
    """A state comment, and why it does not count (`reason`), if it does not."""

    task: str
    counts: bool
    where: str
    author: str
    author_id: Count
    association: str
    reason: str | None = None
    record: RecordField | None = None
    says: str | None = None


class BoardItem(Ok):
    """`board show`."""

    board: str
    task: str
    title: str
    url: str
    open: bool
    labels: list[str]
    ignored: bool
    locked: bool
    comments: list[CommentField]
    reason: str | None = None
    status: str | None = None
    updated_at: Moment | None = None
    record: RecordField | None = None


class Trust(Ok):
    """`board adopt`."""

    board: str
    counting: Count
    ignored: Count
    comments: list[CommentField]
    hints: list[str]

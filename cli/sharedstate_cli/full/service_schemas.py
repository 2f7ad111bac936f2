"""JSON Schemas of the answers about shared services and the audit trail."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sharedstate_cli.full.shapes import Count, Fence, Moment, NotOk, Ok, Open, Seconds


class AuditEntryField(Open):
    """One entry of the trail: what (`kind`), about which task or service, by whom. `facts`: all that was written."""

    journal: str
    sequence: Fence
    at: Moment
    kind: str
    about: str
    by: str
    reason: str
    facts: dict[str, Any]


class AuditTrail(Ok):
    """`audit`, oldest first."""

    entries: list[AuditEntryField]


class StopField(Open):
    """Who asked the service to stop, and why, where that was by force."""

    by: str
    reason: str
    forced: bool
    at: Moment


class ServiceFields(Open):
    """One service. `state`: as recorded, or `dead` (its process is gone), or `unknown` (not to be seen from here).

    `command` is masked. `supervised`, `pid` and `seen_s` (since the last heartbeat) are there where they are known.
    """

    service: str
    state: Literal["starting", "running", "stopping", "stopped", "ended", "failed", "dead", "unknown"]
    owner: str
    fence: Fence
    host: str
    started_by: str
    started_at: Moment
    command: list[str]
    folder: str
    log: str
    detail: str
    pid: Fence | None = None
    supervised: bool | None = None
    seen_s: Seconds | None = None
    ended_at: Moment | None = None
    code: Count | None = None
    stop: StopField | None = None


class Service(Ok, ServiceFields):
    """`service status NAME`, `start`, `stop`, `restart`; the last three say what was done (`outcome`)."""

    outcome: Literal["started", "adopted", "already_running", "stopped", "not_running"] | None = None
    recovery: bool | None = None
    killed: bool | None = None
    forced: bool | None = None


class UnreadableService(Open):
    """A record that could not be read: its file or key, and why."""

    name: str
    reason: str


class Services(Ok):
    """`service status`, sorted by name."""

    services: list[ServiceFields]
    unreadable: list[UnreadableService]


class ServiceDenial(NotOk):
    """`service start`, `stop`, `restart`, `status`: not done, and why."""

    service: str
    action: Literal["start", "stop", "restart"] | None = None
    owner: str | None = None
    by: str | None = None
    retryable: bool | None = None
    code: Count | None = None


class LaneField(Open):
    """One lane; endpoints are masked, `source` says which level of the order they come from."""

    lane: str
    role: str
    rights: list[str]
    endpoints: list[str]
    source: str


class Lanes(Ok):
    """`lanes`; `lane` is the one that is ours."""

    lane: str | None
    lanes: list[LaneField] = Field(default_factory=list)

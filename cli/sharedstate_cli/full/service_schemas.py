"""JSON Schemas of the answers about shared services and the audit trail."""

from __future__ import annotations

from typing import Any

from sharedstate_cli.full.shapes import Fence, Moment, Ok, Open


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

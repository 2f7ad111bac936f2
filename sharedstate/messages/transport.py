"""The transport port: how a message reaches its recipients' inbox. A transport never decides what becomes of it."""

from __future__ import annotations

from typing import Protocol

from sharedstate.messages.model import Answer, Envelope


class Transport(Protocol):
    """One way to an inbox. Safe for threads."""

    @property
    def name(self) -> str:
        """How this endpoint is called in reports: without credentials, stable over restarts."""
        ...

    def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
        """Try once, for at most `timeout_s` seconds, also when the far side trickles or is half open.

        Success is what the status of the far side says, never a match of its text. Delivering the same id again has no
        second effect. Raises nothing that a far side can cause: it answers `Deferred` or `Rejected`.
        """
        ...

    def close(self) -> None:
        """Give back connections."""
        ...

"""The default transport: into the recipients' inboxes in the same store. Needs no server."""

from __future__ import annotations

from sharedstate.errors import Corrupt, InvalidInput, StoreError
from sharedstate.messages.mailroom import VIA, Mailroom
from sharedstate.messages.model import Answer, Deferred, Delivered, Envelope, Rejected


class StoreTransport:
    """`Transport` over a `Mailroom`. A store that is away or busy, or a damaged record, defers the message."""

    def __init__(self, mailroom: Mailroom, *, name: str = VIA) -> None:
        self._mailroom = mailroom
        self._name = name

    @property
    def name(self) -> str:
        """How this endpoint is called in reports."""
        return self._name

    def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
        """Try once. The store bounds its own waits (`lock_timeout_ms`), so `timeout_s` has no further effect."""
        del timeout_s
        try:
            answer = self._mailroom.receive(envelope)
        except InvalidInput as error:  # first: a malformed message is malformed for ever
            return Rejected(via=self._name, reason=f"{error.code}: {error}")
        except (StoreError, Corrupt) as error:
            return Deferred(via=self._name, reason=f"{error.code}: {error}")
        if isinstance(answer, Rejected):
            return answer.replace(via=self._name)
        return Delivered(via=self._name, duplicate=answer.duplicate)

    def close(self) -> None:
        """Nothing of its own to give back; the store belongs to its opener."""

"""An outbox over a store in memory, a receiver, a clock that the test moves: the stage for stories about sending."""

from __future__ import annotations

from typing import Any

from sharedstate.messages.model import Envelope, FlushReport, Queued, SendResult, Sent
from sharedstate.messages.outbox import Outbox
from sharedstate.messages.transport import Transport
from sharedstate.settings import resolve
from sharedstate.store import Document, Store
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore
from sharedstate.testing.transports import RecordingTransport


class Office:
    """Senders `a` and `z`, recipients `b` and `c`. Each `desk` is the outbox of another process of the machine."""

    def __init__(self, *, store: Store | None = None, reruns: int = 1, **settings: Any) -> None:
        self.host = FakeHost()
        self.memory = MemoryStore(self.host, reruns=reruns)
        self.store = self.memory if store is None else store
        self.settings = resolve(settings, env={}, folder="/")
        self.post = RecordingTransport()
        self.asked: list[tuple[str, ...]] = []
        self.outbox = self.desk(self.host)

    def desk(self, host: FakeHost | None = None) -> Outbox:
        """Another process of the same machine."""
        own = FakeHost(machine=self.host.machine) if host is None else host
        return Outbox(self.store, host=own, settings=self.settings, transport=self._way)

    def send(self, body: str = "hello", *, outbox: Outbox | None = None, **fields: Any) -> SendResult:
        """Send from `a` to `b`, unless the fields say otherwise."""
        given: dict[str, Any] = {"sender": "a", "to": "b", "body": body, **fields}
        return (outbox or self.outbox).send(**given)

    def sent(self, body: str = "hello", **fields: Any) -> Envelope:
        """Send; the story goes on only when it is delivered at once."""
        answer = self.send(body, **fields)
        assert isinstance(answer, Sent), answer
        return answer.envelope

    def queued(self, body: str = "hello", **fields: Any) -> Envelope:
        """Send; the story goes on only when it is accepted and waits."""
        answer = self.send(body, **fields)
        assert isinstance(answer, Queued), answer
        return answer.envelope

    def flush(self, **options: Any) -> FlushReport:
        """A flush of everything, with the usual way."""
        return self.outbox.flush(**options)

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.host.advance(seconds)

    def events(self) -> list[Document]:
        """What the journal of the outbox tells."""
        return [entry.value for entry in self.store.read("outbox")]

    def states(self) -> dict[str, str]:
        """What stands in the outbox: body and state."""
        return {one.envelope.body: one.state for one in self.outbox.list()}

    def _way(self, envelope: Envelope, endpoints: tuple[str, ...]) -> Transport:
        del envelope
        self.asked.append(endpoints)
        return self.post

"""Endpoints whose answers a test writes down, on a clock that only they and sleeps move."""

from __future__ import annotations

from collections.abc import Iterable

from sharedstate.messages.model import Answer, Deferred, Delivered, Envelope, Rejected
from sharedstate.messages.wire import new_message_id
from sharedstate.testing.clock import FakeHost

ENVELOPE = Envelope(
    id=new_message_id(at_ms=1_800_000_000_000, entropy=bytes(10)),
    sender="desk/ada",
    recipients=("desk/bob",),
    kind="message",
    body="hello",
    created_at_ms=1_800_000_000_000,
    sequence=1,
)


class Scripted:
    """A transport: answers what stands in its script, then its last line for ever. `asked_at_s` are the moments.

    `answered_at_s` are the moments of the answers, `named_s` the Retry-After of each (0: none).

    A line is a status (`201`, `503`, `401` …), `None` for unreachable, or `(status, seconds it takes, retry after s)`.
    It never takes longer than it is given: then it is unreachable.
    """

    def __init__(
        self, name: str, host: FakeHost, script: Iterable[int | tuple[int | None, float, float] | None]
    ) -> None:
        self.name = name
        self.host = host
        self.script = list(script)
        self.asked_at_s: list[float] = []
        self.timeouts_s: list[float] = []
        self.answered_at_s: list[float] = []
        self.named_s: list[float] = []
        self.closed = False

    def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
        answer = self._answer(timeout_s)
        self.answered_at_s.append(self.host.monotonic_s())
        self.named_s.append((answer.retry_after_ms or 0) / 1000 if isinstance(answer, Deferred) else 0.0)
        return answer

    def _answer(self, timeout_s: float) -> Answer:
        self.asked_at_s.append(self.host.monotonic_s())
        self.timeouts_s.append(timeout_s)
        line = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        status, takes_s, after_s = line if isinstance(line, tuple) else (line, 0.0, 0.0)
        self.host.advance(min(takes_s, timeout_s))
        if takes_s > timeout_s:
            return Deferred(via=self.name, reason="no answer in time")
        if status is None:
            return Deferred(via=self.name, reason="connection refused")
        if 200 <= status < 300:
            return Delivered(via=self.name, duplicate=status == 200)
        if status in (302, 408, 409, 425, 429) or status >= 500:
            after_ms = round(after_s * 1000) or None
            return Deferred(via=self.name, reason="later", status=status, retry_after_ms=after_ms)
        return Rejected(via=self.name, reason="refused", status=status)

    def close(self) -> None:
        self.closed = True

"""A transport in memory for users' tests: it keeps what it is given, once per id, and answers by script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from sharedstate.messages.model import Answer, Deferred, Delivered, Envelope, Rejected
from sharedstate.messages.wire import content_digest

Script = Callable[[Envelope], "Answer | BaseException | None"]


class RecordingTransport:
    """Takes every message, as a good receiver does: idempotent by id, other content under a known id is rejected.

    `letters` are the messages it has, in the order in which they came first; `calls` all deliveries, repeated ones
    too. `script` is asked before each delivery: None lets it be taken, an answer is given instead (the message is not
    taken), an exception is raised. `answers` are given first, one for each delivery. `lose_answers` takes a message
    and says `Deferred` all the same, so many times: the answer was lost on the way. Safe for threads.
    """

    def __init__(
        self,
        *,
        name: str = "recording",
        answers: Iterable[Answer | BaseException | None] = (),
        script: Script | None = None,
        lose_answers: int = 0,
    ) -> None:
        self._name = name
        self._answers = list(answers)
        self.script = script
        self._guard = threading.Lock()
        self._digests: dict[str, str] = {}
        self.lose_answers = lose_answers
        self.letters: list[Envelope] = []
        self.calls: list[Envelope] = []
        self.closed = 0

    @property
    def name(self) -> str:
        """How it is called in reports."""
        return self._name

    def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
        """Answer by script, or take the message."""
        del timeout_s  # nothing here waits
        with self._guard:
            self.calls.append(envelope)
            scripted = self._answers.pop(0) if self._answers else None
        if scripted is None and self.script is not None:
            scripted = self.script(envelope)
        if isinstance(scripted, BaseException):
            raise scripted
        return self._take(envelope) if scripted is None else scripted

    def close(self) -> None:
        """Nothing to give back; counted."""
        self.closed += 1

    def ids(self) -> list[str]:
        """The ids of what it has, in the order of arrival."""
        return [envelope.id for envelope in self.letters]

    def bodies(self, *, to: str | None = None) -> list[str]:
        """The bodies of what it has, in the order of arrival; only those to this recipient, if one is given."""
        return [envelope.body for envelope in self.letters if to is None or to in envelope.recipients]

    def _take(self, envelope: Envelope) -> Answer:
        digest = content_digest(envelope)
        with self._guard:
            duplicate = envelope.id in self._digests
            if self._digests.setdefault(envelope.id, digest) != digest:
                return Rejected(via=self._name, reason="another message has this id", status=409)
            if not duplicate:
                self.letters.append(envelope)
            if self.lose_answers > 0:
                self.lose_answers -= 1
                return Deferred(via=self._name, reason="no answer")
            return Delivered(via=self._name, duplicate=duplicate)

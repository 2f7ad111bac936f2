"""A store in memory and the inbox over it: the stage for stories about receiving."""

from __future__ import annotations

from sharedstate.messages.inbox import Inbox
from sharedstate.messages.model import Letter
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore


class Site:
    """A store in memory and the inbox over it."""

    def __init__(self) -> None:
        self.host = FakeHost()
        self.store = MemoryStore(self.host, reruns=1)
        self.inbox = Inbox(self.store, host=self.host)

    def bodies(self, agent: str) -> list[tuple[int, str]]:
        """What is unread: sequence and body."""
        return [(letter.sequence, _body(letter)) for letter in self.inbox.unread(agent).letters]


def _body(letter: Letter) -> str:
    assert letter.envelope is not None
    return letter.envelope.body

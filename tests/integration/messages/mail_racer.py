"""One process of the mail race: sends or reads for a while, and writes down before and after what it does and hears.

    python mail_racer.py send|read ROOT HISTORY SEED SECONDS

Lines are written with one call each, so that a process that is killed leaves whole lines.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from typing import Any

from sharedstate import SharedState
from sharedstate.errors import StoreError
from sharedstate.messages.model import Envelope, Received
from sharedstate.messages.wire import document_of, new_message_id

AGENTS = ("anti", "anti2", "bob")
RECIPIENTS = (("*",), ("anti",), ("anti2",), ("bob", "anti"))


class Racer:
    """One process."""

    def __init__(self, state: SharedState, history: str, seed: int) -> None:
        self.state = state
        self.random = random.Random(seed)
        self._fd = os.open(history, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(self, **facts: Any) -> None:
        os.write(self._fd, json.dumps(facts).encode() + b"\n")

    def send(self, seconds: float) -> None:
        """Accept and deliver, message after message."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            now_ms = self.state.host.now().at_ms
            identity = new_message_id(at_ms=now_ms, entropy=os.urandom(10))
            envelope = Envelope(
                id=identity,
                sender="ada",
                recipients=self.random.choice(RECIPIENTS),
                kind="message",
                body="hello",
                created_at_ms=now_ms,
                sequence=1,
                correlation_id=identity,
            )
            self.tell(accepted=document_of(envelope))
            try:
                if isinstance(self.state.inbox.receive(envelope), Received):
                    self.tell(received=identity)
            except StoreError as error:
                self.tell(error=str(error))

    def read(self, seconds: float) -> None:
        """Look and acknowledge, with two threads."""
        threads = [threading.Thread(target=self._read, args=(seconds, number)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _read(self, seconds: float, number: int) -> None:
        chance = random.Random(self.random.random() + number)
        inbox, marks = self.state.inbox, dict.fromkeys(AGENTS, 0)
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            agent = chance.choice(AGENTS)
            looked = inbox.unread(agent, bodies=False)
            assert not looked.unknown, looked.unknown
            if not looked.letters:
                continue
            chosen = looked.letters[: chance.randrange(len(looked.letters)) + 1]
            self.tell(agent=agent, seen=[letter.id for letter in chosen])
            mark = inbox.ack(agent, up_to=chosen[-1].sequence).up_to
            assert mark >= max(chosen[-1].sequence, marks[agent]), "the watermark went back"
            marks[agent] = mark
            self.tell(agent=agent, mark=mark)


def main(role: str, root: str, history: str, seed: str, seconds: str) -> None:
    """Run one racer."""
    with SharedState.open(root, owner="ws/racer", folder=root) as state:
        racer = Racer(state, history, int(seed))
        act = racer.send if role == "send" else racer.read
        act(float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Any story of senders, readers, clocks and sweeps ends as a tiny model says, in memory and on files."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from sharedstate.errors import InvalidInput
from sharedstate.files import FileStore
from sharedstate.messages.inbox import Inbox
from sharedstate.messages.model import Envelope, Received, Rejected, Unread
from sharedstate.store import Store, Versioned
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore
from tests.unit.messages.letters import message

AGENTS = ("anti", "anti2", "Anti", "b/ob")
DAY_S = 86_400
RETENTION_S = 30 * DAY_S
agents = st.sampled_from(AGENTS)
recipients = st.one_of(
    st.just(("*",)),
    st.lists(agents, min_size=1, max_size=3, unique=True).map(tuple),
)


class ModelInbox:
    """What one agent has: messages in the order of arrival, and which of them it has read."""

    def __init__(self) -> None:
        self.got: list[Envelope] = []
        self.read: set[int] = set()

    @property
    def unread(self) -> list[tuple[int, str]]:
        return [(number, one.id) for number, one in enumerate(self.got, 1) if number not in self.read]

    @property
    def up_to(self) -> int:
        number = 0
        while number + 1 in self.read:
            number += 1
        return number


class MailStories(RuleBasedStateMachine):
    """Over the memory store, which runs every decision twice."""

    @initialize()
    def open(self) -> None:
        self.host = FakeHost()
        self.store = self.make_store()
        self.inbox = Inbox(self.store, host=self.host)
        self.model = {agent: ModelInbox() for agent in AGENTS}
        self.sent: list[Envelope] = []
        self.looks: dict[str, Unread] = {}
        self.acknowledged: set[tuple[str, str]] = set()

    def make_store(self) -> Store:
        return MemoryStore(self.host, reruns=1)

    # Sending

    @rule(to=recipients, sender=st.sampled_from((*AGENTS, "ada")), wants=st.booleans(), reply=st.integers(0, 5))
    def sends(self, to: tuple[str, ...], sender: str, wants: bool, reply: int) -> None:
        more: dict[str, Any] = {"ack_due_ms": self.host.now().at_ms + 60_000} if wants else {}
        if reply < len(self.sent):
            more |= {"correlation_id": self.sent[-1 - reply].correlation_id, "reply_to": self.sent[-1 - reply].id}
        envelope = message(self.host, to, f"number {len(self.sent)}", sender=sender, **more)
        self.host.advance(0.001)
        assert self.inbox.receive(envelope) == Received(id=envelope.id, duplicate=False, recipients=to)
        self.sent.append(envelope)
        for agent, inbox in self.model.items():
            if _is_for(envelope, agent):
                inbox.got.append(envelope)

    @rule(which=st.integers(0, 9))
    def delivers_again(self, which: int) -> None:
        if which < len(self.sent):
            again = self.sent[-1 - which]
            answer = self.inbox.receive(again.replace(attempts=2, replayed_at_ms=self.host.now().at_ms))
            known = isinstance(answer, Received) and answer.duplicate
            assert known or (isinstance(answer, Rejected) and answer.status == 410 and self._is_old(again))

    @rule(which=st.integers(0, 9))
    def reuses_an_id(self, which: int) -> None:
        if which < len(self.sent):
            answer = self.inbox.receive(self.sent[-1 - which].replace(body="other"))
            assert isinstance(answer, Rejected)

    # Reading

    @rule(agent=agents)
    def looks_at(self, agent: str) -> None:
        self.looks[agent] = self.inbox.unread(agent, bodies=False)

    @rule(agent=agents, part=st.floats(0, 1))
    def acknowledges_a_look(self, agent: str, part: float) -> None:
        looked = self.looks.get(agent)
        if looked is not None and looked.letters:
            up_to = looked.letters[int(part * (len(looked.letters) - 1))].sequence
            self._read(agent, range(1, up_to + 1))
            assert self.inbox.ack(agent, up_to=up_to).up_to == self.model[agent].up_to

    @rule(agent=agents, picks=st.sets(st.integers(0, 8), min_size=1, max_size=3))
    def acknowledges_some(self, agent: str, picks: set[int]) -> None:
        got = self.model[agent].got
        chosen = [number for number in range(1, len(got) + 1) if number - 1 in picks]
        kept = [number for number in chosen if not self._is_removed(got[number - 1])]
        if kept:
            self._read(agent, kept)
            self.inbox.ack(agent, ids=[got[number - 1].id for number in kept])

    @rule(agent=agents, beyond=st.integers(1, 3))
    def acknowledges_what_is_not_there(self, agent: str, beyond: int) -> None:
        with pytest.raises(InvalidInput):
            self.inbox.ack(agent, up_to=len(self.model[agent].got) + beyond)

    @rule(agent=agents, part=st.floats(0, 1))
    def resets(self, agent: str, part: float) -> None:
        up_to = int(part * self.model[agent].up_to)
        self.inbox.reset(agent, up_to=up_to, by="test")
        self.model[agent].read = set(range(1, up_to + 1))
        with pytest.raises(InvalidInput):
            self.inbox.reset(agent, up_to=up_to + 1)

    # Time

    @rule(days=st.sampled_from((0.01, 1, 16)))
    def time_passes(self, days: float) -> None:
        self.host.advance(days * DAY_S)

    @rule()
    def sweeps(self) -> None:
        assert self.inbox.sweep().unreadable == ()

    @rule()
    def starts_again(self) -> None:
        self.store.close()
        self.inbox = Inbox(self.store, host=self.host)

    # What must hold

    @invariant()
    def everybody_has_what_the_model_says(self) -> None:
        for agent, inbox in self.model.items():
            looked = self.inbox.unread(agent, bodies=False)
            assert [(letter.sequence, letter.id) for letter in looked.letters] == inbox.unread
            assert (looked.count, looked.unknown) == (len(inbox.unread), "")
            assert looked.up_to == len(inbox.got)
            listed = [(letter.sequence, letter.id, letter.unread) for letter in self.inbox.list(agent)]
            assert listed == [(n, one.id, n not in inbox.read) for n, one in enumerate(inbox.got, 1)]
            mark = self.inbox.watermark(agent)
            assert mark.up_to == inbox.up_to
            assert set(mark.above) == {number for number in inbox.read if number > inbox.up_to}

    @invariant()
    def what_somebody_has_not_read_is_kept(self) -> None:
        kept = {found.key for found in self.store.scan("mail") if isinstance(found, Versioned)}
        for agent in self.inbox.agents():
            assert {identity for _, identity in self.model[agent].unread} <= kept | self._once_removed()
        for envelope in self.sent:
            assert envelope.id in kept or self._is_old(envelope)

    @invariant()
    def threads_are_exact(self) -> None:
        for envelope in self.sent[-3:]:
            thread = [one.id for one in self.inbox.thread(envelope.correlation_id)]
            same = [one for one in self.sent if one.correlation_id == envelope.correlation_id]
            assert thread == [one.id for one in same if not self._is_removed(one)]

    @invariant()
    def overdue_is_what_was_never_acknowledged(self) -> None:
        late = {(one.id, one.recipient) for one in self.inbox.overdue()}
        for envelope in self.sent:
            for agent in envelope.recipients:
                if envelope.ack_due_ms is not None and agent != "*":
                    passed = envelope.ack_due_ms < self.host.now().at_ms
                    assert ((envelope.id, agent) in late) == (passed and (agent, envelope.id) not in self.acknowledged)

    # Inside

    def _read(self, agent: str, numbers: Any) -> None:
        for number in numbers:
            self.model[agent].read.add(number)
            self.acknowledged.add((agent, self.model[agent].got[number - 1].id))

    def _is_old(self, envelope: Envelope) -> bool:
        return envelope.created_at_ms < self.host.now().at_ms - RETENTION_S * 1000

    def _is_removed(self, envelope: Envelope) -> bool:
        return self.store.get("mail", envelope.id) is None

    def _once_removed(self) -> set[str]:
        """What was read once by all and is unread again by a reset may be gone."""
        return {one.id for one in self.sent if self._is_removed(one)}


class MailStoriesOnFiles(MailStories):
    """Over the file store."""

    def make_store(self) -> Store:
        self.folder = tempfile.mkdtemp(prefix="mail-")
        return FileStore(f"{self.folder}/state", host=self.host)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.store.close()
            shutil.rmtree(self.folder)


def _is_for(envelope: Envelope, agent: str) -> bool:
    return agent in envelope.recipients or (envelope.recipients == ("*",) and envelope.sender != agent)


def test_stories_in_memory_agree_with_the_model() -> None:
    run_state_machine_as_test(MailStories, settings=settings(max_examples=120, stateful_step_count=40, deadline=None))


@pytest.mark.slow
def test_stories_on_files_agree_with_the_model() -> None:
    told = settings(max_examples=20, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(MailStoriesOnFiles, settings=told)

"""Receiving and acknowledging, at every file call: killed before and after, torn, or failing.

After each death somebody looks, others send, the sender delivers again. Nothing is lost or doubled, no number ever
names another message than it has named before, and what nobody acknowledged is unread.
"""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sharedstate.errors import DurabilityUnknown, StoreError
from sharedstate.files import FileStore
from sharedstate.host import Host
from sharedstate.messages.inbox import Inbox
from sharedstate.messages.model import Envelope, Received
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.faults import Crashed, FaultHost, Plan, crash_at, fail_call, shorten_call
from tests.unit.messages.letters import message

AGENTS = ("bob", "eve", "late")
LOCK_TIMEOUT_S = 2.0
Operation = Callable[["Stage", Inbox], object]
View = dict[str, dict[int, str]]
pytestmark = pytest.mark.slow


def first_contact(stage: Stage, inbox: Inbox) -> object:
    return inbox.receive(stage.to_late)


def direct(stage: Stage, inbox: Inbox) -> object:
    return inbox.receive(stage.to_bob)


def to_several(stage: Stage, inbox: Inbox) -> object:
    return inbox.receive(stage.to_several)


def to_everybody(stage: Stage, inbox: Inbox) -> object:
    return inbox.receive(stage.to_all)


def answer(stage: Stage, inbox: Inbox) -> object:
    return inbox.receive(stage.answer)


def reading_up_to(stage: Stage, inbox: Inbox) -> object:
    return inbox.ack("bob", up_to=2)


def reading_one(stage: Stage, inbox: Inbox) -> object:
    return inbox.ack("bob", ids=[stage.asked.id])


def first_reading(stage: Stage, inbox: Inbox) -> object:
    return inbox.ack("late", up_to=2)


MESSAGES: tuple[Operation, ...] = (first_contact, direct, to_several, to_everybody, answer)
READINGS: tuple[Operation, ...] = (reading_up_to, reading_one, first_reading)
each_operation = pytest.mark.parametrize("operation", [*MESSAGES, *READINGS])


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Every play warns of what is late."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


class Stage:
    """Two known agents, one that will come, two messages to everybody; each play happens on a fresh copy."""

    def __init__(self, folder: Path, operation: Operation) -> None:
        self.operation = operation
        self._folder = folder
        self._played = 0
        self._origin = folder / "origin"
        self.clock = FakeHost()
        self.before = [message(self.clock, "bob"), message(self.clock, "eve")]
        self.before += [message(self.clock, "*", f"to all {number}") for number in range(2)]
        self.asked = message(self.clock, "bob", ack_due_ms=self.clock.now().at_ms + 1)
        self.before.append(self.asked)
        inbox = self._inbox(self._origin, self.clock)
        for envelope in self.before:
            assert isinstance(inbox.receive(envelope), Received)
        self.clock.advance(1)
        due: dict[str, Any] = {"ack_due_ms": self.clock.now().at_ms + 1}
        self.to_late = message(self.clock, "late", "to late", **due)
        self.to_bob = message(self.clock, "bob", "to bob", **due, correlation_id=self.asked.id)
        self.to_several = message(self.clock, ("late", "eve", "bob"), "to several", **due)
        self.to_all = message(self.clock, "*", "to all", **due)
        self.answer = message(
            self.clock, "ada", sender="bob", kind="ack", reply_to=self.asked.id, correlation_id=self.asked.id
        )

    def calls(self) -> list[str]:
        """The file calls of the operation in a fresh process."""
        host = FaultHost(self.clock)
        inbox = self._inbox(self._copy(), host)
        self.operation(self, inbox)
        return [call.operation for call in host.calls]

    def play(self, plan: Plan) -> str:
        """One play; what the caller was told, after all checks."""
        root = self._copy()
        host = FaultHost(self.clock, plan)
        told = self._told(self._inbox(root, host))
        if host.crashed:
            told = "dead"  # in a finalizer, which cannot pass it on
        survivor = FakeHost(seed=self._played)
        survivor.advance(60)
        inbox = self._inbox(root, survivor)
        view = self._check({}, inbox)
        others = [message(self.clock, agent, "another", sender="eve") for agent in ("late", "bob")]
        others += [message(self.clock, "*", "another to all")]
        for envelope in others:
            inbox.receive(envelope)
            view = self._check(view, inbox)
        self.operation(self, inbox)  # as the outbox, or the reader, does
        view = self._check(view, inbox)
        self.operation(self, inbox)
        view = self._check(view, inbox)
        self._check_whole(inbox, view, others)
        self._check_thread(inbox)
        return told

    def _check(self, before: View, inbox: Inbox) -> View:
        """Look as everybody; every number still names what it named."""
        now = {agent: {letter.sequence: letter.id for letter in inbox.list(agent)} for agent in AGENTS}
        for agent, known in before.items():
            for sequence, identity in known.items():
                assert now[agent].get(sequence) == identity, f"{agent}: {sequence} is another message now"
        for agent in AGENTS:
            looked = inbox.unread(agent)
            assert looked.unknown == ""
            if self.operation in MESSAGES:
                assert looked.count == len(now[agent]), "nobody has read anything"
        return now

    def _check_whole(self, inbox: Inbox, view: View, others: list[Envelope]) -> None:
        sent = [*self.before, *others]
        if self.operation in MESSAGES:
            sent.append(self._message())
        for agent in AGENTS:
            meant = sorted(one.id for one in sent if _is_for(one, agent))
            assert sorted(view[agent].values()) == meant
            assert sorted(view[agent]) == list(range(1, len(meant) + 1)), "a gap"
        if self.operation in READINGS:
            mark = inbox.watermark("late" if self.operation is first_reading else "bob")
            assert (mark.up_to, mark.above) == ((0, (4,)) if self.operation is reading_one else (2, ()))

    def _check_thread(self, inbox: Inbox) -> None:
        replies: dict[Operation, str] = {direct: self.to_bob.id, answer: self.answer.id}
        linked = [replies[self.operation]] if self.operation in replies else []
        assert [envelope.id for envelope in inbox.thread(self.asked.id)] == [self.asked.id, *linked]
        late = {(one.id, one.recipient) for one in inbox.overdue()}
        acknowledged = self.operation in (answer, reading_one)
        assert ((self.asked.id, "bob") in late) is not acknowledged

    def _message(self) -> Envelope:
        by: dict[Operation, Envelope] = {
            first_contact: self.to_late,
            direct: self.to_bob,
            to_several: self.to_several,
            to_everybody: self.to_all,
            answer: self.answer,
        }
        return by[self.operation]

    def _told(self, inbox: Inbox) -> str:
        try:
            self.operation(self, inbox)
        except Crashed:
            return "dead"
        except DurabilityUnknown:
            return "unknown"
        except StoreError:
            return "refused"
        return "done"

    def _inbox(self, root: Path, host: Host) -> Inbox:
        return Inbox(FileStore(str(root / "state"), host=host, lock_timeout_s=LOCK_TIMEOUT_S), host=host)

    def _copy(self) -> Path:
        self._played += 1
        root = self._folder / str(self._played)
        shutil.copytree(self._origin, root)
        return root


def _is_for(envelope: Envelope, agent: str) -> bool:
    return agent in envelope.recipients or (envelope.recipients == ("*",) and envelope.sender != agent)


@each_operation
def test_a_death_at_any_call_loses_doubles_and_renumbers_nothing(tmp_path: Path, operation: Operation) -> None:
    stage = Stage(tmp_path, operation)
    calls = stage.calls()
    assert len(calls) > 20
    for number, name in enumerate(calls, 1):
        assert stage.play(crash_at(number, when="before")) == "dead"
        if name in ("pwrite", "rename", "fdatasync", "mkdir"):
            assert stage.play(crash_at(number, when="after")) == "dead"
        if name == "pwrite":
            assert stage.play(shorten_call(number, crash="after")) == "dead"


@each_operation
def test_a_failing_call_loses_doubles_and_renumbers_nothing(tmp_path: Path, operation: Operation) -> None:
    stage = Stage(tmp_path, operation)
    for number, name in enumerate(stage.calls(), 1):
        if name in ("pwrite", "rename", "fsync", "open"):
            stage.play(fail_call(number, error=errno.ENOSPC))
        if name in ("pread", "fdatasync", "listdir"):
            stage.play(fail_call(number, error=errno.EIO))

"""Sending and flushing, at every file call they make: killed before and after, torn, failing, on a full disk.

After each death a recovery flush: nothing accepted is lost, the order is kept, the receiver has each message once.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sharedstate.errors import DurabilityUnknown, StoreError, StoreUnavailable
from sharedstate.files.store import FileStore
from sharedstate.host import Host
from sharedstate.messages.model import Answer, Deferred, Envelope, Queued, Refused, Rejected, Sent
from sharedstate.messages.outbox import Outbox
from sharedstate.settings import resolve
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.disk import SimDisk
from sharedstate.testing.faults import (
    Call,
    Crashed,
    Fault,
    FaultHost,
    Plan,
    crash_at,
    fail_call,
    kill_now,
    shorten_call,
)
from sharedstate.testing.transports import RecordingTransport

Operation = Callable[[Outbox], object]
ROOT = "/srv/team/local"
SETTINGS = resolve({}, env={}, folder="/")


def sends(outbox: Outbox) -> object:
    return outbox.send(sender="z", to="b", body="new")


def sends_behind(outbox: Outbox) -> object:
    return outbox.send(sender="a", to=("b", "c"), body="new")


def sends_in_vain(outbox: Outbox) -> object:
    return outbox.send(sender="z", to="b", body="new busy")


def sends_what_is_rejected(outbox: Outbox) -> object:
    return outbox.send(sender="z", to="b", body="new bad")


def flushes(outbox: Outbox) -> object:
    return outbox.flush()


def retries(outbox: Outbox) -> object:
    return outbox.retry(all=True)


def sweeps(outbox: Outbox) -> object:
    return outbox.sweep()


OPERATIONS: tuple[Operation, ...] = (
    sends,
    sends_behind,
    sends_in_vain,
    sends_what_is_rejected,
    flushes,
    retries,
    sweeps,
)
each_operation = pytest.mark.parametrize("operation", OPERATIONS)
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Every play warns of what is late."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def answer(envelope: Envelope) -> Answer | None:
    """The far side: never takes what is bad, is busy the first times."""
    if envelope.body.endswith("bad"):
        return Rejected(via="far", reason="never")
    busy = envelope.body.endswith("busy") and envelope.attempts < 2
    return Deferred(via="far", reason="busy") if busy else None


class Stage:
    """An outbox with messages in every condition; each play happens on a disk of its own.

    With `cut` the power is cut after each play, and the recovery is on the next boot.
    """

    def __init__(self, operation: Operation, *, cut: bool = False) -> None:
        self.operation = operation
        self._cut = cut
        self._plays = 0

    def calls(self) -> list[str]:
        """The file calls of the operation in a fresh process."""
        host = FaultHost(self._disk().host())
        self.operation(_outbox(host, RecordingTransport(script=answer)))
        return [call.operation for call in host.calls]

    def play(self, plan: Plan) -> str:
        """One play; what the caller was told, after all checks."""
        disk, far = self._disk(), RecordingTransport(script=answer)
        victim = disk.host()
        host = FaultHost(victim, plan)
        told, accepted = self._told(_outbox(host, far))
        told = "dead" if host.crashed else told
        disk.crash(victim.own.pid)
        if self._cut:
            self._plays += 1
            disk.power_cut(random.Random(self._plays))
        _recover(disk, far)
        bodies = far.bodies()
        assert len(bodies) == len(set(bodies))
        for body in ("one", "three busy", "four"):
            assert body in bodies, f"{body} was accepted, and is lost ({told})"
        assert bodies.index("one") < bodies.index("three busy")
        new = [body for body in bodies if body.startswith("new")]
        if told == "done" and accepted:
            assert new or self.operation is sends_what_is_rejected
        if told == "refused" and self.operation.__name__.startswith("sends"):
            assert not new, "an error, and yet it was sent"
        if self.operation is sends_behind and new:
            assert bodies.index("one") < bodies.index("new")
            assert bodies.index("four") < bodies.index("new")
        return told

    def _disk(self) -> SimDisk:
        disk = SimDisk()
        maker = disk.host()
        outbox = _outbox(maker, RecordingTransport(script=answer))
        for body, to in (("dead bad", "d"), ("one", "b"), ("two bad", "c"), ("three busy", "b"), ("four", "c")):
            outbox.send(sender="a", to=to, body=body, deliver=body.startswith("dead"))
        assert [one.state for one in outbox.list()] == ["dead", *["pending"] * 4]
        disk.crash(maker.own.pid)
        return disk

    def _told(self, outbox: Outbox) -> tuple[str, bool]:
        try:
            result = self.operation(outbox)
        except Crashed:
            return "dead", False
        except DurabilityUnknown:
            return "unknown", False
        except StoreError:
            return "refused", False
        return "done", isinstance(result, Sent | Queued | Refused)


def _outbox(host: Host, far: RecordingTransport) -> Outbox:
    store = FileStore(ROOT, host=host, lock_timeout_s=2.0)
    return Outbox(store, host=host, settings=SETTINGS, transport=lambda envelope, endpoints: far)


def _recover(disk: SimDisk, far: RecordingTransport) -> None:
    """What another process does later: everything leaves, but what the far side will never take."""
    outbox = _outbox(disk.host(), far)
    for _ in range(3):
        disk.machine.advance(1_000)
        outbox.sweep()
    assert outbox.damaged() == []
    standing = {one.envelope.body: one.state for one in outbox.list()}
    assert set(standing.values()) <= {"dead"}, standing
    assert {"dead bad", "two bad"} <= set(standing)
    store = FileStore(ROOT, host=disk.host())
    sent = {entry.value["message"] for entry in store.read("outbox") if entry.value["type"] == "message_sent"}
    assert sent <= set(far.ids())
    assert list(store.scan("deliveries")) == []


@each_operation
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_death_at_any_call_loses_nothing_that_was_accepted(operation: Operation, when: str) -> None:
    stage = Stage(operation)
    for number in range(1, len(stage.calls()) + 1):
        assert stage.play(crash_at(number, when="before" if when == "before" else "after")) == "dead"


@each_operation
def test_a_death_at_any_call_and_a_power_cut_lose_nothing_that_was_accepted(operation: Operation) -> None:
    stage = Stage(operation, cut=True)
    for number in range(1, len(stage.calls()) + 1):
        assert stage.play(crash_at(number, when="after")) == "dead"


@each_operation
def test_what_was_acknowledged_survives_a_power_cut(operation: Operation) -> None:
    stage = Stage(operation, cut=True)
    for _ in range(40):
        assert stage.play(lambda call: None) == "done"


@each_operation
def test_a_torn_write_and_death_at_any_call_loses_nothing(operation: Operation) -> None:
    stage = Stage(operation)
    for number, name in enumerate(stage.calls(), start=1):
        if name == "pwrite":
            assert stage.play(shorten_call(number, crash="after")) == "dead"


@each_operation
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_an_error_at_any_call_is_declared_and_true(operation: Operation, error: int) -> None:
    stage = Stage(operation)
    for number, name in enumerate(stage.calls(), start=1):
        if name != "unlock":
            assert stage.play(fail_call(number, error=error)) in ("done", "refused", "unknown")


@each_operation
def test_a_disk_that_is_full_from_any_call_on_loses_nothing_and_a_flush_goes_on_later(
    operation: Operation,
) -> None:
    stage = Stage(operation)

    def full_from(number: int) -> Plan:
        def plan(call: Call) -> Fault | None:
            full = call.number >= number and call.operation in ("pwrite", "mkdir")
            return Fault(error=errno.ENOSPC) if full else None

        return plan

    for number in range(1, len(stage.calls()) + 1):
        assert stage.play(full_from(number)) in ("done", "refused", "unknown")


def test_a_full_disk_accepts_nothing_and_says_so(tmp_path: Path) -> None:
    def full(call: Call) -> Fault | None:
        return Fault(error=errno.ENOSPC) if call.operation == "pwrite" else None

    host = FaultHost(FakeHost(), full)
    far = RecordingTransport()
    store = FileStore(str(tmp_path), host=host)
    outbox = Outbox(store, host=host, settings=SETTINGS, transport=lambda envelope, endpoints: far)
    with pytest.raises(StoreUnavailable, match="ENOSPC"):
        outbox.send(sender="a", to="b", body="one")
    assert far.calls == []
    host.plan = None
    assert outbox.list() == []
    assert isinstance(outbox.send(sender="a", to="b", body="one"), Sent)


def test_a_process_that_is_really_killed_while_it_delivers_loses_nothing(tmp_path: Path) -> None:
    """A real SIGKILL at some calls; the lease of the dead is over at once, without any waiting."""
    counting = FaultHost(Host())
    far = RecordingTransport()
    _real(tmp_path / "counting", counting, far).send(sender="a", to="b", body="one")
    count, accepted = len(counting.calls), 0
    for number in range(count // 3, count + 1, 2):
        root = tmp_path / str(number)
        child = os.fork()
        if child == 0:
            try:
                host = FaultHost(Host(), crash_at(number, when="after"), on_crash=kill_now)
                _real(root, host, RecordingTransport()).send(sender="a", to="b", body="one")
            finally:
                os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        mine = RecordingTransport()
        outbox = _real(root, Host(), mine)
        accepted += bool(outbox.list())
        outbox.flush()
        assert outbox.list() == []
        outbox.send(sender="a", to="b", body="two")
        assert mine.bodies() in (["one", "two"], ["two"])
    assert accepted > 3


def _real(root: Path, host: Host, far: RecordingTransport) -> Outbox:
    store = FileStore(str(root), host=host, lock_timeout_s=5.0)
    return Outbox(store, host=host, settings=SETTINGS, transport=lambda envelope, endpoints: far)

"""A doctor that dies or fails at any file call loses no byte, and the next one finishes; the fence never goes back."""

from __future__ import annotations

import errno
import random

import pytest

from sharedstate.errors import StoreError
from sharedstate.files.restoring import Restorer
from sharedstate.files.store import FileStore
from sharedstate.host import Host
from sharedstate.ids import digest_of, record_name
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import Tasks, TaskView
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.disk import Crashed, SimDisk
from sharedstate.testing.faults import PLAUSIBLE, FaultHost, Plan, crash_at, fail_call
from sharedstate.testing.memory import MemoryStore

ROOT = "/state"
TASK = "T-1"
TORN = b'{"id": "T-1", "fence": 2, torn'


def tasks_on(host: Host) -> Tasks:
    return Tasks(FileStore(ROOT, host=host), host=host, rules=Rules(), sightings=Sightings(MemoryStore(host)))


def sick() -> SimDisk:
    """A disk with one live task of fence 2, whose record is torn."""
    disk = SimDisk(seed=1)
    host = disk.host()
    tasks = tasks_on(host)
    for turn in ("one", "two"):
        tasks.claim(ClaimAsk(task=TASK, owner="a/1", digest_new=digest_of(turn), ttl_ms=60_000))
    disk.write(f"{ROOT}/tasks/{record_name(TASK)}.json", TORN)
    disk.sync()
    disk.crash(host.pid())
    return disk


def restorer(host: Host) -> Restorer:
    return Restorer(ROOT, host=host, allow_network=False, timeout_s=1.0, holdings={})


def call_count() -> int:
    host = FaultHost(sick().host())
    restorer(host).run()
    return len(host.calls)


def attempt(disk: SimDisk, plan: Plan) -> None:
    """One run of the doctor under a plan of faults; its process is gone afterwards."""
    inner = disk.host()
    host = FaultHost(inner, plan)
    try:
        restorer(host).run()
    except (Crashed, StoreError, OSError):
        pass
    host.plan = None
    if inner.pid() in disk.hosts:
        disk.crash(inner.pid())


def check_recovers(disk: SimDisk) -> None:
    kept = [raw for path, raw in disk.tree().items() if path.endswith(".bin")]
    record = disk.tree().get(f"{ROOT}/tasks/{record_name(TASK)}.json")
    assert record == TORN or TORN in kept, "the bytes are neither in place nor kept"
    host = disk.host()
    restorer(host).run()
    view = tasks_on(host).get(TASK)
    assert isinstance(view, TaskView)
    assert view.state.status == "abandoned"
    assert view.state.fence > 2
    tasks_on(host).claim(ClaimAsk(task="T-2", owner="a/1", digest_new=digest_of("one"), ttl_ms=60_000))
    tasks_on(host).ignore(TASK, reason="looked at", by="a person")
    told = [entry.value["type"] for entry in FileStore(ROOT, host=host).read("events") if entry.value["task"] == TASK]
    assert told == ["claimed", "reclaimed", "restored", "ignored"]
    assert TORN in [raw for path, raw in disk.tree().items() if path.endswith(".bin")]


CALLS = call_count()


@pytest.mark.parametrize("number", range(1, CALLS + 1))
def test_a_doctor_killed_at_any_call_is_finished_by_the_next(number: int) -> None:
    for when in ("before", "after"):
        disk = sick()
        attempt(disk, crash_at(number, when=when))
        check_recovers(disk)


@pytest.mark.parametrize("number", range(1, CALLS + 1))
def test_a_power_cut_at_any_call_loses_no_byte_and_no_fence(number: int) -> None:
    for seed in range(3):
        disk = sick()
        attempt(disk, crash_at(number, when="after"))
        disk.power_cut(random.Random(seed))
        check_recovers(disk)


@pytest.mark.parametrize("number", range(1, CALLS + 1))
def test_a_doctor_whose_call_fails_leaves_the_record_or_restores_it(number: int) -> None:
    host = FaultHost(sick().host())
    restorer(host).run()
    operation = host.calls[number - 1].operation
    for error in PLAUSIBLE.get(operation, (errno.EIO,)):
        disk = sick()
        attempt(disk, fail_call(number, error=error))
        check_recovers(disk)

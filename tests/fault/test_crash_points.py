"""Every file call of every writing operation on a real disk: killed before, killed after, cut short, refused."""

from __future__ import annotations

import errno
import os
import random
import signal
from pathlib import Path

import pytest

from sharedstate.errors import StoreError
from sharedstate.files import FileStore
from sharedstate.host import Host
from sharedstate.store import Decision
from sharedstate.testing.disk import SimDisk
from sharedstate.testing.faults import (
    Call,
    Crashed,
    Fault,
    FaultHost,
    crash_at,
    fail_call,
    fail_operation,
    kill_now,
    shorten_call,
)
from tests.fault.crash_points import OPERATIONS, Operation, Stage, creates, die_in_child, updates, writes

_ERRORS = (errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EROFS, errno.EACCES)
_CANNOT_FAIL = ("unlock",)  # releasing a lock one holds has no error but a closed descriptor
each_operation = pytest.mark.parametrize("operation", OPERATIONS)


@each_operation
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_death_at_any_call_leaves_old_or_new_and_nothing_stuck(
    tmp_path: Path, operation: Operation, when: str
) -> None:
    stage = Stage(tmp_path, operation)
    for number in range(1, len(stage.calls()) + 1):
        assert stage.play(crash_at(number, when="before" if when == "before" else "after")) == "dead"


@each_operation
def test_a_torn_write_and_death_at_any_call_leaves_old_or_new(tmp_path: Path, operation: Operation) -> None:
    stage = Stage(tmp_path, operation)
    for number, name in enumerate(stage.calls(), start=1):
        if name == "pwrite":
            assert stage.play(shorten_call(number, crash="after")) == "dead"


@each_operation
def test_a_short_write_at_any_call_is_completed(tmp_path: Path, operation: Operation) -> None:
    stage = Stage(tmp_path, operation)
    for number, name in enumerate(stage.calls(), start=1):
        if name == "pwrite":
            assert stage.play(shorten_call(number)) == "done"


@each_operation
@pytest.mark.parametrize("error", _ERRORS, ids=[errno.errorcode[error] for error in _ERRORS])
def test_an_error_at_any_call_is_declared_and_true(tmp_path: Path, operation: Operation, error: int) -> None:
    stage = Stage(tmp_path, operation)
    for number, name in enumerate(stage.calls(), start=1):
        if name not in _CANNOT_FAIL:
            assert stage.play(fail_call(number, error=error)) in ("done", "refused", "unknown")


@pytest.mark.parametrize("operation", [creates, updates])
def test_a_full_disk_refuses_and_works_again_when_there_is_space(tmp_path: Path, operation: Operation) -> None:
    stage = Stage(tmp_path, operation)

    def full(call: Call) -> Fault | None:
        return Fault(error=errno.ENOSPC) if call.operation in ("pwrite", "mkdir") else None

    assert stage.play(full) == "refused"


def test_a_first_write_that_dies_anywhere_leaves_a_root_that_works(tmp_path: Path) -> None:
    host = FaultHost(SimDisk().host())
    creates(FileStore("/root", host=host))
    for number in range(1, len(host.calls) + 1):
        disk = SimDisk()
        victim = FaultHost(disk.host(), crash_at(number, when="after"))
        try:
            creates(FileStore("/root", host=victim))
        except Crashed:
            pass
        assert victim.crashed
        store = FileStore("/root", host=disk.host())
        creates(store)
        assert store.get("tasks", "new") is not None


def test_a_process_that_is_really_killed_leaves_old_or_new(tmp_path: Path) -> None:
    host = FaultHost(Host())
    counting = FileStore(str(tmp_path / "counting"), host=host)
    creates(counting)
    count = len(host.calls)
    counting.close()
    for number in range(count // 2, count + 1, 3):
        root = tmp_path / str(number)
        status = die_in_child(root, creates, crash_at(number, when="after"), kill_now)
        assert os.WTERMSIG(status) == signal.SIGKILL
        store = FileStore(str(root), lock_timeout_s=5.0)
        creates(store)
        held = store.get("tasks", "new")
        assert held is not None
        assert held.value["n"] == held.value["twin"] == 1


def test_the_journal_is_never_ahead_of_a_record_that_a_power_cut_took_back() -> None:
    for seed in range(30):
        disk = SimDisk()
        FileStore("/root", host=disk.host()).transact("tasks", "old", writes(1, live=1))
        victim = disk.host()
        with pytest.raises(Crashed):
            updates(FileStore("/root", host=FaultHost(victim, _dies_after_rename)))
        disk.crash(victim.own.pid)
        FileStore("/root", host=disk.host()).transact("tasks", "old", lambda _: Decision(result=None))  # repairs
        disk.power_cut(random.Random(seed))
        store = FileStore("/root", host=disk.host())
        store.transact("tasks", "old", lambda _: Decision(result=None))
        held = store.get("tasks", "old")
        assert held is not None
        assert [entry.value["n"] for entry in store.read("events")][-1] == held.value["n"]


def _dies_after_rename(call: Call) -> Fault | None:
    return Fault(crash="after") if call.operation == "rename" and call.name.endswith(".json") else None


def test_every_declared_error_is_one_of_the_library() -> None:
    host = FaultHost(SimDisk().host(), fail_operation("mkdir", error=errno.EIO))
    with pytest.raises(StoreError, match="EIO") as caught:
        creates(FileStore("/root", host=host))
    assert isinstance(caught.value.__cause__, OSError)

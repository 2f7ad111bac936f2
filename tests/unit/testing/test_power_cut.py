"""What a simulated power cut keeps and loses: it must catch every writer that leaves out an fsync."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from sharedstate.testing.disk import Crashed, SimDisk, SimHost

_CUTS = 60
_OLD, _NEW = b"old" * 400, b"new" * 500
_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY
Writer = Callable[[SimHost, int], None]


def _careful(host: SimHost, folder: int) -> None:
    fd = host.open("temp", _CREATE, dir_fd=folder)
    host.pwrite(fd, _NEW, 0)
    host.fsync(fd)
    host.close(fd)
    host.rename("temp", "record", dir_fd=folder)
    host.fsync(folder)


def _without_fsync(host: SimHost, folder: int) -> None:
    fd = host.open("temp", _CREATE, dir_fd=folder)
    host.pwrite(fd, _NEW, 0)
    host.close(fd)
    host.rename("temp", "record", dir_fd=folder)
    host.fsync(folder)


def _without_directory_fsync(host: SimHost, folder: int) -> None:
    fd = host.open("temp", _CREATE, dir_fd=folder)
    host.pwrite(fd, _NEW, 0)
    host.fsync(fd)
    host.close(fd)
    host.rename("temp", "record", dir_fd=folder)


def _rename_before_fsync(host: SimHost, folder: int) -> None:
    fd = host.open("temp", _CREATE, dir_fd=folder)
    host.pwrite(fd, _NEW, 0)
    host.rename("temp", "record", dir_fd=folder)
    host.fsync(folder)
    host.fsync(fd)
    host.close(fd)


def _in_place(host: SimHost, folder: int) -> None:
    fd = host.open("record", os.O_WRONLY | os.O_TRUNC, dir_fd=folder)
    host.pwrite(fd, _NEW, 0)
    host.fsync(fd)
    host.close(fd)


def _disk() -> SimDisk:
    disk = SimDisk()
    disk.write("/state/record", _OLD)
    disk.sync()
    return disk


def _left_after(writer: Writer, *, calls_max: int = 1000) -> set[bytes]:
    """The contents that some of many cuts leave, when the power goes after at most `calls_max` calls."""
    left: set[bytes] = set()
    for seed in range(_CUTS):
        disk = _disk()
        host = _Limited(disk, calls_max)
        try:
            writer(host, host.open_dir("/state"))
        except Crashed:
            pass
        disk.power_cut(random.Random(seed))
        left.add(disk.read("/state/record"))
    return left


class _Limited(SimHost):
    """Dies at the call after the last one allowed."""

    def __init__(self, disk: SimDisk, calls_max: int) -> None:
        super().__init__(disk)
        disk.hosts[self.own.pid] = self
        self._left = calls_max

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Crashed

    def pwrite(self, fd: int, raw: bytes, offset: int) -> int:
        self._count()
        return super().pwrite(fd, raw, offset)

    def fsync(self, fd: int) -> None:
        self._count()
        super().fsync(fd)

    def rename(self, old: str, new: str, *, dir_fd: int | None = None) -> None:
        self._count()
        super().rename(old, new, dir_fd=dir_fd)


def _all_left(writer: Writer) -> set[bytes]:
    return set().union(*(_left_after(writer, calls_max=count) for count in range(6)))


def test_what_is_fsynced_with_its_name_survives_every_cut() -> None:
    assert _left_after(_careful) == {_NEW}


def test_a_cut_at_any_call_of_a_careful_writer_leaves_old_or_new() -> None:
    assert _all_left(_careful) == {_OLD, _NEW}


def test_a_writer_without_fsync_is_caught() -> None:
    left = _left_after(_without_fsync)
    assert left - {_OLD, _NEW}, "torn or empty after an acknowledged write"


def test_a_writer_without_directory_fsync_is_caught() -> None:
    assert _OLD in _left_after(_without_directory_fsync), "acknowledged and lost"


def test_a_writer_that_renames_before_it_fsyncs_is_caught() -> None:
    assert _all_left(_rename_before_fsync) - {_OLD, _NEW}


def test_a_writer_in_place_is_caught() -> None:
    assert _all_left(_in_place) - {_OLD, _NEW}


def test_a_second_fsync_after_a_failed_one_makes_nothing_stable() -> None:
    left: set[bytes] = set()
    for seed in range(_CUTS):
        disk = SimDisk()
        host = disk.host()
        fd = host.open("/record", _CREATE)
        host.pwrite(fd, _NEW, 0)
        host.fsync(host.open_dir("/"))
        host.fail_fsync(fd)
        host.fsync(fd)
        disk.power_cut(random.Random(seed))
        left.add(disk.read("/record"))
    assert left == {b""}


def test_a_directory_whose_parent_was_not_synced_may_vanish_with_all_in_it() -> None:
    gone = 0
    for seed in range(_CUTS):
        disk = SimDisk()
        host = disk.host()
        host.mkdir("/folder")
        folder = host.open_dir("/folder")
        _careful(host, folder)
        disk.power_cut(random.Random(seed))
        gone += "/folder" not in disk.tree()
    assert 0 < gone < _CUTS


def test_changes_of_two_directories_survive_independently() -> None:
    seen: set[tuple[bool, bool]] = set()
    for seed in range(_CUTS):
        disk = SimDisk()
        disk.write("/a/x", b"")
        disk.write("/b/x", b"")
        disk.sync()
        host = disk.host()
        host.unlink("/a/x")
        host.unlink("/b/x")
        disk.power_cut(random.Random(seed))
        seen.add(("/a/x" in disk.tree(), "/b/x" in disk.tree()))
    assert seen == {(False, False), (False, True), (True, False), (True, True)}


def test_a_sector_is_never_torn() -> None:
    for seed in range(_CUTS):
        disk = SimDisk()
        disk.write("/cell", b"A" * 256)
        disk.sync()
        host = disk.host()
        fd = host.open("/cell", os.O_RDWR)
        host.pwrite(fd, b"B" * 128, 0)
        host.pwrite(fd, b"C" * 128, 128)
        disk.power_cut(random.Random(seed))
        assert disk.read("/cell") in {b"A" * 256, b"B" * 128 + b"A" * 128, b"B" * 128 + b"C" * 128}


def test_a_crash_of_one_process_loses_nothing_and_frees_its_locks() -> None:
    disk = SimDisk()
    first, second = disk.host(), disk.host()
    fd = first.open("/file", os.O_CREAT | os.O_RDWR)
    first.pwrite(fd, b"written", 0)
    assert first.try_lock(fd)
    other = second.open("/file", os.O_RDWR)
    assert not second.try_lock(other)
    disk.crash(first.pid())
    assert second.try_lock(other)
    assert second.pread(other, 100, 0) == b"written"
    assert second.is_dead(first.own)
    with pytest.raises(Crashed):
        first.pread(fd, 1, 0)
    with pytest.raises(Crashed):
        first.open("/file", os.O_RDWR)
    first.close(fd)  # finalizers of the dead process do no harm
    assert not disk.hosts.keys() & {first.pid()}


def test_a_power_cut_ends_every_process_and_begins_a_new_boot() -> None:
    disk = SimDisk()
    host = disk.host()
    boot = host.boot_id()
    disk.power_cut(random.Random(1))
    assert disk.machine.boot_id() != boot
    assert not disk.hosts
    with pytest.raises(Crashed):
        host.listdir(3)


def test_locks_belong_to_open_files_and_not_to_processes() -> None:
    disk = SimDisk()
    host = disk.host()
    first = host.open("/lock", os.O_CREAT | os.O_RDWR)
    second = host.open("/lock", os.O_RDWR)
    assert host.try_lock(first)
    assert host.try_lock(first), "taking it again is no error"
    assert not host.try_lock(second)
    host.close(second)
    assert not host.try_lock(host.open("/lock", os.O_RDWR)), "closing another descriptor frees nothing"
    before_s = host.monotonic_s()
    third = host.open("/lock", os.O_RDWR)
    assert host.wait_lock(third, timeout_s=2.0) is False
    assert host.monotonic_s() - before_s == pytest.approx(2.0)
    host.unlock(first)
    assert host.wait_lock(host.open("/lock", os.O_RDWR), timeout_s=2.0)


def test_descriptors_run_out() -> None:
    host = SimHost(SimDisk(), descriptors_max=4)
    opened = [host.open_dir("/") for _ in range(4)]
    with pytest.raises(OSError, match="Too many open files"):
        host.open_dir("/")
    host.close(opened[0])
    host.close(host.open_dir("/"))
    assert host.descriptor_count() == 3

"""The fault host: which call fails, how a process dies, what is left of its descriptors."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sharedstate.host import Host
from sharedstate.testing.disk import SimDisk
from sharedstate.testing.faults import (
    CRASH_EXIT_CODE,
    Crashed,
    FaultHost,
    crash_at,
    fail_call,
    fail_operation,
    shorten_call,
)

_CREATE = os.O_CREAT | os.O_RDWR


def _write(host: Host, folder: Path) -> None:
    top = host.open_dir(str(folder))
    fd = host.open("file", _CREATE, dir_fd=top)
    host.pwrite(fd, b"0123456789", 0)
    host.fsync(fd)
    host.close(fd)
    host.close(top)


def test_every_call_is_recorded_in_order(tmp_path: Path) -> None:
    host = FaultHost(Host())
    _write(host, tmp_path)
    assert [call.operation for call in host.calls] == ["open_dir", "open", "pwrite", "fsync", "close", "close"]
    assert [call.number for call in host.calls] == [1, 2, 3, 4, 5, 6]
    assert host.calls[1].name == "file"
    assert host.descriptor_count() == 0


def test_the_chosen_call_fails_with_the_chosen_errno_and_no_other(tmp_path: Path) -> None:
    host = FaultHost(Host(), fail_call(3, error=errno.ENOSPC))
    with pytest.raises(OSError, match="No space") as caught:
        _write(host, tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "file").read_bytes() == b""
    host.plan = None
    _write(host, tmp_path)
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_the_nth_call_of_an_operation_fails_once_or_for_ever(tmp_path: Path) -> None:
    host = FaultHost(Host(), fail_operation("open", nth=2, error=errno.EMFILE))
    _write(host, tmp_path)
    with pytest.raises(OSError, match="Too many"):
        _write(host, tmp_path)
    _write(host, tmp_path)
    host.plan = fail_operation("open", error=errno.EROFS, forever=True)
    for _ in range(3):
        with pytest.raises(OSError, match="Read-only"):
            _write(host, tmp_path)


def test_a_short_write_takes_half(tmp_path: Path) -> None:
    host = FaultHost(Host(), shorten_call(3))
    _write(host, tmp_path)
    assert (tmp_path / "file").read_bytes() == b"01234"


@pytest.mark.parametrize("when, left", [("before", b""), ("after", b"0123456789")])
def test_a_crash_happens_before_or_after_the_call(tmp_path: Path, when: str, left: bytes) -> None:
    host = FaultHost(Host(), crash_at(3, when="before" if when == "before" else "after"))
    with pytest.raises(Crashed):
        _write(host, tmp_path)
    assert (tmp_path / "file").read_bytes() == left
    assert host.descriptor_count() == 0
    with pytest.raises(Crashed):
        host.lstat(str(tmp_path))
    host.close(12345)  # finalizers of the dead process


def test_a_crash_frees_the_kernel_locks(tmp_path: Path) -> None:
    host, other = FaultHost(Host()), Host()
    fd = host.open(str(tmp_path / "lock"), _CREATE)
    assert host.try_lock(fd)
    rival = other.open(str(tmp_path / "lock"), os.O_RDWR)
    assert not other.try_lock(rival)
    host.plan = crash_at(3, when="before")
    with pytest.raises(Crashed):
        host.fsync(fd)
    assert other.try_lock(rival)
    other.close(rival)


def test_a_failed_close_closes_all_the_same(tmp_path: Path) -> None:
    host = FaultHost(Host(), fail_operation("close", error=errno.EIO))
    fd = host.open(str(tmp_path / "file"), _CREATE)
    with pytest.raises(OSError, match="Input/output"):
        host.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_failed_fsync_on_the_simulated_disk_loses_the_data_for_good() -> None:
    disk = SimDisk()
    host = FaultHost(disk.host(), fail_operation("fsync", error=errno.EIO))
    fd = host.open("/file", _CREATE)
    host.pwrite(fd, b"data", 0)
    with pytest.raises(OSError, match="Input/output"):
        host.fsync(fd)
    host.fsync(fd)
    disk.root.sync()
    disk.power_cut(disk.machine.random)
    assert disk.read("/file") == b""


@pytest.mark.parametrize("end, code", [("exit_now", CRASH_EXIT_CODE), ("kill_now", -9)])
def test_a_real_process_can_be_ended_at_a_call(tmp_path: Path, end: str, code: int) -> None:
    script = (
        "import os, sys\n"
        "from sharedstate.host import Host\n"
        f"from sharedstate.testing.faults import FaultHost, crash_at, {end}\n"
        f"host = FaultHost(Host(), crash_at(2, when='after'), on_crash={end})\n"
        "fd = host.open(sys.argv[1], os.O_CREAT | os.O_RDWR)\n"
        "host.pwrite(fd, b'done', 0)\n"
        "host.pwrite(fd, b'never', 0)\n"
    )
    path = tmp_path / "file"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", script, str(path)], env=environment, timeout=60, check=False)
    assert ended.returncode == code
    assert path.read_bytes() == b"done"

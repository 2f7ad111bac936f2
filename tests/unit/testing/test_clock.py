"""The fake machine's clocks, boots, processes and randomness."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sharedstate.clock import age_between
from sharedstate.testing.clock import FakeHost, FakeMachine


def test_time_stands_still_until_it_is_moved() -> None:
    host = FakeHost()
    first = host.now()
    assert host.now() == first
    host.advance(1.5)
    assert host.now().at_ms - first.at_ms == host.now().boot_ms - first.boot_ms == 1500


def test_sleep_advances_instead_of_waiting() -> None:
    host = FakeHost()
    before, before_s = host.now(), host.monotonic_s()
    host.sleep(3600)
    assert host.now().at_ms - before.at_ms == 3_600_000
    assert host.monotonic_s() - before_s == pytest.approx(3600)


def test_wall_step_moves_wall_time_alone() -> None:
    host = FakeHost()
    before, before_s = host.now(), host.monotonic_s()
    host.step_wall(-7200)
    assert host.now().at_ms - before.at_ms == -7_200_000
    assert host.now().boot_ms == before.boot_ms
    assert host.monotonic_s() == before_s
    assert age_between(since=before, now=host.now(), skew_ms=0).ms == 0


def test_suspend_moves_boot_time_and_not_the_monotonic_clock() -> None:
    host = FakeHost()
    before, before_s = host.now(), host.monotonic_s()
    host.suspend(600)
    assert host.now().boot_ms - before.boot_ms == host.now().at_ms - before.at_ms == 600_000
    assert host.monotonic_s() == before_s


def test_time_never_runs_backwards_by_advance() -> None:
    with pytest.raises(ValueError, match="step_wall"):
        FakeHost().advance(-1)


def test_reboot_gives_a_new_boot_id_and_proves_no_death_of_the_boot_before() -> None:
    host = FakeHost()
    other, before = host.spawn(), host.now()
    host.reboot()
    assert host.boot_id() != before.boot_id
    assert host.now().boot_ms < before.boot_ms
    assert host.now().at_ms == before.at_ms
    assert host.process(other.pid) is None
    assert not host.is_dead(other), "another boot proves nothing"
    assert not host.is_dead(host.own)


def test_killed_process_is_provably_dead_also_when_its_pid_is_used_again() -> None:
    host = FakeHost()
    process = host.spawn()
    assert host.process(process.pid) == process
    assert not host.is_dead(process)
    host.kill(process)
    assert host.is_dead(process)
    successor = host.spawn(pid=process.pid)
    assert successor != process
    assert host.is_dead(process)
    assert not host.is_dead(successor)
    host.kill(process)  # the dead one again: its successor lives on
    assert not host.is_dead(successor)


def test_a_running_pid_cannot_be_taken_twice() -> None:
    host = FakeHost()
    with pytest.raises(ValueError, match="running"):
        host.spawn(pid=host.pid())


def test_hosts_of_one_machine_share_clock_and_processes_and_are_different_processes() -> None:
    machine = FakeMachine(seed=1)
    first, second = FakeHost(machine=machine), FakeHost(machine=machine)
    assert first.pid() != second.pid()
    first.advance(10)
    assert second.now() == first.now()
    machine.kill(first.own)
    assert second.is_dead(first.own)


def test_fork_changes_the_pid_under_the_object() -> None:
    host = FakeHost()
    before = host.pid()
    host.fork()
    assert host.pid() != before


def test_entropy_is_a_function_of_the_seed() -> None:
    assert FakeHost(seed=7).entropy(16) == FakeHost(seed=7).entropy(16)
    assert FakeHost(seed=7).entropy(16) != FakeHost(seed=8).entropy(16)
    host = FakeHost(seed=7)
    assert host.entropy(16) != host.entropy(16)


def test_file_calls_are_real(tmp_path: Path) -> None:
    host = FakeHost()
    folder = host.open_dir(str(tmp_path))
    fd = host.open("x", os.O_CREAT | os.O_EXCL | os.O_RDWR, dir_fd=folder)
    assert host.pwrite(fd, b"hello", 0) == 5
    assert (tmp_path / "x").read_bytes() == b"hello"
    host.close(fd)
    host.close(folder)

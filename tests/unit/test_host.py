"""The real host, where it promises more than the system call behind it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sharedstate.host import Host
from sharedstate.ids import Process
from sharedstate.testing.contracts.steps import in_threads


def test_threads_that_list_one_directory_at_once_all_see_every_name(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / str(number)).touch()
    host = Host()
    folder = host.open_dir(str(tmp_path))
    seen: set[int] = set()
    in_threads([lambda: seen.update(len(host.listdir(folder)) for _ in range(300)) for _ in range(4)])
    host.close(folder)
    assert seen == {300}


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as started:
        yield started
        started.kill()


def identity(pid: int) -> Process:
    found = Host().process(pid)
    assert found is not None
    return found


@pytest.mark.parametrize("descriptors", [True, False], ids=["descriptors", "no descriptors"])
def test_a_signal_goes_to_the_very_process_and_to_no_other_with_its_pid(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, *, descriptors: bool
) -> None:
    if not descriptors:
        monkeypatch.delattr(os, "pidfd_open")
    host, now = Host(), identity(sleeper.pid)
    for other in (now.replace(start=now.start - 1), now.replace(boot_id="another"), now.replace(pid_ns="another")):
        assert not host.send_signal(other, signal.SIGKILL)
    assert sleeper.poll() is None
    assert host.send_signal(now, signal.SIGTERM)
    assert sleeper.wait(30) == -signal.SIGTERM
    assert not host.send_signal(now, signal.SIGTERM)


def test_a_family_is_session_group_and_descendants_without_the_dead(sleeper: subprocess.Popen[bytes]) -> None:
    host = Host()
    assert host.family(sleeper.pid) == (identity(sleeper.pid),)
    assert identity(sleeper.pid) in host.family(os.getpid())
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # a zombie from now on
    assert host.family(sleeper.pid) == ()

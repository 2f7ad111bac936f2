"""Remotes over real transports: the git protocol on the loopback, and ssh as far as a stand-in can show it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sharedstate.errors import StoreUnavailable
from sharedstate_adapters.git.command import environment
from tests.integration.git.ground import a_machine, bare_remote
from tests.integration.git.test_faults import check, count

PATIENCE_S = 10.0


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    """A git daemon that takes pushes; its address."""
    bare_remote(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["git", "daemon", "--listen=127.0.0.1", f"--port={port}", f"--base-path={tmp_path}", "--export-all"]
    running = subprocess.Popen([*words, "--enable=receive-pack"], stderr=subprocess.DEVNULL, start_new_session=True)
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    yield f"git://127.0.0.1:{port}/remote.git"
    os.killpg(running.pid, 15)
    running.wait(PATIENCE_S)


def test_two_machines_meet_at_a_daemon(tmp_path: Path, daemon: str) -> None:
    one, two = a_machine(daemon, str(tmp_path / "one")), a_machine(daemon, str(tmp_path / "two"))
    told = [count(one), count(two), count(one)]
    assert told == [1, 2, 3]
    check(two, acknowledged=told)
    one.close()
    two.close()


def test_a_remote_that_accepts_and_never_answers_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    with socket.socket() as dumb:
        dumb.bind(("127.0.0.1", 0))
        dumb.listen()
        url = f"git://127.0.0.1:{dumb.getsockname()[1]}/remote.git"
        store = a_machine(url, str(tmp_path / "one"), deadline_ms="1000")
        began_s = time.monotonic()
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            store.get("counters", "c")
        assert time.monotonic() - began_s < 3
        store.close()


def test_ssh_is_never_asked_to_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = bare_remote(tmp_path)
    said = tmp_path / "words"
    stand_in = tmp_path / "ssh"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >> \'{said}\'\nfor last; do :; done\nexec sh -c "$last"\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    store = a_machine(f"ssh://host.example{remote}", str(tmp_path / "one"))
    told = [count(store), count(store)]
    check(store, acknowledged=told)
    assert all("BatchMode=yes" in line for line in said.read_text().splitlines())
    store.close()


def test_an_ssh_that_stays_for_the_next_connection_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a program keeps git's standard error open; its end must not be waited for."""
    remote = bare_remote(tmp_path)
    stand_in = tmp_path / "ssh"
    stand_in.write_text(
        '#!/bin/sh\nsetsid sleep 8 < /dev/null > /dev/null &\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    store = a_machine(f"ssh://host.example{remote}", str(tmp_path / "one"), deadline_ms="4000")
    began_s = time.monotonic()
    told = [count(store), count(store)]
    check(store, acknowledged=told)
    assert time.monotonic() - began_s < 6
    store.close()


def test_the_configuration_of_a_person_does_not_change_how_our_own_repository_keeps_refs() -> None:
    assert environment({"GIT_DEFAULT_REF_FORMAT": "reftable"})["GIT_DEFAULT_REF_FORMAT"] == "files"

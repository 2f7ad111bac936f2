"""`claims hub run` on two machines over one shared store, and what it says and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sharedstate import SharedState
from sharedstate.errors import EXIT_CONFIG, EXIT_REFUSED, EXIT_RETRY
from sharedstate.store import Versioned
from tests.integration.hub.crew import PATIENCE_S, Command, wait_for
from tests.integration.hub.remotes import Remote, place_of
from tests.servers.redis import RedisServer

SECRET = "hunter2-very-secret"
IDLE_S = 3.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@contextmanager
def running(*commands: Command, more: tuple[str, ...] = ()) -> Generator[list[subprocess.Popen[str]]]:
    """`claims hub run` on each of them, until the end of the block; each then ends well."""
    services = [one.start("hub", "run", "--every", "200ms", "--json", *more) for one in commands]
    try:
        for one in services:
            assert one.stdout is not None
            assert "service" in one.stdout.readline()
        yield services
        for one in services:
            one.send_signal(signal.SIGTERM)
            _, err = one.communicate(timeout=PATIENCE_S)
            assert one.returncode == 0, err
    finally:
        for one in services:
            one.kill()
            one.communicate()


def local_contexts(machine: Command) -> dict[str, Any]:
    """What a machine knows by itself."""
    with SharedState.open(machine.root, url="redis://127.0.0.1:9/0") as state:
        found = state.local_store.scan("contexts")
        return {str(one.value["agent"]): one.value["context"] for one in found if isinstance(one, Versioned)}


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file's bytes and time of change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_two_machines_agree_the_newer_wins_and_idle_changes_no_byte(remote: Remote, tmp_path: Path) -> None:
    one, two = (Command(tmp_path / name, remote.url) for name in ("one", "two"))
    with running(one, two):
        assert one.run("hub", "update", "ada", "--set", "n=0").returncode == 0
        assert two.run("hub", "update", "bob", "--set", "n=0").returncode == 0
        both = {"ada": {"n": "0"}, "bob": {"n": "0"}}
        wait_for(lambda: local_contexts(one) == local_contexts(two) == both)
        for older, newer in {"git": [(one, two)], "postgres": [(two, one)]}.get(remote.name, [(one, two), (two, one)]):
            remote.kill()
            text = f"by {newer.root.name}"
            assert older.run("hub", "update", "ada", "--set", "n=older").returncode == 0
            assert newer.run("hub", "update", "ada", "--set", f"n={text}").returncode == 0
            remote.start()
            wait_for(lambda: local_contexts(one)["ada"] == local_contexts(two)["ada"] == {"n": text})  # noqa: B023 - reason: called here only
            assert json.loads(older.run("hub", "get", "ada", "--json").stdout)["context"] == {"n": text}
        time.sleep(1)
        before = tree(one.root), tree(two.root), remote.changes()
        time.sleep(IDLE_S)
        assert (tree(one.root), tree(two.root), remote.changes()) == before


def test_what_was_done_offline_by_commands_is_not_overwritten_by_the_next(remote: Remote, tmp_path: Path) -> None:
    machine = Command(tmp_path / "one", remote.url)
    assert machine.run("hub", "update", "ada", "--set", "a=1").returncode == 0
    remote.kill()
    assert machine.run("hub", "update", "ada", "--set", "b=2").returncode == 0
    assert machine.run("hub", "record", "task", "ada", "T-1", "complete", "--result", "{}").returncode == 0
    remote.start()
    made = json.loads(machine.run("hub", "update", "ada", "--set", "c=3", "--json").stdout)
    assert {**made["context"], "last_task": 0} == {"a": "1", "b": "2", "c": "3", "last_task": 0}
    with place_of(remote, tmp_path).open("judge") as state:
        kinds = [getattr(one, "body", {}).get("type") for one in state.hub.subscribe(timeout_s=0)]
    assert kinds.count("task_recorded") == 1


def test_the_service_runs_once_for_each_machine_and_ends_with_0(remote: Remote, tmp_path: Path) -> None:
    one, two = (Command(tmp_path / name, remote.url) for name in ("one", "two"))
    with running(one, two):
        second = one.run("hub", "run", "--json")
        assert second.returncode == EXIT_REFUSED, second.stdout
    with running(one):
        pass


def test_the_service_is_shown_and_stopped_by_its_name_also_while_the_shared_store_is_away(
    remote: Remote, tmp_path: Path
) -> None:
    """It is guarded on its machine, beside the shared store."""
    machine = Command(tmp_path / "one", remote.url)
    with running(machine) as [service]:
        remote.kill()
        shown = json.loads(machine.run("service", "status", "hub", "--json").stdout)
        assert (shown["state"], shown["pid"]) == ("running", service.pid)
        remote.start()
        everything = json.loads(machine.run("service", "status", "--json").stdout)["services"]
        assert [(one["service"], one["pid"]) for one in everything] == [("hub", service.pid)]
        assert machine.run("service", "stop", "hub").returncode == 0
        assert service.wait(PATIENCE_S) == 0
    assert json.loads(machine.run("service", "status", "hub", "--json").stdout)["state"] == "stopped"


def test_on_files_too_the_service_runs_once(tmp_path: Path) -> None:
    machine = Command(tmp_path / "one", "")
    with running(machine):
        assert machine.run("hub", "run").returncode == EXIT_REFUSED


def test_the_service_looks_at_once_outlives_a_poison_file_and_follows_a_killed_one(tmp_path: Path) -> None:
    machine, push = Command(tmp_path / "one", ""), tmp_path / "push"
    push.mkdir()
    (push / "deep.json").write_text('{"x": ' + "[" * 63 + "]" * 63 + "}")
    os.utime(push / "deep.json", (0, 0))
    dead = machine.start("hub", "run", "--every", "1h", "--bridge", str(push))
    try:
        wait_for((push / "refused").exists)
    finally:
        dead.kill()
        dead.communicate()
    (push / "good.json").write_text('{"type": "pushed"}')
    with running(machine, more=("--every", "1h", "--bridge", str(push))):
        wait_for(lambda: len(list((push / "done").glob("good.*.json"))) == 1)


def test_the_service_starts_without_the_shared_store_joins_and_takes_in_files(absent: Remote, tmp_path: Path) -> None:
    machine = Command(tmp_path / "one", absent.url)
    push = tmp_path / "push"
    push.mkdir()
    (push / "bad.json").write_text("{nonsense")
    assert machine.run("hub", "update", "ada", "--set", "n=1").returncode == 0
    with running(machine, more=("--bridge", str(push))) as [service]:
        absent.start()
        wait_for(lambda: "n" in _shared(absent, tmp_path).get("ada", {}))
        (push / ".new").write_text('{"type": "pushed"}')
        os.rename(push / ".new", push / "new.json")
        wait_for(lambda: (push / "done").exists() and (push / "refused").exists())
        assert service.poll() is None


def _shared(remote: Remote, folder: Path) -> dict[str, Any]:
    with place_of(remote, folder).open("judge") as state:
        return {one.agent: one.context for one in state.hub.unified().contexts}


def test_a_wrong_password_is_red_with_a_hint_and_never_told(tmp_path: Path) -> None:
    server = RedisServer("--requirepass", "the-right-one")
    try:
        url = f"redis://:{SECRET}@127.0.0.1:{server.port}/0"
        machine = Command(tmp_path / "one", url)
        answer = machine.run("hub", "health", "--json")
        document = json.loads(answer.stdout)
        assert (answer.returncode, document["ok"], document["score"] <= 50) == (EXIT_RETRY, False, True)
        red = [check for check in document["checks"] if not check["ok"]]
        assert {check["side"] for check in red} == {"shared"}
        assert all("password" in check["hint"] or "user" in check["hint"] for check in red), red
        text = machine.run("hub", "health")
        update = machine.run("hub", "update", "ada", "--set", "n=1")
        assert update.returncode != 0, "a wrong password is no outage"
        said = answer.stdout + answer.stderr + text.stdout + text.stderr + update.stdout + update.stderr
        assert SECRET not in said
        began = machine.run("hub", "run", "--json")
        assert (began.returncode, "refuses this user" in began.stdout) == (EXIT_CONFIG, True), began.stderr
        assert SECRET not in began.stdout + began.stderr
    finally:
        server.stop()


def test_a_password_that_is_changed_ends_the_service_with_a_sentence_so_that_it_is_started_with_the_new_one(
    tmp_path: Path,
) -> None:
    server = RedisServer("--requirepass", SECRET)
    try:
        machine = Command(tmp_path / "one", f"redis://:{SECRET}@127.0.0.1:{server.port}/0")
        service = machine.start("hub", "run", "--every", "200ms")
        assert service.stdout is not None
        assert "the hub runs" in service.stdout.readline()
        server.kill()
        server.start("--requirepass", "another")
        out, err = service.communicate(timeout=PATIENCE_S)
        assert (service.returncode, "refuses this user" in err) == (EXIT_CONFIG, True), err
        assert SECRET not in out + err
    finally:
        server.stop()


def test_a_server_that_is_not_there_is_red_on_its_side_with_a_hint(absent: Remote, tmp_path: Path) -> None:
    answer = Command(tmp_path / "one", absent.url).run("hub", "health", "--json")
    document = json.loads(answer.stdout)
    assert (answer.returncode, document["score"] <= 60) == (EXIT_RETRY, True), "of git the clock is this machine's"
    red = [check for check in document["checks"] if not check["ok"]]
    assert {check["side"] for check in red} == {"shared"}
    assert {"write", "read", "beat", "journal"} <= {check["name"] for check in red}
    assert all(check["problem"] for check in red)
    assert red[0]["hint"]

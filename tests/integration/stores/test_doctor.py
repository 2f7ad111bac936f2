"""`claims doctor` on every store: what stands there, what the server may lose, what can be restored without loss."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from sharedstate.clock import Instant
from sharedstate.host import Host
from sharedstate.store import Portable
from sharedstate.tasks.outcomes import Claimed, Lost
from sharedstate.testing.contracts.steps import got, writes
from sharedstate_adapters.postgres.line import Line
from tests.integration.git.ground import a_machine
from tests.integration.git.test_faults import count
from tests.integration.stores.damage import damage, lose_entry
from tests.integration.stores.places import Place, new_place
from tests.servers.lifetime import free_port
from tests.unit.cli.shell import Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(params=["git", "postgres", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty state; files have a doctor of their own (tests/unit/files/test_doctor.py)."""
    folder = tmp_path / f"{request.param}-{uuid4().hex[:12]}"
    folder.mkdir()
    return new_place(request.param, folder)


@pytest.fixture
def shell(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command on a place, as the machine `state`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHARED_STATE_URL", place.url)
    monkeypatch.setenv("SHARED_STATE_OWNER", "here/agent")
    return Shell(tmp_path, host=Host())


def codes(shell: Shell, line: str = "doctor", *, severity: str = "") -> tuple[int, list[str]]:
    """The exit code, and which findings (of one severity)."""
    answer = shell(line)
    found = answer.document["findings"]
    return answer.code, [one["code"] for one in found if severity in ("", one["severity"])]


def test_a_store_in_order_has_no_errors_and_is_looked_at_wholly(shell: Shell, place: Place) -> None:
    assert shell("claim T-1").code == 0
    code, errors = codes(shell, severity="error")
    assert [one for one in errors if one != "postgres_fsync"] == [], "the tests' PostgreSQL runs without fsync"
    assert code == (1 if errors else 0)
    found = codes(shell)[1]
    assert {"records", "journal", "live_claims"} <= set(found)
    assert {
        "git": {"git_version", "git_reached", "git_push", "git_copy"},
        "postgres": {"postgres_answers", "postgres_tables", "postgres_grants", "postgres_hints"},
        "redis": {"redis_answers", "redis_eviction", "redis_persistence", "redis_role"},
    }[place.name] <= set(found)


def test_an_unreadable_task_is_found_and_comes_back_with_a_higher_fence_and_its_bytes_kept(
    shell: Shell, place: Place
) -> None:
    with place.open("holder") as holder:
        claimed = holder.claims.claim("T-1")
        assert isinstance(claimed, Claimed)
        assert isinstance(holder.claims.claim("T-2"), Claimed)
        damage(holder.store, "tasks", "T-1")
        assert shell("show T-1").code == 7
        assert shell("show T-2").code == 0, "others go on"
        code, found = codes(shell, severity="error")
        assert (code, "record_unreadable" in found) == (7, True)
        fixed = shell("doctor --fix")
        [record] = fixed.document["repairs"]["records"]
        assert record["outcome"] == "restored", record
        assert "record_unreadable" not in [one["code"] for one in fixed.document["findings"]]
        assert shell("doctor --fix").document["repairs"]["records"] == [], "twice does nothing more"
        assert isinstance(holder.claims.renew("T-1"), Lost), "the owner is told"
        again = holder.claims.claim("T-1")
        assert isinstance(again, Claimed)
        assert again.fence > max(claimed.fence, 1_000_000_000), "no fence goes back"
        kept = [one["code"] for one in fixed.document["findings"] if one["code"].endswith("_kept")]
        assert kept or place.name == "git", "the bytes are somewhere, and that is said"


def test_other_unreadable_records_are_told_and_left_alone(shell: Shell, place: Place) -> None:
    with place.open("writer") as state:
        state.store.transact("inboxes", "bob", writes({"n": 1}))
        damage(state.store, "inboxes", "bob")
        answer = shell("doctor --fix")
        found = [one for one in answer.document["findings"] if one["code"] == "record_unreadable"]
        assert (answer.code, len(found)) == (7, 1)
        assert "inboxes/" in found[0]["where"]
        assert answer.document["repairs"]["records"] == []


def test_a_gap_in_a_journal_is_told(shell: Shell, place: Place) -> None:
    with place.open("writer") as state:
        for number in range(4):
            state.store.append("log", {"n": number})
        if not lose_entry(state.store, "log", 2):
            pytest.skip("a git journal is a file: what damages it makes it unreadable")
        answer = shell("doctor")
        told = [one["what"] for one in answer.document["findings"] if one["code"] == "journal_damage"]
        assert (answer.code, told) == (7, ["journal log: entry 2 is missing"])


def test_what_a_killed_self_test_left_is_told(shell: Shell, place: Place) -> None:
    with place.open("writer") as state:
        name = "selftest-1000000000-abcd"
        if place.name == "git":
            own = cast("Any", state.store).trial_url(place.url, name)
            with place.replace(url=own).open("trial") as trial:
                trial.store.append("log", {"n": 1})
        else:
            state.store.append(name, {"n": 1})
        assert "selftest_left" in codes(shell, severity="warn")[1]
        assert name not in cast("Portable", state.store).collections()


@pytest.fixture
def looked_only(tmp_path: Path) -> Iterator[str]:
    """A git daemon that lets people look, and lets nobody push; its address."""
    port = free_port()
    remote = tmp_path / "public.git"
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    words = ["git", "daemon", "--listen=127.0.0.1", f"--port={port}", f"--base-path={tmp_path}", "--export-all"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as running:
        yield f"git://127.0.0.1:{port}/public.git"
        running.terminate()


def test_a_remote_that_takes_no_push_is_an_error_before_the_first_claim(looked_only: str, tmp_path: Path) -> None:
    near = a_machine(str(tmp_path / "public.git"), str(tmp_path / "near"))
    far = a_machine(looked_only, str(tmp_path / "far"))
    until(lambda: "git_push" in {found.code for found in far.checkup()})
    for _ in range(2):  # without a state, and with one
        found = {one.code: one.severity for one in far.checkup()}
        assert (found["git_reached"], found["git_push"]) == ("ok", "error")
        assert {one.code: one.severity for one in near.checkup()}["git_push"] == "ok"
        count(near)
    near.close()
    far.close()


def test_a_damaged_copy_of_this_machine_is_told(tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    store = a_machine(str(remote), str(tmp_path / "one"))
    for _ in range(3):
        count(store)
    assert {one.code: one.severity for one in store.checkup()}["git_copy"] == "ok"
    store.transact("tasks", "T-1", writes({"n": 1}))
    blobs = (tmp_path / "one" / "repository.git" / "objects").glob("??/*")
    for blob in sorted(blobs, key=lambda path: path.stat().st_size)[:4]:
        blob.unlink()
    assert {one.code: one.severity for one in store.checkup()}["git_copy"] == "warn"
    store.close()
    other = a_machine(str(remote), str(tmp_path / "one"))
    assert got(other, "tasks", "T-1").value == {"n": 1}
    assert count(other) == 4
    assert len(list(other.read("events"))) == 4
    assert {one.code: one.severity for one in other.checkup()}["git_copy"] == "ok", "fetched anew when it was read"
    other.close()


def until(is_so: Callable[[], bool]) -> None:
    """Wait for a server that is on its way up."""
    until_s = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until_s, "not in time"
        time.sleep(0.05)


class Ahead(Host):
    """A machine whose wall clock is an hour ahead."""

    def now(self) -> Instant:
        """The true moment, an hour too late."""
        true = super().now()
        return true.replace(at_ms=true.at_ms + 3_600_000)


def test_a_clock_that_is_off_from_the_servers_is_told(place: Place) -> None:
    if not place.server_time:
        pytest.skip("a git remote has no clock")
    for host, wanted in ((Host(), None), (Ahead(), "warn")):
        with place.open("looker", host=host) as state:
            found = {one.code: one.severity for one in cast("Any", state.store).checkup()}
        assert found.get(f"{place.name}_clock") == wanted


def test_notifications_that_nobody_hears_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = new_place("postgres", tmp_path).store()
    assert {one.code: one.severity for one in store.checkup()}["postgres_hints"] == "ok"
    monkeypatch.setattr(Line, "hear", lambda *_: [])  # as behind a pooler in transaction mode
    found = {one.code: one for one in store.checkup()}
    assert found["postgres_hints"].severity == "warn"
    assert "looks again each second" in found["postgres_hints"].what
    store.close()

"""`claims selftest --url`: good stores pass and keep nothing of it, planted failures are refuted, faults are told."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from sharedstate import SharedState
from sharedstate.errors import InvalidInput
from sharedstate.files.selftest import Check
from sharedstate.host import Host
from sharedstate.proving.cuts import Cutter, cut_connections
from sharedstate.proving.run import prove
from sharedstate.proving.trial import PEERS, RUN_S_MAX
from sharedstate.store import Provable, Versioned
from sharedstate.testing.contracts.steps import writes
from sharedstate.testing.proxy import FaultProxy
from sharedstate_adapters.redis.store import RedisStore
from tests.integration.stores import broken_stores as broken
from tests.integration.stores.places import Place, new_place
from tests.unit.cli.shell import Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PROGRAM = str(Path(broken.__file__))
SECRET = "pa55-word-of-nobody"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, host=Host())


def made(name: str, tmp_path: Path) -> Place:
    folder = tmp_path / f"{name}-{uuid4().hex[:12]}"
    folder.mkdir()
    return new_place(name, folder)


def room(state: SharedState) -> Provable:
    """The store of a state: every place here has room for trials."""
    return cast("Provable", state.store)


def everything(place: Place) -> dict[str, object]:
    """All records and entries, as whoever copies the store would see them."""
    with place.open("looker") as state:
        store = room(state)
        held = {name: [one for one in store.scan(name) if isinstance(one, Versioned)] for name in store.collections()}
        told = {name: list(store.read(name)) for name in store.journals()}
    return {"records": held, "entries": told}


def on_broken(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, only: list[str]) -> dict[str, Check]:
    """What is found on a store that breaks a promise, here and in all of the run's processes."""
    method, broken_method = broken.BROKEN[name]
    monkeypatch.setattr(RedisStore, method, broken_method)
    place, peer = made("redis", tmp_path), (sys.executable, PROGRAM, name)
    with place.open() as state:
        return {one.name: one for one in prove(state, folder=place.folder, host=Host(), peer=peer, only=only)}


@pytest.mark.parametrize("name", ["git", "postgres", "redis"])
def test_a_good_store_passes_in_time_and_everything_in_it_stays_as_it_was(
    name: str, shell: Shell, tmp_path: Path
) -> None:
    place = made(name, tmp_path)
    with place.open("filler") as state:
        state.claims.claim("T-1")
        state.store.transact("inboxes", "bob", writes({"up_to": 2}))
        state.store.append("mine", {"n": 1})
    before, begun_s = everything(place), time.monotonic()
    told = shell("selftest --url", place.url)
    assert time.monotonic() - begun_s < RUN_S_MAX
    verdicts = {check["name"]: check["verdict"] for check in told.document["checks"]}
    assert (told.code, told.document["ok"]) == (0, True), told.out
    assert set(verdicts.values()) <= {"pass", "unknown"}
    # What a git remote has not: a clock, and a voice.
    assert {check for check, verdict in verdicts.items() if verdict == "unknown"} <= (
        {"time_never_goes_back", "hints_arrive"} if name == "git" else {"hints_arrive"}
    ), told.out
    assert everything(place) == before
    with place.open("looker") as state:
        assert room(state).trials() == []


@pytest.mark.parametrize(
    "name,refuted",
    [
        ("loses_updates", ["updates_are_not_lost", "claims_are_exclusive"]),
        ("does_twice", ["updates_are_not_lost", "lost_answers_are_resolved"]),
        ("forgets_events", ["claims_are_exclusive", "the_killed_block_nobody"]),
        ("rounds_numbers", ["values_stay_exact"]),
        ("ignores_beats", ["beats_are_seen"]),
        ("miscounts", ["journal_is_in_order"]),
        ("clock_goes_back", ["time_never_goes_back"]),
        ("hears_nothing", ["hints_arrive"]),
        ("forgets_no_trial", ["cleans_up"]),
    ],
)
def test_a_planted_failure_is_refuted(
    name: str, refuted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = on_broken(name, tmp_path, monkeypatch, only=refuted)
    assert [found[check].verdict for check in refuted] == ["fail"] * len(refuted), found


def test_hints_that_do_not_come_are_told_and_refute_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = on_broken("hears_late", tmp_path, monkeypatch, only=["hints_arrive"])
    assert found["hints_arrive"].verdict == "unknown"
    assert "by looking again" in found["hints_arrive"].what


def test_what_a_killed_run_left_behind_is_removed_by_the_next_one(tmp_path: Path) -> None:
    place = made("redis", tmp_path)
    with place.open() as state:
        old, fresh = "selftest-1000000000-abcd", f"selftest-{state.store.now().at_ms // 1000}-abcd"
        for name in (old, fresh):
            state.store.transact(name, "k", writes({"n": 1}), journal=name)
        prove(state, folder=place.folder, host=Host(), only=("values_stay_exact",))
        assert room(state).trials() == [fresh]


@pytest.mark.parametrize("name", ["git", "postgres", "redis"])
def test_nothing_but_a_trial_is_ever_forgotten(name: str, tmp_path: Path) -> None:
    place = made(name, tmp_path)
    with place.open() as state:
        state.store.transact("tasks", "T-1", writes({"n": 1}))
        for wrong in ("tasks", "selftest-", "selftest-*", "state", "selftest-1/../tasks"):
            with pytest.raises(InvalidInput, match="not the name of a trial"):
                room(state).forget_trial(wrong)
        assert state.store.get("tasks", "T-1") is not None


def test_faults_are_told_in_one_sentence_with_their_exit_codes_and_without_secrets(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED_STATE_LOCK_TIMEOUT_MS", "500")
    (tmp_path / "state").mkdir()
    for line, code in (
        (f"selftest --url redis://u:{SECRET}@127.0.0.1:1/0", 75),
        (f"selftest --url mysql://u:{SECRET}@127.0.0.1:1/0", 78),
        (f"selftest {tmp_path} --url redis://u:{SECRET}@127.0.0.1:1/0", 2),
        ("selftest --url github://acme/app", 78),
        (f"selftest --url file://{tmp_path}/nowhere", 2),
    ):
        for answer in (shell(line), shell.text(line)):
            assert answer.code == code, (line, answer.out, answer.err)
            assert SECRET not in answer.out + answer.err


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_server_that_falls_silent_in_the_middle_ends_the_test_in_time_and_refutes_nothing(
    name: str, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED_STATE_LOCK_TIMEOUT_MS", "1500")
    url = urlsplit(made(name, tmp_path).url)
    with FaultProxy((url.hostname or "", url.port or 0)) as proxy:
        through = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{proxy.port}")).geturl()
        timer = threading.Timer(3.0, lambda: setattr(proxy, "silent", True))
        timer.start()
        begun_s = time.monotonic()
        told = shell("selftest --url", through)
        timer.cancel()
    assert told.code in (0, 75), told.out  # 0: it had ended before
    assert told.code == 0 or told.document["error"]["code"] == "store_unavailable"
    assert time.monotonic() - begun_s < 30


def test_a_file_store_is_proved_as_its_folder(shell: Shell, tmp_path: Path) -> None:
    told = shell("selftest --url", f"file://{tmp_path}")
    assert told.code == 0
    assert told.document["folder"] == str(tmp_path)


def test_cutting_meets_only_connections(tmp_path: Path) -> None:
    place = made("redis", tmp_path)
    with place.open() as state, Cutter(Host(), span_s=0.001) as cutter:
        assert state.store.get("tasks", "T-1") is None
        assert cut_connections() >= 1
        assert state.store.get("tasks", "T-1") is None, "a store connects again by itself"
        assert (cutter.cuts, PEERS >= 2) == (0, True)
        os.stat(tmp_path)

"""`claims store copy` and `store migrate`: between real stores of every kind, cut off, told, without secrets."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest

from sharedstate import SharedState
from sharedstate.errors import StoreUnavailable
from sharedstate.host import Host
from sharedstate.store import Entry, Portable
from sharedstate.tasks.outcomes import Claimed
from sharedstate.testing.contracts.steps import got, readable, writes
from sharedstate.transfer import copy_store
from tests.integration.stores.places import PLACES, Place, new_place
from tests.integration.stores.postgres import schema_url
from tests.unit.cli.shell import Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
SECRET = "pa55-word"


def made(name: str, tmp_path: Path) -> Place:
    folder = tmp_path / f"{name}-{uuid4().hex[:12]}"
    folder.mkdir()
    return new_place(name, folder)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, host=Host())


def fill(place: Place) -> None:
    """Claims, an ended task, a journal of its own, a record of a reader: what a fleet has."""
    with place.open("filler") as state:
        for number in range(3):
            assert isinstance(state.claims.claim(f"T-{number}"), Claimed)
        state.claims.release("T-2", status="complete")
        state.store.transact("inboxes", "bob", writes({"up_to": 2, "one": 1.0, "big": 2**60}))
        for number in range(4):
            state.store.append("inbox.bob", {"n": number})


def check_same(one: SharedState, other: SharedState) -> None:
    source, target = cast("Portable", one.store), cast("Portable", other.store)
    assert source.collections() == target.collections()
    assert source.journals() == target.journals()
    for collection in source.collections():
        held = {record.key: (json.dumps(record.value), record.live) for record in readable(source.scan(collection))}
        assert held == {key: (json.dumps(got(target, collection, key).value), live) for key, (_, live) in held.items()}
    for journal in source.journals():
        assert list(source.read(journal)) == list(target.read(journal))


@pytest.mark.parametrize("source,target", list(itertools.permutations(sorted(PLACES), 2)))
def test_everything_arrives_and_owners_go_on(source: str, target: str, shell: Shell, tmp_path: Path) -> None:
    old, new = made(source, tmp_path), made(target, tmp_path)
    fill(old)
    told = shell("store copy", old.url, new.url)
    assert (told.code, told.document["verified"]) == (0, True), told
    assert told.document["entries"] >= 8
    with old.open("filler") as one, new.open("filler") as other:
        check_same(one, other)
    again = shell("store copy", old.url, new.url)
    assert (again.code, again.document["records"], again.document["entries"]) == (0, 0, 0)


def test_a_folder_is_a_store_and_both_must_differ(shell: Shell, tmp_path: Path) -> None:
    with SharedState.open(tmp_path / "old", owner="a/b") as state:
        state.claims.claim("T-1")
    assert shell("store copy old new").document["verified"] is True
    assert shell("store copy old", f"file://{tmp_path}/old").code == 2
    text = shell.text("store copy old new")
    assert "compared: the same" in text.out
    assert shell("store copy old", "nonsense://x").code == 78


class Breaks:
    """A store that fails after some entries, as a network does."""

    def __init__(self, store: Portable, *, after: int) -> None:
        self._store = store
        self._left = after

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def load_entries(self, journal: str, entries: list[Entry]) -> int:
        """Pass on until it breaks."""
        self._left -= 1
        if self._left < 0:
            raise StoreUnavailable("the way there is cut")
        return self._store.load_entries(journal, entries)


def test_a_copy_of_nothing_is_told_and_a_folder_that_is_not_there_refused(shell: Shell, tmp_path: Path) -> None:
    target = str(tmp_path / "target")
    (tmp_path / "empty").mkdir()
    wrong = shell.text("store copy", str(tmp_path / "nowhere"), target)
    assert (wrong.code, "no such folder" in wrong.err) == (2, True)
    assert not (tmp_path / "nowhere").exists()
    empty = shell.text("store copy", str(tmp_path / "empty"), target)
    assert (empty.code, "nothing stands in" in empty.err) == (0, True)


@pytest.mark.parametrize("target", sorted({"files", "postgres", "redis"} & set(PLACES)))
def test_a_copy_that_was_cut_off_goes_on(target: str, shell: Shell, tmp_path: Path) -> None:
    old, new = made("files", tmp_path), made(target, tmp_path)
    with old.open("filler", durability="relaxed") as state:
        for number in range(2_200):
            state.store.append("long", {"n": number})
    with old.open() as one, new.open() as other:
        broken = cast("Portable", Breaks(cast("Portable", other.store), after=1))
        with pytest.raises(StoreUnavailable):
            copy_store(cast("Portable", one.store), broken)
        assert len(list(other.store.read("long"))) == 1_000
    told = shell("store copy", old.url, new.url).document
    assert (told["verified"], told["entries"], told["same"]) == (True, 1_200, 1_000)


def test_what_the_target_holds_is_left_alone_and_told(shell: Shell, tmp_path: Path) -> None:
    old, new = made("files", tmp_path), made("postgres", tmp_path)
    fill(old)
    with new.open("other") as state:
        assert isinstance(state.claims.claim("T-0"), Claimed)
        before = got(state.store, "tasks", "T-0")
    told = shell("store copy", old.url, new.url)
    assert told.code == 1
    assert told.document["ok"] is False
    assert any("T-0" in problem for problem in told.document["problems"])
    assert "T-0" in shell.text("store copy", old.url, new.url).err
    with new.open("other") as state:
        assert got(state.store, "tasks", "T-0") == before


def test_no_secret_is_shown(shell: Shell, tmp_path: Path) -> None:
    with SharedState.open(tmp_path / "old", owner="a/b") as state:
        state.claims.claim("T-1")
    url = f"postgresql://somebody:{SECRET}@127.0.0.1:1/nothing"
    for answer in (
        shell("store copy old", url),
        shell.text("store copy old", url),
        shell("store migrate --url", url),
        shell.text("store migrate --plan --url", url),
        shell("store migrate --url", f"{url}?nonsense=1"),
    ):
        assert answer.code in (75, 78)
        assert SECRET not in answer.out + answer.err


@pytest.fixture
def fresh() -> str:
    return schema_url(uuid4().hex)


def test_migrating_by_hand_tells_its_steps(shell: Shell, fresh: str) -> None:
    planned = shell("store migrate --plan --url", fresh).document
    assert (planned["plan"], planned["steps"]) == (True, ["0001 state", "0002 change"])
    assert shell.text("store migrate --plan --url", fresh).out == "would apply 0001 state\nwould apply 0002 change\n"
    assert shell.text("store migrate --url", fresh).out == "applied 0001 state\napplied 0002 change\n"
    assert shell("store migrate --url", fresh).document["steps"] == []
    assert "needs no migrations" in shell.text("store migrate").out


def test_doctor_looks_at_the_server_behind_the_url(shell: Shell, fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARED_STATE_URL", fresh)
    shell("claim T-1")
    found = {finding["code"]: finding for finding in shell("doctor").document["findings"]}
    assert found["postgres_tables"]["severity"] == "ok"
    assert found["postgres_fsync"]["severity"] == "error", "the tests' server runs without"

"""The bridge: each file once, in order, whatever dies, and no file stops another."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sharedstate.errors import StoreUnavailable, UnsafeStore
from sharedstate.hub.bridge import SETTLED_MS, TAKEN, Bridge
from sharedstate.hub.model import JOURNAL
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(FakeHost())


def plain(names: Iterable[str]) -> list[str]:
    """Names as they were before the bridge made them unique."""
    return sorted(re.sub(r"\.[0-9a-f]{24}\.json$", ".json", name) for name in names)


def test_the_bridge_takes_each_file_once_and_moves_it_aside(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps({"type": "note", "n": 2}))
    (tmp_path / "a.json").write_text(json.dumps({"n": 1}))
    (tmp_path / "bad.json").write_text("{nonsense")
    (tmp_path / "double.json").write_text('{"a": 1, "a": 2}')
    (tmp_path / ".hidden.json").write_text("{}")
    (tmp_path / "other.txt").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "other.txt")
    crossing = Bridge(store, str(tmp_path), host=store.host).cross()
    assert plain(crossing.taken) == ["a.json", "b.json"]
    assert plain(name for name, _ in crossing.refused) == ["bad.json", "double.json"]
    assert all(reason.startswith("it must hold one JSON object: ") for _, reason in crossing.refused)
    assert [entry.value["event"] for entry in store.read(JOURNAL)] == [
        {"type": "bridged", "n": 1},
        {"type": "note", "n": 2},
    ]
    assert plain(path.name for path in (tmp_path / "done").iterdir()) == ["a.json", "b.json"]
    assert plain(path.name for path in (tmp_path / "refused").iterdir()) == ["bad.json", "double.json"]
    assert (tmp_path / "link.json").is_symlink()
    assert Bridge(store, str(tmp_path), host=store.host).cross().taken == ()


def test_a_death_between_the_effect_and_the_move_has_no_second_effect(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"n": 1}')
    Bridge(store, str(tmp_path), host=store.host).cross()
    [done] = (tmp_path / "done").iterdir()
    done.rename(tmp_path / "taking" / done.name)
    assert Bridge(store, str(tmp_path), host=store.host).cross().repeated == (done.name,)
    assert [path.name for path in (tmp_path / "done").iterdir()] == [done.name]
    assert len(list(store.read(JOURNAL))) == 1


def test_a_second_file_of_the_same_name_and_content_is_another_file(store: MemoryStore, tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "a.json").write_text('{"n": 1}')
        assert plain(Bridge(store, str(tmp_path), host=store.host).cross().taken) == ["a.json"]
    assert plain(path.name for path in (tmp_path / "done").iterdir()) == ["a.json", "a.json"]
    assert len(list(store.read(JOURNAL))) == 2


def test_a_file_waits_while_the_store_is_away(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / ("long" * 60 + ".json")).write_text('{"n": 1}')
    store.outage = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        Bridge(store, str(tmp_path), host=store.host).cross()
    store.outage = None
    assert len(Bridge(store, str(tmp_path), host=store.host).cross().taken) == 1


def bodies(store: MemoryStore) -> list[Any]:
    """What was taken in, in order."""
    return [entry.value["event"].get("n") for entry in store.read(JOURNAL)]


def test_files_are_taken_in_by_name_and_those_of_an_earlier_look_first(tmp_path: Path) -> None:
    host = FakeHost()
    store = MemoryStore(host)
    names = ["a.json", "a-1.json", "a b.json", "a.b.json", "A.json", *(f"{'long' * 12}-{n:02}.json" for n in range(20))]
    for name in names:
        (tmp_path / name).write_text(json.dumps({"n": name}))
    Bridge(store, str(tmp_path), host=store.host).cross()
    assert bodies(store) == sorted(names)
    store.outage = StoreUnavailable("away")
    for number in range(20):
        (tmp_path / "push.json").write_text(json.dumps({"n": number}))
        host.advance(0.001)
        with pytest.raises(StoreUnavailable):
            Bridge(store, str(tmp_path), host=store.host).cross()
    store.outage = None
    Bridge(store, str(tmp_path), host=store.host).cross()
    assert bodies(store)[len(names) :] == list(range(20))


def test_a_file_that_the_journal_does_not_take_stops_no_other(store: MemoryStore, tmp_path: Path) -> None:
    for depth in range(55, 70):
        (tmp_path / f"a{depth}.json").write_text('{"n": ' + "[" * depth + "]" * depth + "}")
    (tmp_path / "b.json").write_text('{"n": 1}')
    crossing = Bridge(store, str(tmp_path), host=store.host).cross()
    assert (len(crossing.taken) + len(crossing.refused), bodies(store)[-1]) == (16, 1)
    assert crossing.refused


def test_a_file_that_is_being_written_is_not_refused(tmp_path: Path) -> None:
    host = FakeHost()
    store = MemoryStore(host)
    bridge = Bridge(store, str(tmp_path), host=host)
    now_s = store.now().at_ms / 1000
    with (tmp_path / "slow.json").open("w") as file:
        for piece in ("", '{"type": "x",', ' "n": 7}'):
            file.write(piece)
            file.flush()
            os.utime(file.fileno(), (now_s, now_s))
            crossing = bridge.cross()
            assert crossing.refused == ()
    assert bodies(store) == [7]
    (tmp_path / "half.json").write_text("{")
    os.utime(tmp_path / "half.json", (now_s, now_s))
    assert bridge.cross().refused == ()
    host.advance(SETTLED_MS / 1000)
    assert [name for name, _ in bridge.cross().refused] == [path.name for path in (tmp_path / "refused").iterdir()]


@pytest.mark.parametrize("fault", [errno.EMFILE, errno.EIO, errno.ENOMEM])
def test_a_fault_of_the_machine_says_nothing_against_a_file(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    (tmp_path / "a.json").write_text('{"n": 1}')

    def fail(*_: Any, **__: Any) -> int:
        raise OSError(fault, os.strerror(fault))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(StoreUnavailable):
            Bridge(store, str(tmp_path), host=store.host).cross()
    assert len(Bridge(store, str(tmp_path), host=store.host).cross().taken) == 1


def test_a_name_as_long_as_names_get_and_one_that_is_no_text_are_taken(store: MemoryStore, tmp_path: Path) -> None:
    for name in ("\u00e9" * 125 + ".json", "x" * 250 + ".json", os.fsdecode(b"\xff\xfe.json")):
        (tmp_path / name).write_text("{}")
    assert len(Bridge(store, str(tmp_path), host=store.host).cross().taken) == 3


@pytest.mark.parametrize("name", ["taking", "done", "refused"])
def test_a_planted_link_takes_in_nothing_of_another_folder(store: MemoryStore, tmp_path: Path, name: str) -> None:
    push, secret = tmp_path / "push", tmp_path / "secret"
    for folder in (push, secret):
        folder.mkdir()
    (secret / "own.json").write_text("{}")
    (push / "a.json").write_text("{}")
    (push / name).symlink_to(secret)
    with pytest.raises(UnsafeStore):
        Bridge(store, str(push), host=store.host).cross()
    assert [path.name for path in secret.iterdir()] == ["own.json"]
    assert list(store.read(JOURNAL)) == []


def test_what_is_remembered_of_one_file_may_be_damaged(store: MemoryStore, tmp_path: Path) -> None:
    bridge = Bridge(store, str(tmp_path), host=store.host)
    (tmp_path / "a.json").write_text("{}")
    bridge.cross()
    [row] = store.scan(TAKEN)
    [done] = (tmp_path / "done").iterdir()
    done.rename(tmp_path / "taking" / done.name)
    store.plant(TAKEN, getattr(row, "key", ""), b"{nonsense")
    (tmp_path / "b.json").write_text("{}")
    assert len(bridge.cross().taken) == 1
    assert (tmp_path / "taking" / done.name).exists()

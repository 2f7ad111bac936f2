"""What lies in the tree instead of what should: planted links, pipes, foreign files, damage. Nothing is followed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sharedstate.errors import Corrupt, InvalidInput, NewerFormat, StoreUnavailable, UnsafeStore
from sharedstate.files import FileStore
from sharedstate.files.upkeep import quarantined
from sharedstate.ids import record_name
from sharedstate.store import Decision, Document, Snapshot, Unreadable, Versioned

SECRET = b'{"secret": "of somebody else"}'


def writes(before: Snapshot) -> Decision[int]:
    return Decision(result=before.revision, write={"n": before.revision + 1}, live=1, events=({"type": "claimed"},))


def always(decision: Decision[None]) -> Callable[[Snapshot], Decision[None]]:
    return lambda _: decision


def writes_twice(store: FileStore) -> None:
    """A journal that refuses does not undo a record in place; then the next write is refused."""
    store.transact("tasks", "good", writes)
    store.transact("tasks", "good", writes)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    made = FileStore(str(tmp_path / "state"))
    for key in ("good", "bad"):
        made.transact("tasks", key, writes)
    return made


def path_of(store: FileStore, key: str) -> Path:
    return Path(store.root.path) / "tasks" / f"{record_name(key)}.json"


def envelope(key: str = "bad", **changes: object) -> bytes:
    return json.dumps({"schema": 1, "id": key, "revision": 1, "live": None, "n": 1, **changes}).encode()


DAMAGE = {
    "empty": b"",
    "nothing but NUL": b"\0" * 700,
    "torn": b'{"schema": 1, "id": "bad", "revi',
    "byte order mark": b"\xef\xbb\xbf" + envelope(),
    "UTF-16": envelope().decode().encode("utf-16"),
    "not UTF-8": b'{"schema": 1, "id": "b\xffd", "revision": 1}',
    "conflict markers": b"{\n<<<<<<< ours\n" + envelope() + b"\n=======\n" + envelope() + b"\n>>>>>>> theirs\n}",
    "duplicate key": b'{"schema": 1, "id": "bad", "revision": 1, "revision": 2}',
    "NaN": b'{"schema": 1, "id": "bad", "revision": 1, "n": NaN}',
    "huge float": b'{"schema": 1, "id": "bad", "revision": 1, "n": 1e999}',
    "huge number": b'{"schema": 1, "id": "bad", "revision": 1, "n": ' + b"9" * 5000 + b"}",
    "lone surrogate": b'{"schema": 1, "id": "bad", "revision": 1, "n": "\\ud800"}',
    "100,000 deep": b'{"schema": 1, "id": "bad", "revision": 1, "n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "20 MB": envelope(pad="x" * 20_000_000),
    "a list": b"[]",
    "another id": envelope("good"),
    "no id": b'{"schema": 1, "revision": 1}',
    "id not text": envelope(id=7),
    "revision 0": envelope(revision=0),
    "revision true": envelope(revision=True),
    "revision text": envelope(revision="1"),
    "live text": envelope(live="1"),
    "no schema": b'{"id": "bad", "revision": 1}',
    "schema text": envelope(schema="1"),
    "last events a list": envelope(last_events=[]),
    "last events without time": envelope(last_events={"journal": "events", "after": 0, "entries": []}),
}


@pytest.mark.parametrize("raw", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_record_is_kept_and_blocks_itself_alone(store: FileStore, raw: bytes) -> None:
    path_of(store, "bad").write_bytes(raw)
    with pytest.raises(Corrupt):
        store.get("tasks", "bad")
    for _ in range(2):
        with pytest.raises(Corrupt):
            store.transact("tasks", "bad", writes)
    assert path_of(store, "bad").read_bytes() == raw, "the original stays"
    kept = quarantined(store.root)
    assert [copy.source for copy in kept] == [f"tasks/{path_of(store, 'bad').name}"], "one copy for one content"
    assert kept[0].reason
    assert (Path(store.root.path) / "local" / "quarantine" / f"{kept[0].name}.bin").read_bytes() == raw
    assert store.transact("tasks", "good", writes) == 1
    for live_only in (False, True):
        items = list(store.scan("tasks", live_only=live_only))
        assert [item.key for item in items if isinstance(item, Versioned)] == ["good"]
        assert len([item for item in items if isinstance(item, Unreadable)]) == 1


def test_a_newer_format_is_neither_read_nor_written_nor_quarantined(store: FileStore) -> None:
    raw = envelope(schema=2)
    path_of(store, "bad").write_bytes(raw)
    with pytest.raises(NewerFormat):
        store.get("tasks", "bad")
    with pytest.raises(NewerFormat):
        store.transact("tasks", "bad", writes)
    assert path_of(store, "bad").read_bytes() == raw
    assert quarantined(store.root) == []


def link(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere)


def dangling(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere.with_name("nothing"))


def hard_link(path: Path, elsewhere: Path) -> None:
    os.link(elsewhere, path)


def fifo(path: Path, elsewhere: Path) -> None:
    os.mkfifo(path)


def directory(path: Path, elsewhere: Path) -> None:
    path.mkdir()


PLANTED: tuple[Callable[[Path, Path], None], ...] = (link, dangling, hard_link, fifo, directory)


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_for_a_record_is_refused_and_stays(
    store: FileStore, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(SECRET)
    path_of(store, "bad").unlink()
    plant(path_of(store, "bad"), elsewhere)
    with pytest.raises(UnsafeStore):
        store.get("tasks", "bad")
    with pytest.raises(UnsafeStore):
        store.transact("tasks", "bad", writes)
    assert [type(item) for item in store.scan("tasks")].count(Unreadable) == 1
    assert elsewhere.read_bytes() == SECRET
    assert store.transact("tasks", "good", writes) == 1


@pytest.mark.parametrize("plant", PLANTED)
@pytest.mark.parametrize("place", ["cell", "lock", "segment", "format"])
def test_what_is_planted_for_a_file_of_ours_is_never_written_through(
    store: FileStore, tmp_path: Path, plant: Callable[[Path, Path], None], place: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(SECRET)
    root = Path(store.root.path)
    store.close()
    found = {
        "cell": list((root / "local" / "beats" / "tasks").iterdir()),
        "lock": [path for path in (root / "local" / "locks").iterdir() if len(path.name) == 2],
        "segment": list((root / "journal" / "events").iterdir()),
        "format": [root / "format.json"],
    }
    for path in found[place]:
        path.unlink()
        plant(path, elsewhere)
    with pytest.raises(UnsafeStore):
        writes_twice(store)
    assert elsewhere.read_bytes() == SECRET


@pytest.mark.parametrize("place", ["tasks", "local", "local/locks", "local/beats", "local/beats/tasks", "journal"])
def test_a_link_in_place_of_a_directory_is_refused(store: FileStore, tmp_path: Path, place: str) -> None:
    root = Path(store.root.path)
    store.close()
    moved = tmp_path / "moved"
    (root / place).rename(moved)
    (root / place).symlink_to(moved)
    with pytest.raises(UnsafeStore):
        writes_twice(store)


def test_a_root_that_is_a_link_or_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "file").write_text("")
    for name in ("link", "open", "file"):
        with pytest.raises(UnsafeStore):
            FileStore(str(tmp_path / name)).transact("tasks", "T-1", writes)
        with pytest.raises(UnsafeStore):
            FileStore(str(tmp_path / name)).get("tasks", "T-1")
    assert list((tmp_path / "real").iterdir()) == []
    assert list((tmp_path / "open").iterdir()) == []


def test_a_root_of_a_newer_format_or_of_another_program_is_left_alone(tmp_path: Path) -> None:
    cases = ((NewerFormat, {"schema": 2, "kind": "sharedstate"}), (UnsafeStore, {"schema": 1, "kind": "other"}))
    for number, (error, form) in enumerate(cases):
        root = tmp_path / str(number)
        root.mkdir()
        (root / "format.json").write_text(json.dumps(form))
        attempts: tuple[Callable[[FileStore], object], ...] = (
            lambda store: store.transact("tasks", "T-1", writes),
            lambda store: store.get("tasks", "T-1"),
            lambda store: store.scan("tasks"),
            lambda store: store.append("events", {"n": 1}),
        )
        for attempt in attempts:
            with pytest.raises(error):
                attempt(FileStore(str(root)))
        assert [path.name for path in root.iterdir()] == ["format.json"]


def test_reading_makes_nothing(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path / "deep" / "state"))
    assert store.get("tasks", "T-1") is None
    assert list(store.scan("tasks")) == list(store.scan("tasks", live_only=True)) == []
    assert list(store.read("events")) == []
    assert store.watch("events", after=0, timeout_s=0.0) is False
    assert store.upkeep() == []
    assert list(tmp_path.iterdir()) == []


def test_files_are_for_the_owner_alone_and_machine_local_ones_are_ignored_by_git(store: FileStore) -> None:
    root = Path(store.root.path)
    for path in (root, *root.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (root / ".gitignore").read_text() == "/local/\n"
    assert not list(root.rglob(".tmp-*"))


def test_a_tree_removed_while_open_is_made_anew(store: FileStore) -> None:
    root = Path(store.root.path)
    shutil.rmtree(root)
    assert store.get("tasks", "good") is None
    assert list(store.scan("tasks")) == []
    assert store.transact("tasks", "good", writes) == 0
    shutil.rmtree(root / "local")
    assert store.transact("tasks", "good", writes) == 1
    shutil.rmtree(root / "tasks")
    assert store.get("tasks", "good") is None
    assert store.transact("tasks", "good", writes) == 0
    shutil.rmtree(root / "journal")
    assert store.append("events", {"n": 1}) == 1
    shutil.rmtree(root / "local" / "beats")
    assert store.transact("tasks", "new", writes) == 0
    assert store.transact("tasks", "good", writes) == 1
    assert {item.key for item in store.scan("tasks", live_only=True) if isinstance(item, Versioned)} == {"good", "new"}


def test_a_tree_replaced_while_open_is_the_new_one_for_readers_and_writers(store: FileStore) -> None:
    root = Path(store.root.path)
    root.rename(root.with_name("old"))
    other = FileStore(str(root))
    other.transact("tasks", "good", lambda _: Decision(result=None, write={"in": "the new tree"}))
    held = store.get("tasks", "good")
    assert held is not None
    assert held.value == {"in": "the new tree"}
    assert store.transact("tasks", "good", writes) == 1
    assert [entry.record for entry in other.read("events")] == ["tasks/good@2"]


def test_a_read_only_root_is_told(store: FileStore) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not bind the superuser")
    tasks = Path(store.root.path) / "tasks"
    tasks.chmod(0o500)
    with pytest.raises(StoreUnavailable, match="EACCES"):
        store.transact("tasks", "good", writes)
    tasks.chmod(0o700)
    assert store.transact("tasks", "good", writes) == 1


def test_what_cannot_be_stored_is_refused_before_anything_changes(store: FileStore) -> None:
    documents: tuple[Document, ...] = ({"id": "mine"}, {"n": 2**63}, {"pad": "x" * 1_100_000})
    for document in documents:
        decision = Decision(result=None, write=document)
        with pytest.raises(InvalidInput):
            store.transact("tasks", "good", always(decision))
    entries: tuple[Document, ...] = ({"seq": 1}, {"n": 2**63}, {"n": object()}, {"pad": "x" * 1_100_000})
    for entry in entries:
        with pytest.raises(InvalidInput):
            store.append("events", entry)
    for name in ("", ".hidden", "a/b", "..", "é", "x" * 101):
        with pytest.raises(InvalidInput):
            store.get(name, "T-1")
        with pytest.raises(InvalidInput):
            store.append(name, {})
    for name in ("local", "journal"):
        with pytest.raises(InvalidInput):
            store.get(name, "T-1")
    held = store.get("tasks", "good")
    assert held is not None
    assert held.revision == 1
    assert len(list(store.read("events"))) == 2

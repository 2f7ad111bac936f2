"""Bare remotes, machines, and hands that reach into the state behind a store's back."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import quote

from sharedstate_adapters.git import layout, paths
from sharedstate_adapters.git.address import Address
from sharedstate_adapters.git.objects import BLOB, Item
from sharedstate_adapters.git.store import GitStore, Options
from tests.integration.stores.places import Place

REF = "refs/sharedstate/state"


def git(folder: Path | str, *words: str, given: bytes = b"") -> str:
    """Run git in a folder, as a person would."""
    ran = subprocess.run(["git", "-C", str(folder), *words], input=given, capture_output=True, check=True, timeout=60)
    return ran.stdout.decode().strip()


def bare_remote(tmp_path: Path) -> Path:
    """An empty bare repository, `remote.git`."""
    tmp_path.mkdir(exist_ok=True, parents=True)
    path = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(path))
    return path


def a_machine(
    remote: str, root: str, publish_ms: str = "60000", deadline_ms: str = "30000", history: str = "1000"
) -> GitStore:
    """A store object of the machine whose own side is the folder `root`."""
    options = Options(
        beat_publish_ms=int(publish_ms), deadline_ms=int(deadline_ms), history_max=int(history), poll_ms=200
    )
    return GitStore(Address(url=remote, ref=REF), folder=root, options=options)


def git_place(folder: Path) -> Place:
    """A bare remote over the file system; each machine has a root of its own."""
    remote = quote(str(bare_remote(folder)), safe="")
    return Place(name="git", url=f"git+ref:///state?remote={remote}", folder=str(folder), pace=8)


def spoil_record(store: GitStore, collection: str, key: str) -> None:
    """Put bytes that are no record in the place of one, at the remote."""
    _rewrite(store, {layout.record_path(collection, key): b'{"torn": '})


def drop_beats(store: GitStore) -> None:
    """Take the beat out of every record, at the remote."""
    state = store._chain.fresh(deadline_s=store._deadline_s())
    changes = {}
    for path, item in paths.files(store._objects, state.tree, (layout.RECORDS,)):
        stored = store._reader.stored(item, collection=path[0], name=path[-1])
        changes[layout.RECORDS, *path] = layout.encode_record(stored.replace(beat=None))
    _rewrite(store, changes)


def _rewrite(store: GitStore, changes: dict[paths.Path, bytes]) -> None:
    """A commit with other bytes in some files, pushed as another machine would."""
    state = store._chain.fresh(deadline_s=store._deadline_s())
    items: dict[paths.Path, Item | None] = {}
    for path, raw in changes.items():
        was = paths.found(store._objects, state.tree, path)
        assert was is not None
        items[path] = was.replace(oid=store._objects.write(BLOB, raw))
    commit = store._commits.write(state, items, writer="hand", chain="hand", count=1, subject="by hand", squash=False)
    pushed = store._remote.push(commit, expected=state.commit, deadline_s=store._deadline_s())
    assert pushed.fate == "applied"

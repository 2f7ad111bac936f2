"""Commits of the state: reading one, and writing the one that follows it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from sharedstate.errors import Corrupt
from sharedstate.host import Host
from sharedstate.values import Value
from sharedstate_adapters.git import layout, paths
from sharedstate_adapters.git.layout import Head, Writer
from sharedstate_adapters.git.objects import BLOB, COMMIT, Item, Objects
from sharedstate_adapters.git.paths import Path

AUTHOR: Final = "sharedstate <sharedstate@localhost>"
_STATES_KEPT: Final = 64
_TREE_LINE: Final = b"tree "


class State(Value):
    """The state as of one commit ("" before the first): its tree, and what it says about itself."""

    commit: str
    tree: str
    head: Head


class Commits:
    """Reads and writes commits. Safe for threads."""

    def __init__(self, objects: Objects, *, host: Host) -> None:
        self._objects = objects
        self._host = host
        self._guard = threading.Lock()
        self._known: OrderedDict[str, State] = OrderedDict()

    def state(self, commit: str) -> State:
        """The state of a commit. Raises `Corrupt` when it is not one of ours, `Damaged`."""
        if not commit:
            return State(commit="", tree="", head=Head(identity="", serial=0, depth=0, writers={}))
        with self._guard:
            if commit in self._known:
                return self._known[commit]
        what = f"commit {commit}"
        raw = self._objects.read(commit, COMMIT)
        tree = raw[len(_TREE_LINE) :].partition(b"\n")[0].decode("ascii", "replace")
        item = self._objects.tree(tree).get(layout.HEAD[0]) if raw.startswith(_TREE_LINE) else None
        if item is None:
            raise Corrupt(f"{what}: this ref holds no shared state", hint="name a ref of its own in SHARED_STATE_URL")
        state = State(commit=commit, tree=tree, head=layout.decode_head(self._objects.read(item.oid, BLOB), what=what))
        self._keep(state)
        return state

    def write(
        self,
        base: State,
        changes: Mapping[Path, Item | None],
        *,
        writer: str,
        chain: str,
        count: int,
        subject: str,
        squash: bool,
    ) -> str:
        """A commit with `changes` upon `base`; with `squash` it has no parent: the history begins anew with it."""
        at_ms = self._host.now().at_ms
        serial = base.head.serial + 1
        writers = base.head.writers | {writer: Writer(chain=chain, count=count, at_ms=at_ms, serial=serial)}
        head = Head(
            identity=base.head.identity or self._host.entropy(16).hex(),
            serial=serial,
            depth=1 if squash else base.head.depth + 1,
            writers=writers,
        )
        blob = self._objects.write(BLOB, layout.encode_head(head))
        whole = {**changes, layout.HEAD: Item(mode=layout.PLAIN_FILE, oid=blob)}
        tree = paths.changed(self._objects, base.tree, whole)
        signed = f"{AUTHOR} {at_ms // 1000} +0000"
        lines = [f"tree {tree}"]
        lines += [f"parent {base.commit}"] if base.commit and not squash else []
        lines += [f"author {signed}", f"committer {signed}", "", subject]
        lines += ["", f"history squashed: {base.head.depth} commits before this"] if squash else []
        commit = self._objects.write(COMMIT, "\n".join([*lines, ""]).encode())
        self._keep(State(commit=commit, tree=tree, head=head))
        return commit

    def clear(self) -> None:
        """Forget what was read."""
        with self._guard:
            self._known.clear()

    def _keep(self, state: State) -> None:
        with self._guard:
            self._known[state.commit] = state
            while len(self._known) > _STATES_KEPT:
                self._known.popitem(last=False)

"""Path scopes: a claim names the files or folders it will touch; two live claims never overlap.

One record holds the scopes of all live claims. A scoped claim is made first and then entered here; whoever enters
first wins, the other takes its claim back. An entry counts only while the very claim (task and fence) it names is
live.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sharedstate.errors import Corrupt, InvalidInput, UnsafeStore
from sharedstate.store import KEEP, Decision, Document, Snapshot, Store
from sharedstate.tasks.service import Tasks
from sharedstate.values import Value

_COLLECTION: Final = "scopes"
_KEY: Final = "live"
PATHS_MAX: Final = 100
PATH_CHARACTERS_MAX: Final = 500
SCOPE_BYTES_MAX: Final = 16_384


class Overlap(Value):
    """Two scopes that meet: the other claim's task, owner and path, and our own path."""

    task: str
    owner: str
    path: str
    own_path: str

    def text(self) -> str:
        """One sentence for people."""
        return f"{self.own_path} overlaps {self.path}, claimed with task {self.task} by {self.owner}"


def check_scope(paths: Sequence[str]) -> tuple[str, ...]:
    """The paths in canonical form (relative, `/`, no dots, sorted, unique), or `InvalidInput`. `.` means everything."""
    if isinstance(paths, str) or not all(isinstance(path, str) for path in paths):
        raise InvalidInput("a scope is a list of paths")
    if len(paths) > PATHS_MAX:
        raise InvalidInput(f"a scope names at most {PATHS_MAX} paths, not {len(paths)}")
    scope = tuple(sorted({_canonical(path) for path in paths}))
    if sum(len(path.encode()) for path in scope) > SCOPE_BYTES_MAX:
        raise InvalidInput(f"the paths of a scope have at most {SCOPE_BYTES_MAX} bytes together")
    return scope


def _canonical(path: str) -> str:
    if not path or len(path) > PATH_CHARACTERS_MAX or not path.isprintable():
        raise InvalidInput(f"a scope path has 1 to {PATH_CHARACTERS_MAX} printable characters: {path[:60]!a}")
    if not path.isascii():
        import unicodedata

        path = unicodedata.normalize("NFC", path)
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
    if path.startswith(("/", "\\")) or ".." in parts or path[1:2] == ":":
        raise InvalidInput(f"a scope path is relative to the repository and stays inside it: {path[:60]!a}")
    return "/".join(parts) or "."


def overlap(one: str, other: str) -> bool:
    """Whether two canonical paths are the same, or one contains the other."""
    if one == "." or other == ".":
        return True
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def first_overlap(paths: Sequence[str], entries: Document, *, task: str) -> Overlap | None:
    """The first path that meets another task's entry (in the order of task ids, so that the answer is stable)."""
    for other in sorted(entries):
        if other == task:
            continue
        for theirs in entries[other]["paths"]:
            for own in paths:
                if overlap(own, theirs):
                    return Overlap(task=other, owner=entries[other]["owner"], path=theirs, own_path=own)
    return None


class Scopes:
    """The scopes of live claims. `is_live(task, fence)`: that very claim still stands; once False it stays False."""

    def __init__(self, store: Store, *, is_live: Callable[[str, int], bool]) -> None:
        self._store = store
        self._is_live = is_live

    def conflict(self, paths: Sequence[str], *, task: str) -> Overlap | None:
        """The live claim that `paths` would meet now, or None. Ends stale claims it meets; otherwise reads only."""
        found = self._store.get(_COLLECTION, _KEY)
        entries = {} if found is None else _entries(found.value)
        return first_overlap(paths, self._live(entries, paths, task=task), task=task)

    def enter(self, paths: Sequence[str], *, task: str, fence: int, owner: str) -> Overlap | None:
        """Enter a claim's scope, or return the live claim it meets and enter nothing. Entries of ended claims leave.

        Entering again what stands there already reads only.
        """
        found = self._store.get(_COLLECTION, _KEY)
        known = {} if found is None else _entries(found.value)
        own = {"fence": fence, "owner": owner, "paths": list(paths)}
        if known.get(task) == own:
            return None
        ended = {(other, known[other]["fence"]) for other in known if not self._is_live(other, known[other]["fence"])}

        def decide(snapshot: Snapshot) -> Decision[Overlap | None]:
            entries = {} if snapshot.value is None else _entries(snapshot.value)
            if task in entries and entries[task]["fence"] > fence:
                return Decision(result=None)  # whoever stood still on the way here has lost the task itself
            kept = {other: entry for other, entry in entries.items() if (other, entry["fence"]) not in ended}
            met = first_overlap(paths, kept, task=task)
            if met is not None:
                return Decision(result=met)
            kept[task] = own
            return Decision(result=None, write=KEEP if kept == entries else {"entries": kept})

        return self._store.transact(_COLLECTION, _KEY, decide)

    def _live(self, entries: Document, paths: Sequence[str], *, task: str) -> Document:
        met = {
            other: entry
            for other, entry in entries.items()
            if other != task and any(overlap(own, theirs) for own in paths for theirs in entry["paths"])
        }
        return {other: entry for other, entry in met.items() if self._is_live(other, entry["fence"])}


def scopes_of(tasks: Tasks) -> Scopes:
    """The scopes that live beside these task states, in the same store."""
    return Scopes(tasks.store, is_live=lambda task, fence: _is_live(tasks, task, fence))


def _is_live(tasks: Tasks, task: str, fence: int) -> bool:
    """Whether this very claim stands; a stale one is swept first, so that no late renew can revive it."""
    try:
        view = tasks.get(task)
        if view is not None and view.stale and view.state.live == fence:
            tasks.sweep(task)
            view = tasks.get(task)
    except (Corrupt, UnsafeStore):
        return True  # a blocked task keeps its scope until it is repaired
    return view is not None and view.state.live == fence


def _entries(document: Document) -> Document:
    entries = document.get("entries", {})
    if not isinstance(entries, dict) or not all(_is_entry(entry) for entry in entries.values()):
        raise Corrupt(f"{_COLLECTION}/{_KEY}: not a table of scopes")
    return dict(entries)


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    paths = entry.get("paths")
    listed = isinstance(paths, list) and all(isinstance(path, str) for path in paths)
    return listed and isinstance(entry.get("fence"), int) and isinstance(entry.get("owner"), str)

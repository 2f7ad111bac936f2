"""What may cross the port: every value comes back as it went in, or is refused by every store alike."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sharedstate import jsonio
from sharedstate.documents import ENTRY_NAMES, RECORD_BYTES_MAX, RECORD_NAMES
from sharedstate.store import Decision, Document, Snapshot, Store, Versioned
from sharedstate.testing.contracts.steps import Hooks, beats, got, readable, refused, writes

_BAD_KEYS: tuple[Any, ...] = (
    *("", " ", "a" * 201, " a", "a ", "a\nb", "a\0b", "\ud800", "a\u200bb", "a\u202eb", "a\u2028b"),
    *(None, 7, b"T-1"),
)
_BAD_NAMES = ("", "a" * 101, ".hidden", "..", "a/b", "a b", "a:b", "t\u00e4sks", "a\n", "a\0")
_BAD_FENCES: tuple[Any, ...] = (-1, 2**53, 1.0, "1", True)


def values_of_every_kind() -> Document:
    """A document with everything that JSON has, and what stores like to lose."""
    return {
        "zero": 0, "big": 2**63 - 1, "small": 1 - 2**63, "above_double": 2**53 + 1,
        "float": 0.1, "one": 1.0, "tiny": 5e-324, "huge": 1.7976931348623157e308, "e22": 1e22, "minus": -0.0,
        "empty": "", "text": 'tab\t quote" back\\ newline\n return\r é 日本 😀 \u2028 \x7f \x00 \x1b[0m </script> %s',
        "decomposed": "e\u0301", "composed": "\u00e9", "spaces": "  both ends  ", "looks_like": "null 1.0 true",
        "": "no name", "a.b": 1, "$set": {"$ref": 1}, "__proto__": {}, "Case": 1, "case": 2, "\u00e9\0": "odd name",
        "null": None, "true": True, "false": False, "list": [], "object": {}, "nulls": [None, [None], {"a": None}],
        "deep": [[{"a": [None]}]], "mixed": [1, 1.0, True, "1", None],
    }  # fmt: skip


def same(one: Document, other: Document) -> bool:
    """Whether two documents are equal with the types of all values: 1, 1.0 and true are three."""
    return jsonio.encode(one) == jsonio.encode(other)


def _nested(depth: int) -> Document:
    value: Any = []
    for _ in range(depth - 2):
        value = [value]
    return {"deep": value}


def _unfit() -> list[Document]:
    found: list[Any] = [
        *({"x": value} for value in (object(), b"bytes", {1, 2}, float("nan"), float("inf"), 1j, "\ud800", "a\udfffb")),
        *({"x": value} for value in (2**63, -(2**63), 10**400, {"\ud800": 1}, {1: 2})),
        _nested(jsonio.DEPTH_MAX + 2),
    ]
    return found


class LimitContract(Hooks):
    """What may cross the port: values, sizes, names, keys, fences."""

    def test_every_json_value_survives_in_records_and_in_the_journal(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        document = values_of_every_kind()
        store.transact("tasks", "T-1", writes(document, events=[document]))
        other = self.another(store, tmp_path)
        assert same(got(other, "tasks", "T-1").value, document)
        seen: list[Document] = []

        def keeps(snapshot: Snapshot) -> Decision[None]:
            seen.append(snapshot.value or {})
            return Decision(result=None)

        store.transact("tasks", "T-1", keeps)
        assert same(seen[-1], document)
        assert same(readable(store.scan("tasks"))[0].value, document)
        store.append("events", document)
        entries = list(store.read("events"))
        assert len(entries) == 2
        assert all(same(entry.value, document) for entry in entries)

    def test_empty_documents_and_tuples(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({}, events=[{}]))
        assert got(store, "tasks", "T-1") == Versioned(key="T-1", value={}, revision=1)
        store.transact("tasks", "T-1", writes({"x": (1, (2,))}, events=[{"x": (3,)}]))
        assert got(store, "tasks", "T-1").value == {"x": [1, [2]]}
        assert [entry.value for entry in store.read("events")] == [{}, {"x": [3]}]

    def test_what_json_cannot_carry_is_refused_and_changes_nothing(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1))
        before = got(store, "tasks", "T-1")
        for bad in _unfit():
            refused(partial(store.transact, "tasks", "T-1", writes(bad, events=[{"type": "claimed"}])), what=bad)
            refused(partial(store.transact, "tasks", "T-1", writes({"n": 2}, events=[{"n": 1}, bad])), what=bad)
            refused(partial(store.append, "events", bad), what=bad)
        assert got(store, "tasks", "T-1") == before
        assert list(store.read("events")) == []
        assert store.transact("tasks", "T-1", writes({"n": 2})) == 1, "nothing is stuck"

    def test_names_of_the_envelope_are_refused_at_the_top_level_only(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for name in sorted(RECORD_NAMES):
            refused(partial(store.transact, "tasks", "T-1", writes({name: 1}, events=[{"n": 1}])), what=name)
        for name in sorted(ENTRY_NAMES):
            refused(partial(store.append, "events", {name: 1}), what=name)
            refused(partial(store.transact, "tasks", "T-1", writes({"n": 1}, events=[{name: 1}])), what=name)
        assert store.get("tasks", "T-1") is None
        assert list(store.read("events")) == []
        inner = {"inner": dict.fromkeys((*RECORD_NAMES, *ENTRY_NAMES), 1)}
        store.transact("tasks", "T-1", writes(inner, events=[inner]))
        assert got(store, "tasks", "T-1").value == inner
        assert [entry.value for entry in store.read("events")] == [inner]

    def test_size_and_depth_have_limits_that_are_said(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        fits = {"text": random.Random(1).randbytes(15_000).hex(), **_nested(32)}  # noqa: S311 - reason: must repeat
        store.transact("tasks", "T-1", writes(fits, events=[fits]))
        assert got(store, "tasks", "T-1").value == fits
        assert [entry.value for entry in store.read("events")] == [fits]
        large = {"text": random.Random(2).randbytes(RECORD_BYTES_MAX // 2).hex()}  # noqa: S311 - reason: must repeat
        refused(lambda: store.transact("tasks", "T-1", writes(large)))
        refused(lambda: store.transact("tasks", "T-1", writes({"n": 2}, events=[large])))
        refused(lambda: store.append("events", large))
        assert got(store, "tasks", "T-1").revision == 1
        assert len(list(store.read("events"))) == 1

    def test_bad_keys_and_names_are_refused_by_every_call(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for key in _BAD_KEYS:
            refused(partial(store.get, "tasks", key), what=key)
            refused(partial(store.transact, "tasks", key, writes({"n": 1})), what=key)
        for name in _BAD_NAMES:
            for act in _calls_with_journal(store, name):
                refused(act, what=name)
        for name in (*_BAD_NAMES, "journal", "local"):
            for act in _calls_with_collection(store, name):
                refused(act, what=name)
        assert list(store.scan("tasks")) == []

    def test_names_are_compared_with_case(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for collection in ("tasks", "Tasks", "a" * 100, "t-1_x.y"):
            assert store.transact(collection, "T-1", writes({"in": collection})) == 0
            assert store.append(collection, {"in": collection}) == 1
            assert [item.value for item in readable(store.scan(collection))] == [{"in": collection}]
            assert [entry.value for entry in store.read(collection)] == [{"in": collection}]

    def test_what_is_no_fence_or_no_decision_is_refused(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=2**53 - 1))
        before = got(store, "tasks", "T-1")
        assert before.beat is not None
        assert before.beat.fence == 2**53 - 1
        for bad in _BAD_FENCES:
            refused(partial(store.transact, "tasks", "T-1", writes({"n": 2}, live=bad)), what=bad)
            refused(partial(store.transact, "tasks", "T-1", beats(bad)), what=bad)
        nothing: Any = None
        refused(lambda: store.transact("tasks", "T-1", lambda _: Decision(result=None, write=nothing)))
        assert got(store, "tasks", "T-1") == before


def _calls_with_journal(store: Store, name: str) -> list[Callable[[], Any]]:
    return [
        lambda: store.append(name, {"n": 1}),
        lambda: list(store.read(name)),
        lambda: store.watch(name, after=0, timeout_s=0),
        lambda: store.transact("tasks", "T-1", writes({"n": 1}), journal=name),
    ]


def _calls_with_collection(store: Store, name: str) -> list[Callable[[], Any]]:
    return [
        lambda: store.get(name, "T-1"),
        lambda: store.transact(name, "T-1", writes({"n": 1})),
        lambda: list(store.scan(name)),
        lambda: list(store.scan(name, live_only=True)),
    ]

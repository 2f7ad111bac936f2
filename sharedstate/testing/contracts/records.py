"""Records: atomic updates, revisions, isolation, keys."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from sharedstate.errors import Corrupt, SharedStateError
from sharedstate.ids import check_id
from sharedstate.store import DELETE, Decision, Document, Snapshot, Unreadable, Versioned
from sharedstate.testing.contracts.steps import Hooks, got, looks, not_here, readable, removes, writes

_AWKWARD_KEYS = (
    *("T", "t", "t.json", "T-1", "t-1", ".", "..", "../x", "../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "a//b"),
    *(".lock", ".tmp-1", "CON", "nul", "a b", "a:b", "a*?", "%2e", "~", "-rf", "#1", "owner/repo#12"),
    *("é", "日本語", "😀", "a" * 200, "x" * 199 + "1", "x" * 199 + "2", "ß", "SS", "ss", "İ", "i"),
)


class RecordContract(Hooks):
    """Records: atomic updates, revisions, isolation, keys."""

    def test_absent_record_reads_as_none_and_has_revision_0(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        assert store.get("tasks", "T-1") is None
        seen: list[Snapshot] = []
        assert store.transact("tasks", "T-1", looks(seen)) == "looked"
        assert (seen[-1].value, seen[-1].revision, seen[-1].beat) == (None, 0, None)
        assert store.get("tasks", "T-1") is None, "KEEP on an absent record creates nothing"
        assert list(store.scan("tasks")) == []

    def test_written_document_comes_back_with_revision_1(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        assert store.transact("tasks", "T-1", writes({"status": "claimed"})) == 0
        assert store.get("tasks", "T-1") == Versioned(key="T-1", value={"status": "claimed"}, revision=1)

    def test_every_write_raises_the_revision_by_one_and_keep_does_not(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for number in range(1, 6):
            assert store.transact("tasks", "T-1", writes({"n": number})) == number - 1
            store.transact("tasks", "T-1", looks([]))
            held = got(store, "tasks", "T-1")
            assert (held.revision, held.value) == (number, {"n": number})

    def test_deleted_record_is_gone_and_begins_anew_at_revision_1(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}))
        store.transact("tasks", "T-1", writes({"n": 2}))
        assert store.transact("tasks", "T-1", removes) is True
        assert store.get("tasks", "T-1") is None
        assert store.transact("tasks", "T-1", removes) is False, "deleting nothing is no error"
        store.transact("tasks", "T-1", writes({"n": 3}))
        assert got(store, "tasks", "T-1").revision == 1

    def test_decide_sees_what_the_last_transaction_left(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        other = self.another(store, tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1))
        seen: list[Snapshot] = []
        other.transact("tasks", "T-1", looks(seen))
        assert (seen[-1].value, seen[-1].revision) == ({"n": 1}, 1)
        assert seen[-1].beat is not None
        assert seen[-1].beat.fence == 1

    def test_results_pass_through_untouched(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        token = object()
        assert store.transact("tasks", "T-1", lambda _: Decision(result=token)) is token
        assert store.transact("tasks", "T-1", lambda _: Decision(result=token, write={"n": 1})) is token
        assert store.transact("tasks", "T-1", lambda _: Decision(result=token, write=DELETE)) is token

    def test_an_exception_in_decide_leaves_nothing_behind(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1, events=[{"type": "claimed"}]))

        def explodes(_: Snapshot) -> Decision[None]:
            raise ZeroDivisionError("planted")

        for key in ("T-1", "T-2"):
            try:
                store.transact("tasks", key, explodes)
            except ZeroDivisionError:
                pass
            else:
                raise AssertionError("the exception of decide must reach the caller as it is")
        assert got(store, "tasks", "T-1").revision == 1
        assert store.get("tasks", "T-2") is None
        assert len(list(store.read("events"))) == 1
        assert store.transact("tasks", "T-1", writes({"n": 2})) == 1, "nothing is stuck"

    def test_a_document_that_json_cannot_carry_changes_nothing(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}))
        for bad in ({"x": object()}, {"x": float("nan")}, {"x": float("inf")}, {"x": "\ud800"}, {"x": b"bytes"}):
            try:
                store.transact("tasks", "T-1", writes(bad, events=[{"type": "claimed"}]))
            except (TypeError, ValueError, SharedStateError):
                pass
            else:
                raise AssertionError(f"accepted {bad!r}")
        assert got(store, "tasks", "T-1") == Versioned(key="T-1", value={"n": 1}, revision=1)
        assert list(store.read("events")) == []

    def test_values_are_copies_and_no_caller_can_change_the_state(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        document: Document = {"list": [1, 2], "deep": {"a": [{"b": 1}]}}
        store.transact("tasks", "T-1", writes(document))
        document["list"].append(3)
        got(store, "tasks", "T-1").value["deep"]["a"].append("mine")

        def spoils(snapshot: Snapshot) -> Decision[None]:
            assert snapshot.value is not None
            snapshot.value["list"].clear()
            return Decision(result=None)

        store.transact("tasks", "T-1", spoils)
        assert got(store, "tasks", "T-1").value == {"list": [1, 2], "deep": {"a": [{"b": 1}]}}

    def test_every_json_value_survives_with_its_type(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        numbers: Document = {"zero": 0, "big": 2**63 - 1, "small": 1 - 2**63, "float": 0.1, "one": 1.0, "tiny": 5e-324}
        words: Document = {"empty": "", "text": 'tab\t quote" back\\ newline\n é 日本 😀 \u2028 \x7f', "": "no name"}
        others: Document = {
            "null": None,
            "true": True,
            "false": False,
            "list": [],
            "object": {},
            "deep": [[{"a": [None]}]],
        }
        document: Document = {**numbers, **words, **others}
        store.transact("tasks", "T-1", writes(document))
        back = got(store, "tasks", "T-1").value
        assert back == document
        assert {name: type(value) for name, value in back.items()} == {name: type(v) for name, v in document.items()}

    def test_unknown_fields_are_kept_when_a_caller_keeps_them(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"status": "a", "x-later": {"deep": [1]}}))

        def amends(snapshot: Snapshot) -> Decision[None]:
            return Decision(result=None, write={**(snapshot.value or {}), "status": "b"})

        store.transact("tasks", "T-1", amends)
        assert got(store, "tasks", "T-1").value == {"status": "b", "x-later": {"deep": [1]}}

    def test_awkward_keys_are_distinct_records(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for number, key in enumerate(_AWKWARD_KEYS):
            assert store.transact("tasks", key, writes({"number": number})) == 0, f"{key!r} collided"
        for number, key in enumerate(_AWKWARD_KEYS):
            held = got(store, "tasks", key)
            assert (held.key, held.value) == (key, {"number": number})
        assert {item.key for item in readable(store.scan("tasks"))} == set(_AWKWARD_KEYS)

    def test_two_spellings_of_one_id_are_one_record(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        composed, decomposed = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
        store.transact("tasks", check_id(decomposed), writes({"n": 1}))
        assert got(store, "tasks", check_id(composed)).value == {"n": 1}

    def test_collections_do_not_mix(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"in": "tasks"}))
        store.transact("claims", "T-1", writes({"in": "claims"}))
        assert got(store, "tasks", "T-1").value == {"in": "tasks"}
        assert [item.key for item in readable(store.scan("claims"))] == ["T-1"]
        store.transact("claims", "T-1", removes)
        assert got(store, "tasks", "T-1").value == {"in": "tasks"}

    def test_scan_yields_every_record_with_revision_and_beat(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for number in range(20):
            store.transact("tasks", f"T-{number}", writes({"n": number}, live=number if number % 2 else None))
        found = {item.key: item for item in readable(store.scan("tasks"))}
        assert len(found) == 20
        assert found == {key: got(store, "tasks", key) for key in found}

    def test_scan_of_a_collection_that_never_existed_is_empty(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        assert list(store.scan("nothing")) == []
        assert list(store.scan("nothing", live_only=True)) == []

    def test_one_bad_record_blocks_itself_and_nothing_else(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for key in ("good", "bad"):
            store.transact("tasks", key, writes({"n": 1}, live=1))
        if not self.plant_bad_record(store, "tasks", "bad"):
            not_here("this store's records cannot be damaged from outside")
        items = list(store.scan("tasks"))
        assert [item.key for item in items if isinstance(item, Versioned)] == ["good"]
        assert len([item for item in items if isinstance(item, Unreadable) and item.reason]) == 1
        for attempt in (lambda: store.get("tasks", "bad"), lambda: store.transact("tasks", "bad", writes({"n": 2}))):
            try:
                attempt()
            except Corrupt:
                continue
            raise AssertionError("a bad record must raise Corrupt, not be reset")
        assert store.transact("tasks", "good", writes({"n": 2})) == 1

    def test_closed_store_opens_again_by_itself(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}))
        store.close()
        store.close()
        assert got(store, "tasks", "T-1").value == {"n": 1}
        assert store.transact("tasks", "T-1", writes({"n": 2})) == 1

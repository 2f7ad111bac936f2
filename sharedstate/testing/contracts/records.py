"""Records: atomic updates, revisions, isolation, keys."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sharedstate.errors import Corrupt
from sharedstate.store import DELETE, Decision, Document, Snapshot, Unreadable, Versioned
from sharedstate.testing.contracts.steps import Hooks, got, looks, not_here, readable, refused, removes, writes

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
        before = got(store, "tasks", "T-1")
        for planted in (ZeroDivisionError, KeyboardInterrupt):
            for key in ("T-1", "T-2"):
                try:
                    store.transact("tasks", key, partial(_explodes, planted))
                except planted:
                    continue
                raise AssertionError("the exception of decide must reach the caller as it is")
        assert got(store, "tasks", "T-1") == before
        assert store.get("tasks", "T-2") is None
        assert len(list(store.read("events"))) == 1
        assert store.transact("tasks", "T-1", writes({"n": 2})) == 1, "nothing is stuck"

    def test_a_decision_may_look_and_not_write(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, events=[{"n": 1}]))
        writing: tuple[Callable[[], object], ...] = (
            lambda: store.transact("tasks", "T-2", writes({"n": 2})),
            lambda: store.transact("tasks", "T-1", looks([])),
            lambda: store.append("events", {"n": 2}),
        )

        def asks(_: Snapshot) -> Decision[int]:
            for act in writing:
                refused(act, what="a write from inside a decision")
            assert got(store, "tasks", "T-1").value == {"n": 1}
            return Decision(result=len(readable(store.scan("tasks"))) + len(list(store.read("events"))))

        assert store.transact("tasks", "T-1", asks) == 2
        assert store.transact("tasks", "T-1", writes({"n": 3})) == 1, "and goes on"
        assert store.get("tasks", "T-2") is None
        assert len(list(store.read("events"))) == 1

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
        assert store.transact("tasks", decomposed, writes({"n": 1}, events=[{"n": 1}])) == 0
        assert store.transact("tasks", composed, writes({"n": 2})) == 1
        assert got(store, "tasks", decomposed) == got(store, "tasks", composed)
        assert [item.key for item in readable(store.scan("tasks"))] == [composed]
        assert [entry.record for entry in store.read("events")] == [f"tasks/{composed}@1"]

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

    def test_scan_shows_what_changes_meanwhile_old_or_new_and_nothing_twice(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for number in range(12):
            store.transact("tasks", f"T-{number}", writes({"n": number}))
        found: list[Versioned | Unreadable] = []
        for item in store.scan("tasks"):
            if not found:
                store.transact("tasks", "T-3", writes({"n": 33}))
                store.transact("tasks", "T-5", removes)
                store.transact("tasks", "T-x", writes({"n": 0}))
            found.append(item)
        seen = {item.key: item.value["n"] for item in readable(found)}
        assert len(seen) == len(found), "a record was shown twice"
        assert seen.pop("T-3") in (3, 33)
        assert seen.pop("T-5", 5) == 5
        assert seen.pop("T-x", 0) == 0
        assert seen == {f"T-{number}": number for number in range(12) if number not in (3, 5)}

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

    def test_an_unreadable_record_that_can_be_derived_again_counts_as_absent(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}))
        if not self.plant_bad_record(store, "tasks", "T-1"):
            not_here("this store's records cannot be damaged from outside")
        seen: list[Snapshot] = []
        store.transact("tasks", "T-1", looks(seen), derived=True)
        assert (seen[-1].value, seen[-1].revision) == (None, 0)
        store.transact("tasks", "T-1", writes({"n": 2}), derived=True)
        assert got(store, "tasks", "T-1").value == {"n": 2}

    def test_relaxed_writes_are_seen_by_all_at_once(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        other = self.another(store, tmp_path)
        for number in range(1, 4):
            store.transact("tasks", "T-1", writes({"n": number}, events=[{"n": number}]), durability="relaxed")
            assert got(other, "tasks", "T-1").value == {"n": number}
        assert [entry.value["n"] for entry in store.read("events")] == [1, 2, 3]

    def test_stores_of_two_states_do_not_meet(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        store = self.make_store(tmp_path / "one")
        store.transact("tasks", "T-1", writes({"n": 1}, live=1, events=[{"n": 1}]))
        other = self.make_store(tmp_path / "two")
        assert other.get("tasks", "T-1") is None
        assert list(other.scan("tasks")) == []
        assert list(other.read("events")) == []
        assert other.append("events", {"n": 2}) == 1

    def test_closed_store_opens_again_by_itself(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        other = self.another(store, tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1, events=[{"n": 1}]))
        held = got(store, "tasks", "T-1")
        store.close()
        store.close()
        assert got(store, "tasks", "T-1") == got(other, "tasks", "T-1") == held
        store.close()
        assert store.transact("tasks", "T-1", writes({"n": 2}, events=[{"n": 2}])) == 1
        store.close()
        assert store.append("events", {"n": 3}) == 3
        store.close()
        assert [entry.value["n"] for entry in store.read("events")] == [1, 2, 3]
        store.close()
        assert store.watch("events", after=2, timeout_s=0) is True
        assert store.now().at_ms > 0


def _explodes(planted: type[BaseException], _: Snapshot) -> Decision[None]:
    raise planted("planted")

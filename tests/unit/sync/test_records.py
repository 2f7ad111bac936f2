"""Records and what is remembered of them cross as JSON; what is not well formed is refused or forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from sharedstate.errors import Corrupt
from sharedstate.store import Decision
from sharedstate.sync.memory import Known, Memory, Waiting
from sharedstate.sync.model import Card, RemoteRecord, Side, dump_record, dump_side, load_record, load_side
from sharedstate.tasks.model import CLAIMED
from sharedstate.testing.memory import MemoryStore

RECORD = RemoteRecord(
    task="GH-1", status=CLAIMED, owner="here/a", fence=3, attempts=2, retries=1, retries_max=3, since_ms=5, revision=7
)


def test_a_record_comes_back_as_it_went() -> None:
    assert load_record(dump_record(RECORD)) == RECORD


def test_unknown_fields_of_a_newer_version_are_left_alone() -> None:
    assert load_record({**dump_record(RECORD), "colour": "red"}) == RECORD


@pytest.mark.parametrize(
    "field, value",
    [
        ("task", None),
        ("task", ""),
        ("status", "unheard of"),
        ("fence", -1),
        ("fence", True),
        ("fence", 2**53),
        ("attempts", "2"),
        ("retries", None),
        ("revision", 1.5),
        ("since_ms", "yesterday"),
        ("heartbeat_ms", -5),
        ("owner", 7),
        ("last_error", ["x"]),
        ("ignored", "yes"),
    ],
)
def test_a_record_with_a_wrong_field_is_corrupt(field: str, value: Any) -> None:
    with pytest.raises(Corrupt):
        load_record({**dump_record(RECORD), field: value})


def test_a_base_comes_back_as_it_went() -> None:
    side = Side(record=RECORD, card=Card(open=False, reason="completed", status="Done", ignored=True))
    assert load_side(dump_side(side)) == side
    assert load_side(dump_side(Side())) == Side()


@pytest.mark.parametrize("document", [{}, {"card": None}, {"card": {"colour": "red"}}])
def test_a_base_that_cannot_be_read_is_corrupt(document: dict[str, Any]) -> None:
    with pytest.raises(Corrupt):
        load_side(document)


def test_what_is_known_comes_back_as_it_went_and_is_written_once() -> None:
    store = MemoryStore()
    memory = Memory(store, board="acme/app")
    known = Known(base=Side(record=RECORD), labels=frozenset(("claimed",)), wanted="done", told="x", retries=2)
    memory.remember("GH-1", known)
    memory.remember("GH-1", known)
    assert store.writes == 1
    assert memory.known("GH-1") == known
    assert list(memory.all_known()) == [("GH-1", known)]
    assert Memory(store, board="acme/other").known("GH-1") is None


@pytest.mark.parametrize("damage", [{"base": None}, {"base": {"card": 5}}, {"labels": 5}])
def test_what_is_known_but_damaged_counts_as_unknown(damage: dict[str, Any]) -> None:
    store = MemoryStore()
    memory = Memory(store, board="acme/app")
    memory.remember("GH-1", Known())
    found = store.get("board-agreed", "GH-1")
    assert found is not None
    document = {**found.value, **damage}
    store.transact("board-agreed", "GH-1", lambda snapshot: Decision(result=None, write=document))
    assert memory.known("GH-1") is None
    assert list(memory.all_known()) == []


def test_what_waits_keeps_the_wish_for_a_fresh_look() -> None:
    memory = Memory(MemoryStore(), board="acme/app")
    memory.park("GH-1", not_before_ms=5, reason="not absorbed", look=True, seen_ms=4)
    memory.park("GH-1", not_before_ms=9, reason="limit", counts=False)
    assert list(memory.waiting()) == [
        Waiting(task="GH-1", not_before_ms=9, tries=1, reason="limit", look=True, seen_ms=4)
    ]
    memory.unpark("GH-1")
    assert list(memory.waiting()) == []


def test_a_frozen_memory_only_reads() -> None:
    store = MemoryStore()
    memory = Memory(store, board="acme/app")
    memory.park("GH-1", not_before_ms=5, reason="limit")
    frozen, writes = memory.frozen(), store.writes
    frozen.park("GH-2", not_before_ms=5, reason="limit")
    frozen.unpark("GH-1")
    frozen.remember("GH-1", Known())
    frozen.keep_status(frozen.status())
    assert store.writes == writes
    assert [one.task for one in frozen.waiting()] == ["GH-1"]

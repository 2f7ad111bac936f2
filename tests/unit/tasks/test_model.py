"""The document of a task state: it survives the round trip, unknown fields included, and wrong types are named."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sharedstate import jsonio
from sharedstate.claims.model import META_CHARACTERS_MAX, META_ENTRIES_MAX
from sharedstate.claims.requests import check_meta
from sharedstate.claims.scopes import PATHS_MAX, SCOPE_BYTES_MAX, check_scope
from sharedstate.clock import DURATION_MS_MAX, Instant
from sharedstate.documents import RECORD_BYTES_MAX
from sharedstate.errors import Corrupt
from sharedstate.ids import ID_CHARACTERS_MAX, Process, digest_of
from sharedstate.tasks.model import (
    ERROR_CHARACTERS_MAX,
    HISTORY_ENTRIES_MAX,
    Ignored,
    Lease,
    TaskState,
    dump,
    load,
)
from sharedstate.tasks.service import REASON_CHARACTERS_MAX
from tests.unit.tasks.fleet import TASK, TTL_S, Fleet

NOW = Instant(at_ms=1_772_366_400_123, boot_ms=1_000, boot_id="boot")
FULL = TaskState(
    task=TASK,
    status="claimed",
    fence=7,
    lease=Lease(
        owner="ws1/a",
        digest=digest_of("secret"),
        ttl_ms=300_000,
        began=NOW,
        host="ws1",
        priority=5,
        process=Process(pid=1, start=2, boot_id="boot", pid_ns="pid:[1]"),
        scope=("docs", "src"),
        meta={"branch": "x"},
        degraded=True,
        extra={"colour": "blue"},
    ),
    attempts=3,
    retries=2,
    last_error="boom",
    ignored=Ignored(reason="on hold", by="person", at_ms=NOW.at_ms, extra={"ticket": 5}),
    created_ms=NOW.at_ms,
    updated_ms=NOW.at_ms,
    history=({"event": "claimed", "at": NOW.iso(), "later": [1]},),
    extra={"board": {"column": "doing"}},
)


def document() -> dict[str, Any]:
    return jsonio.decode(jsonio.encode(dump(FULL)), what="x")


def test_a_state_survives_the_round_trip_through_json() -> None:
    assert load(TASK, document()) == FULL
    small = TaskState(task=TASK, created_ms=1, updated_ms=2)
    assert load(TASK, jsonio.decode(jsonio.encode(dump(small)), what="x")) == small


def test_what_is_absent_by_default_is_left_out_of_the_document() -> None:
    lease = FULL.replace(lease=Lease(owner="a", digest="d", ttl_ms=1, began=NOW))
    assert not {"process", "scope", "meta", "degraded"} & set(dump(lease)["lease"])


REQUIRED = ["status", "fence", "attempts", "retries", "created_at", "updated_at"]
WRONG: dict[str, list[Any]] = {
    "status": [None, 5, "done", "CLAIMED", ["new"], {}],
    "fence": [None, "7", -1, 7.0, True, [7], 2**53],
    "attempts": [None, "3", -1, 2.5, False],
    "retries": [None, "2", -1, {}],
    "last_error": [5, ["boom"], {}, False],
    "lease": ["a", 5, [], True],
    "ignored": ["yes", True, 5, []],
    "created_at": [None, 5, "yesterday", "2026-03-01", "", "2026-13-01T00:00:00Z"],
    "updated_at": [None, {}, "2026-03-01T12:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
    "history": ["x", {}, [5], [["claimed"]], [None], 0],
}
WRONG_LEASE: dict[str, list[Any]] = {
    "owner": [None, 5, [], {}],
    "digest": [None, 5, "é" * 64, []],
    "ttl_ms": [None, "300", -1, 1.5, True, DURATION_MS_MAX + 1],
    "priority": ["1", -1, 1.0, None],
    "host": [5, [], None],
    "claimed_at": [None, 5, "noon"],
    "boot_id": [5, [], None],
    "boot_ms": ["1", -5, 1.5, None],
    "process": [5, "1", [1]],
    "scope": ["src", {"src": 1}, [5], [None]],
    "meta": ["x", [1], {"a": 1}, {"a": None}, {"a": ["b"]}],
}


def cases(table: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, bad) for name, values in table.items() for bad in values]


@pytest.mark.parametrize("name, bad", cases(WRONG), ids=ascii)
def test_a_field_of_the_wrong_type_is_corrupt(name: str, bad: Any) -> None:
    with pytest.raises(Corrupt, match=f"task '{TASK}'") as caught:
        load(TASK, {**document(), name: bad})
    assert name.removesuffix("_at") in str(caught.value)


@pytest.mark.parametrize("name, bad", cases(WRONG_LEASE), ids=ascii)
def test_a_field_of_the_lease_of_the_wrong_type_is_corrupt(name: str, bad: Any) -> None:
    whole = document()
    whole["lease"][name] = bad
    with pytest.raises(Corrupt, match=f"task '{TASK}'"):
        load(TASK, whole)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_field_is_corrupt_and_named(name: str) -> None:
    whole = document()
    del whole[name]
    with pytest.raises(Corrupt, match=name):
        load(TASK, whole)


@pytest.mark.parametrize("place", ["process", "ignored"])
def test_nested_objects_must_be_whole(place: str) -> None:
    for name in ("pid", "start", "boot_id", "pid_ns") if place == "process" else ("reason", "by", "at"):
        whole = copy.deepcopy(document())
        del (whole["lease"]["process"] if place == "process" else whole["ignored"])[name]
        with pytest.raises(Corrupt, match=name):
            load(TASK, whole)


@pytest.mark.parametrize("change", [{"lease": None}, {"fence": 0}])
def test_claimed_without_a_lease_or_a_fence_is_corrupt(change: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match="claimed, but without a lease or a fence"):
        load(TASK, {**document(), **change})


def test_a_wrong_record_blocks_its_own_task_and_no_other() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.claim("a", task="T-2")
    fleet.store.plant("tasks", TASK, jsonio.encode({**fleet.document(), "fence": "7"}))
    for act in (lambda: fleet.try_claim("b"), lambda: fleet.renew("a"), lambda: fleet.release("a")):
        with pytest.raises(Corrupt, match="fence"):
            act()
    assert fleet.claim("a", task="T-2", token="2").fence == 2
    listed = list(fleet.tasks.list())
    assert len(listed) == 2
    statistics = fleet.tasks.statistics()
    assert (statistics.unreadable, statistics.by_status) == (1, {"claimed": 1})


# What a newer version may have added


def test_unknown_fields_are_kept_through_every_transition() -> None:
    fleet = Fleet()
    fleet.claim("a")
    whole = fleet.document()
    whole["board"] = {"column": "doing", "order": [1, None]}
    whole["lease"]["colour"] = "blue"
    whole["history"][0]["later"] = 5
    fleet.store.plant("tasks", TASK, jsonio.encode(whole))
    fleet.tasks.ignore(TASK, reason="on hold", by="person")
    noted = fleet.document()
    noted["ignored"]["ticket"] = 5
    fleet.store.plant("tasks", TASK, jsonio.encode(noted))
    fleet.release("a", "failed")
    ended = fleet.document()
    assert ended["board"] == {"column": "doing", "order": [1, None]}
    assert ended["lease"]["colour"] == "blue", "still the same lease"
    assert ended["ignored"]["ticket"] == 5
    assert ended["history"][0]["later"] == 5
    fleet.tasks.unignore(TASK, by="person")
    fleet.claim("b")
    assert fleet.document()["board"] == {"column": "doing", "order": [1, None]}
    assert "colour" not in fleet.document()["lease"], "another lease, another colour"


# Bounds


def test_history_holds_the_latest_hundred_transitions() -> None:
    fleet = Fleet()
    for number in range(130):
        fleet.claim("a", token=f"{number}")
    history = fleet.state().history
    assert len(history) == HISTORY_ENTRIES_MAX
    assert [entry["fence"] for entry in history] == list(range(31, 131))
    assert len(fleet.events()) == 130, "the journal has them all"


def test_a_history_that_is_too_long_is_read_and_cut() -> None:
    whole = document()
    whole["history"] = [{"n": number} for number in range(5_000)]
    assert [entry["n"] for entry in load(TASK, whole).history] == list(range(4_900, 5_000))


def test_the_largest_record_that_can_come_about_still_fits_in_a_record() -> None:
    """Or a task with long errors and scopes could one day neither be released nor swept."""
    fleet = Fleet(retries_max=1_000, reruns=0)
    owners = ["\U0001f600" * 199 + letter for letter in "ab"]
    scope = check_scope([f"{number:03d}" + "s" * (SCOPE_BYTES_MAX // PATHS_MAX - 3) for number in range(PATHS_MAX)])
    wide = "\U0001f600" * (ID_CHARACTERS_MAX - 2)
    meta = check_meta({f"{wide}{number}": "\x01" * META_CHARACTERS_MAX for number in range(META_ENTRIES_MAX)})
    for number in range(HISTORY_ENTRIES_MAX):
        owner = owners[number % 2]
        fleet.claim(owner, scope=scope, meta=meta, force_reason="\x01" * REASON_CHARACTERS_MAX)
    fleet.release(owners[1], "failed", error="\x01" * ERROR_CHARACTERS_MAX)
    for _ in range(HISTORY_ENTRIES_MAX // 2):
        fleet.claim(owners[0], scope=scope, meta=meta)
        fleet.release(owners[0], "failed", error="\x01" * ERROR_CHARACTERS_MAX)
    found = fleet.store.get("tasks", TASK)
    assert found is not None
    last = [entry.value for entry in fleet.store.read("events")][-1]
    assert len(jsonio.encode({**found.value, "last_events": [last]})) < RECORD_BYTES_MAX


def test_ages_do_not_depend_on_the_document_format() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(TTL_S)
    fleet.store.plant("tasks", TASK, jsonio.encode_line(fleet.document()))
    assert fleet.refused("b").reason == "existing_owner_active"

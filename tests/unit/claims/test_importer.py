"""Importing the ledgers of older tools: what is taken, changed, refused, and that nothing leaks or is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sharedstate import jsonio
from sharedstate.claims.importer import FILE_BYTES_MAX, ImportedEntry, ImportReport, import_ledgers
from sharedstate.claims.translation import moment_of
from sharedstate.connect import SharedState
from sharedstate.store import Versioned
from sharedstate.tasks.outcomes import Claimed, Kept, Lost, Refused, Released
from sharedstate.tasks.service import TaskView
from sharedstate.testing.clock import WALL_MS_AT_START, FakeHost
from sharedstate.testing.memory import MemoryStore

GOLDEN = Path(__file__).parents[2] / "data" / "legacy"
FILES = (str(GOLDEN / "shared-task-states.json"), str(GOLDEN / "task-claims.json"))
OWNER = "station-b/agent-9"
NOW_S = WALL_MS_AT_START // 1000


@pytest.fixture
def state(tmp_path: Path) -> SharedState:
    host = FakeHost()
    return SharedState.open(tmp_path / "state", host=host, owner=OWNER, store=MemoryStore(host))


def written(folder: Path, content: Any, name: str = "shared-task-states.json") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(path)


def by_task(report: ImportReport, file: int = 0) -> dict[str, ImportedEntry]:
    return {entry.task: entry for entry in report.files[file].entries}


def documents(state: SharedState) -> dict[str, Any]:
    return {found.key: found.fields() for found in state.store.scan("tasks") if isinstance(found, Versioned)}


def status_of(state: SharedState, task: str) -> str:
    view = state.tasks.get(task)
    assert view is not None
    return view.state.status


def imported(
    state: SharedState, folder: Path, entry: dict[str, Any], name: str = "shared-task-states.json"
) -> ImportedEntry:
    report = import_ledgers(state.claims, [written(folder, {"tasks": [entry]}, name)])
    return report.files[0].entries[0]


def test_the_golden_ledgers_are_told_entry_by_entry(state: SharedState) -> None:
    report = import_ledgers(state.claims, FILES)
    outcomes = [{task: entry.outcome for task, entry in by_task(report, file).items()} for file in (0, 1)]
    assert outcomes == [
        {
            "T-live": "taken",
            "T-done": "taken",
            "T-failed": "changed",
            "T-null-heartbeat": "changed",
            "T-ignored": "changed",
            "T-odd": "changed",
            "T-bad-key": "refused",
            "T-not-an-object": "refused",
            "T-bad-type": "refused",
        },
        {"C-mine": "changed", "C-expired": "taken", "T-live": "taken", "T-done": "refused"},
    ]
    statuses = {key: found["value"]["status"] for key, found in documents(state).items()}
    assert statuses == {
        "T-live": "claimed",
        "T-done": "complete",
        "T-failed": "failed",
        "T-null-heartbeat": "claimed",
        "T-ignored": "abandoned",
        "T-odd": "new",
        "C-mine": "claimed",
        "C-expired": "claimed",
    }


def test_importing_twice_changes_nothing(state: SharedState) -> None:
    import_ledgers(state.claims, FILES)
    before, journal = documents(state), len(list(state.events()))
    again = import_ledgers(state.claims, FILES)
    assert documents(state) == before
    assert len(list(state.events())) == journal
    assert again.counts() == {"taken": 0, "changed": 0, "refused": 4, "unchanged": 9, "files_refused": 0}


def test_the_order_of_files_does_not_matter(state: SharedState, tmp_path: Path) -> None:
    host = FakeHost()
    other = SharedState.open(tmp_path / "other", host=host, owner=OWNER, store=MemoryStore(host))
    import_ledgers(state.claims, FILES)
    import_ledgers(other.claims, FILES[::-1])
    assert documents(state) == documents(other)


def test_a_dry_run_says_the_same_and_writes_nothing(state: SharedState, tmp_path: Path) -> None:
    dry = import_ledgers(state.claims, FILES, dry_run=True)
    assert documents(state) == {}
    assert not (tmp_path / "state").exists()
    assert dry.files == import_ledgers(state.claims, FILES).files


def test_an_imported_claim_is_as_old_as_its_last_heartbeat(state: SharedState) -> None:
    import_ledgers(state.claims, FILES)
    stale = {view.state.task for view in state.tasks.list(stale=True) if isinstance(view, TaskView)}
    assert stale == {"T-null-heartbeat", "C-expired"}
    live = state.tasks.get("T-live")
    assert live is not None
    assert live.alive is not None
    assert live.alive.age_ms == 10_000
    assert {item.value["task"] for item in state.events() if item.value["type"] == "imported"} >= {"T-live", "T-done"}


def test_a_live_imported_claim_keeps_its_owner_and_refuses_others(state: SharedState) -> None:
    import_ledgers(state.claims, FILES)
    answer = state.claims.claim("T-live")
    assert isinstance(answer, Refused)
    assert answer.holder is not None
    assert (answer.holder.owner, answer.holder.fence) == ("station-a/agent-1", 2)


def test_the_own_token_renews_and_a_foreign_one_stays_a_fingerprint(state: SharedState) -> None:
    import_ledgers(state.claims, FILES)
    assert isinstance(state.claims.renew("C-mine"), Kept)
    assert state.claims.local("T-live") is None
    assert isinstance(state.claims.renew("T-live", owner="station-a/agent-1"), Lost)
    assert isinstance(state.claims.renew("T-live", owner="station-a/agent-1", token="9a1f0c52-live-token-0001"), Kept)


def test_no_token_and_no_secret_reaches_the_shared_ledger(state: SharedState) -> None:
    import_ledgers(state.claims, FILES)
    shown = json.dumps(documents(state), default=repr) + repr([item.value for item in state.events()])
    for secret in ("9a1f0c52", "5e0c7d11", "must-not-be-kept", "hidden-thing"):
        assert secret not in shown


def test_reports_show_no_token(state: SharedState) -> None:
    shown = repr(import_ledgers(state.claims, FILES))
    assert "9a1f0c52" not in shown
    assert "5e0c7d11" not in shown


def test_what_happened_here_is_never_overridden(state: SharedState) -> None:
    claimed = state.claims.claim("T-done")
    assert isinstance(claimed, Claimed)
    report = import_ledgers(state.claims, FILES)
    entry = by_task(report)["T-done"]
    assert (entry.outcome, entry.fence) == ("refused", 1)
    assert "newer" in entry.detail
    assert status_of(state, "T-done") == "claimed"


def test_a_renewed_claim_counts_as_activity_here(state: SharedState, tmp_path: Path) -> None:
    entry = {
        "taskId": "T",
        "ownerId": OWNER,
        "attemptStatus": "claimed",
        "ownerHeartbeat": NOW_S,
        "attemptToken": "12345678-x",
    }
    imported(state, tmp_path, entry)
    assert isinstance(state.claims.renew("T"), Kept)
    again = imported(state, tmp_path, {**entry, "ownerHeartbeat": NOW_S + 1, "attemptStatus": "failed"})
    assert again.outcome == "refused"
    assert status_of(state, "T") == "claimed"


def test_a_later_state_of_an_untouched_task_is_taken_with_a_higher_fence(state: SharedState, tmp_path: Path) -> None:
    entry = {"taskId": "T", "ownerId": "a/1", "attemptStatus": "claimed", "ownerHeartbeat": NOW_S - 60}
    assert imported(state, tmp_path, entry).fence == 1
    later = imported(state, tmp_path, {**entry, "ownerId": "a/2", "ownerHeartbeat": NOW_S - 10})
    assert (later.outcome, later.fence) == ("changed", 2)
    older = imported(state, tmp_path, entry)
    assert (older.outcome, older.fence) == ("refused", 2)


def test_a_fence_known_to_this_machine_is_never_undercut(state: SharedState, tmp_path: Path) -> None:
    for _ in range(3):
        state.claims.claim("T", token="12345678-again")
        state.claims.release("T", status="abandoned")
    claimed = state.claims.claim("T")
    assert isinstance(claimed, Claimed)
    state.tasks.forget("T")  # the shared record is gone, the local ledger remembers
    entry = imported(state, tmp_path, {"taskId": "T", "ownerId": "a/1", "status": "claimed", "heartbeat": NOW_S})
    assert entry.fence is not None
    assert entry.fence > claimed.fence


@pytest.mark.parametrize(
    "document",
    [
        {"version": 1, "tasks": {"T": {"attemptStatus": "done"}}},
        {"tasks": [{"taskId": "T", "status": "completed"}]},
        {"T": {"attempt_status": "complete"}},
        {"version": "2", "T": {"attemptStatus": "DONE"}},
        [{"task_id": "T", "attemptStatus": "complete", "attempt_status": "complete"}],
        {"taskId": "T", "attemptStatus": "complete"},
        {"tasks": {"T": {"id": "T", "status": "complete"}}, "claims": None},
    ],
)
def test_every_known_wrapper_is_understood(state: SharedState, tmp_path: Path, document: Any) -> None:
    import_ledgers(state.claims, [written(tmp_path, document)])
    assert status_of(state, "T") == "complete"


def test_claims_are_known_by_their_fields_in_any_file(state: SharedState, tmp_path: Path) -> None:
    entry = {"task_id": "T", "instance_id": "a/1", "claimed_at": NOW_S, "ttl_minutes": 1}
    import_ledgers(state.claims, [written(tmp_path, [entry], "export.json")])
    view = state.tasks.get("T")
    assert view is not None
    assert view.state.lease is not None
    assert (view.state.owner, view.state.lease.ttl_ms) == ("a/1", 60_000)


@pytest.mark.parametrize(
    "raw,reason",
    [
        (b"", "empty file"),
        (b'{"tasks": {', "Expecting"),
        (b'{"tasks": {}, "tasks": {}}', "duplicate key"),
        (b'{"tasks": {"T": {"retryCount": NaN}}}', "NaN"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"\xff\xfe{\x00", "not UTF-8"),
        (b'{"tasks": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"tasks": 7}', "neither a map nor a list"),
        (b"7", "not a JSON object"),
        (b"<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n", "conflict markers"),
        (b'{"tasks": {"T": {"retryCount": 1e400}}}', "too large"),
        (b" " * (FILE_BYTES_MAX + 1), "at most"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_file_is_refused_with_the_reason_and_stops_no_other(
    state: SharedState, tmp_path: Path, raw: bytes, reason: str
) -> None:
    good = written(tmp_path, {"T": {"attemptStatus": "done"}}, "good.json")
    report = import_ledgers(state.claims, [written(tmp_path, raw, "bad.json"), good])
    assert reason in report.files[0].refused
    assert report.files[0].code == "corrupt"
    assert status_of(state, "T") == "complete"


def test_what_is_no_file_is_refused_and_never_blocks(state: SharedState, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    paths = [str(tmp_path / "missing"), str(tmp_path), str(tmp_path / "fifo"), "nul\0byte"]
    report = import_ledgers(state.claims, paths)
    assert [file.code for file in report.files] == ["invalid_input"] * 4


@pytest.mark.parametrize(
    "entry,reason",
    [
        ({"taskId": "T\u202e", "status": "done"}, "not allowed"),
        ({"taskId": "T", "ownerId": "a/\x07", "status": "claimed"}, "not allowed"),
        ({"taskId": "T"}, "no field"),
        ({"status": "done"}, "no task id"),
        ({"taskId": "T", "status": 7}, "status"),
        ({"taskId": "T", "status": "done", "eventLog": "none"}, "log"),
        ("text", "not an object"),
        (None, "not an object"),
    ],
)
def test_a_bad_entry_is_refused_with_the_reason(state: SharedState, tmp_path: Path, entry: Any, reason: str) -> None:
    found = imported(state, tmp_path, entry)
    assert found.outcome == "refused"
    assert reason in found.detail
    assert documents(state) == {}


def test_differing_spellings_are_told(state: SharedState, tmp_path: Path) -> None:
    entry = imported(state, tmp_path, {"taskId": "T", "attemptStatus": "failed", "status": "complete"})
    assert "attemptStatus taken, which differs from status" in entry.notes
    assert status_of(state, "T") == "failed"


def test_a_heartbeat_from_the_future_counts_from_now(state: SharedState, tmp_path: Path) -> None:
    imported(state, tmp_path, {"taskId": "T", "ownerId": "a/1", "status": "claimed", "heartbeat": NOW_S + 86_400})
    view = state.tasks.get("T")
    assert view is not None
    assert view.alive is not None
    assert (view.alive.age_ms, view.alive.future) == (0, None)


def test_at_most_a_hundred_history_entries_are_taken(state: SharedState, tmp_path: Path) -> None:
    log = [{"at": NOW_S - 1000 + number, "event": f"step-{number}"} for number in range(250)]
    imported(state, tmp_path, {"taskId": "T", "status": "failed", "eventLog": log})
    view = state.tasks.get("T")
    assert view is not None
    assert len(view.state.history) == 100
    assert [view.state.history[index]["event"] for index in (0, 98, 99)] == ["step-151", "step-249", "imported"]


def test_the_largest_entry_still_fits_and_can_be_ended(state: SharedState, tmp_path: Path) -> None:
    bad = "\x01" * 5000
    entry: dict[str, Any] = {
        "task_id": "T",
        "status": "claimed",
        "claimed_at": NOW_S,
        "instance_id": OWNER,
        "claim_token": "12345678-token",
        "metadata": {f"name-{number}": bad for number in range(60)},
        "unknown": "\x01" * 2000,
    }
    assert imported(state, tmp_path, entry, "task-claims.json").outcome == "changed"
    log = [{"at": NOW_S, "event": bad, "ownerId": bad, "status": bad, "details": bad}] * 120
    entry = {"taskId": "U", "status": "failed", "lastError": bad, "ignoreReason": bad, "eventLog": log, "odd": bad}
    assert imported(state, tmp_path, entry).outcome == "changed"
    assert isinstance(state.claims.release("T", status="failed", error=bad), Released)
    assert max(len(jsonio.encode(found["value"])) for found in documents(state).values()) < 900_000


def test_an_unreadable_record_blocks_its_own_entry_only(tmp_path: Path) -> None:
    host = FakeHost()
    store = MemoryStore(host)
    state = SharedState.open(tmp_path / "state", host=host, owner=OWNER, store=store)
    store.plant("tasks", "T-done", b"{torn")
    report = import_ledgers(state.claims, FILES)
    assert by_task(report)["T-done"].outcome == "refused"
    assert by_task(report)["T-live"].outcome == "taken"


def test_an_archived_task_keeps_its_fence(state: SharedState, tmp_path: Path) -> None:
    claimed = state.claims.claim("T")
    assert isinstance(claimed, Claimed)
    state.claims.release("T")
    assert isinstance(state.host, FakeHost)
    state.host.advance(3600)
    assert state.tasks.archive("T", older_than_ms=0)
    entry = imported(state, tmp_path, {"taskId": "T", "ownerId": "a/1", "status": "claimed", "heartbeat": NOW_S})
    assert (entry.outcome, entry.fence) == ("refused", claimed.fence)


@pytest.mark.parametrize(
    "value,moment_ms",
    [
        (None, 0),
        ("", 0),
        (1772323200, 1772323200000),
        (1772323200.5, 1772323200500),
        ("1772323200", 1772323200000),
        (1772323200000, 1772323200000),
        (1772323200000000, 1772323200000),
        ("2026-03-01T00:00:00Z", 1772323200000),
        ("2026-03-01T01:00:00.250+01:00", 1772323200250),
        ("2026-03-01 00:00:00", 1772323200000),
    ],
    ids=repr,
)
def test_moments_are_read_in_every_usual_form(value: Any, moment_ms: int) -> None:
    assert moment_of(value)[0] == moment_ms


@pytest.mark.parametrize(
    "value", [True, -5, 1e30, float("nan"), float("inf"), "yesterday", [], {}, "9" * 5000, "0001-01-01"]
)
def test_what_is_no_moment_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a moment"):
        moment_of(value)

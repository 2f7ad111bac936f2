"""One planted file blocks its own task at most: sweeps, lists and scopes of all others go on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sharedstate import Claimed, SharedState
from sharedstate.errors import UnsafeStore
from sharedstate.ids import record_name
from sharedstate.store import Unreadable

TTL_MS = 30
RECORD, CELL, ENTRY = "tasks/{}.json", "local/beats/tasks/{}", "local/ledger/claims/{}.json"
Plant = Callable[[Path], None]


def link(path: Path) -> None:
    """A symbolic link to somebody else's file."""
    path.symlink_to("/etc/hostname")


def fifo(path: Path) -> None:
    """A FIFO: opening it to read would wait for ever."""
    os.mkfifo(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the state lives."""
    return tmp_path / "state"


@pytest.fixture
def state(root: Path) -> Iterator[SharedState]:
    """The state of one owner whose claims get stale at once."""
    with SharedState.open(root, owner="a", stale_threshold_ms=TTL_MS, heartbeat_interval_ms=10) as opened:
        yield opened


def outlive_ttl(state: SharedState) -> None:
    """Wait until what is claimed now is stale."""
    assert not state.store.watch("nothing", after=0, timeout_s=2 * TTL_MS / 1000)


@pytest.mark.parametrize("plant", [link, fifo, Path.mkdir])
@pytest.mark.parametrize("place", [RECORD, CELL, ENTRY])
def test_a_sweep_goes_on_past_a_planted_file(state: SharedState, root: Path, place: str, plant: Plant) -> None:
    for task in ("T-1", "T-2", "T-3"):
        assert isinstance(state.claims.claim(task), Claimed)
    target = root / place.format(record_name("T-2"))
    target.unlink()
    plant(target)
    outlive_ttl(state)
    report = state.claims.sweep()
    swept = {found.task for found in report.swept}
    assert swept >= {"T-1", "T-3"}
    assert "T-2" in swept or any("T-2" in str(found) for found in report.unreadable), "it is named"


@pytest.mark.parametrize("plant", [link, fifo, Path.mkdir])
def test_a_planted_lock_file_blocks_no_look(state: SharedState, root: Path, plant: Plant) -> None:
    assert isinstance(state.claims.claim("T-1"), Claimed)
    plant(root / "local/locks/planted")
    listed = [view.state.task for view in state.tasks.list(status="claimed") if not isinstance(view, Unreadable)]
    assert listed == ["T-1"]
    outlive_ttl(state)
    assert len(state.claims.sweep().swept) == 1


def test_a_planted_record_keeps_its_scope_and_blocks_no_other(state: SharedState, root: Path) -> None:
    assert isinstance(state.claims.claim("T-1", scope=["src/a"], ttl_ms=60_000), Claimed)
    record = root / RECORD.format(record_name("T-1"))
    record.unlink()
    link(record)
    assert isinstance(state.claims.claim("T-2", scope=["src/b"]), Claimed)
    refused = state.claims.claim("T-3", scope=["src/a/x"])
    assert getattr(refused, "conflict", None) == "T-1"
    with pytest.raises(UnsafeStore):
        state.claims.claim("T-1")


def test_a_planted_record_starves_no_other_candidate(state: SharedState, root: Path) -> None:
    assert isinstance(state.claims.claim("T-1"), Claimed)
    record = root / RECORD.format(record_name("T-1"))
    record.unlink()
    link(record)
    assert getattr(state.claims.claim_next(["T-1", "T-2"]), "task", None) == "T-2"


def test_a_planted_root_is_an_error_and_not_a_list_of_bad_candidates(tmp_path: Path) -> None:
    (tmp_path / "state").symlink_to(tmp_path)
    with SharedState.open(tmp_path / "state") as state, pytest.raises(UnsafeStore):
        state.claims.claim_next(["T-1", "T-2"])

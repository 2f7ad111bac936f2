"""Records that can be made anew: an unreadable one never blocks its task, and none of its bytes is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharedstate import Claimed, Kept, Released, SharedState

DAMAGE = {"torn": b'{"fence": 1, "own', "empty": b"", "without meaning": b"", "foreign types": b""}


def _entry(root: Path) -> Path:
    (entry,) = (root / "local" / "ledger" / "claims").glob("*.json")
    return entry


@pytest.mark.parametrize("damage", sorted(DAMAGE))
def test_a_damaged_entry_of_the_local_ledger_is_replaced_by_the_next_claim(tmp_path: Path, damage: str) -> None:
    root = tmp_path / "state"
    with SharedState.open(root, owner="ana") as state:
        first = state.claims.claim("T-1")
        assert isinstance(first, Claimed)
        entry = _entry(root)
        raw = entry.read_bytes()
        broken = {
            "without meaning": raw.replace(b'"owner"', b'"master"'),
            "foreign types": raw.replace(b'"fence": 1', b'"fence": "one"'),
        }.get(damage, DAMAGE[damage])
        entry.write_bytes(broken)
        again = state.claims.claim("T-1")
        assert isinstance(again, Claimed)
        assert (again.outcome, again.fence) == ("reclaimed", first.fence + 1)
        assert isinstance(state.claims.renew("T-1"), Kept)
        assert isinstance(state.claims.release("T-1"), Released)


def test_the_bytes_of_a_torn_entry_are_kept(tmp_path: Path) -> None:
    root = tmp_path / "state"
    with SharedState.open(root, owner="ana") as state:
        state.claims.claim("T-1")
        _entry(root).write_bytes(DAMAGE["torn"])
        state.claims.claim("T-1")
    kept = (root / "local" / "ledger" / "local" / "quarantine").iterdir()
    assert DAMAGE["torn"] in [path.read_bytes() for path in kept]


def test_a_sweep_goes_on_past_a_damaged_entry(tmp_path: Path) -> None:
    root = tmp_path / "state"
    with SharedState.open(root, owner="ana") as state:
        state.claims.claim("T-1")
        _entry(root).write_bytes(DAMAGE["torn"])
        state.claims.claim("T-2", ttl_ms=10_000)
        assert state.claims.sweep().swept == ()
        assert isinstance(state.claims.renew("T-2"), Kept)


def test_the_default_root_stays_out_of_git_and_a_chosen_one_travels(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with SharedState.open(folder=tmp_path) as state:
        state.claims.claim("T-1")
    assert (tmp_path / ".cache" / "sharedstate" / ".gitignore").read_text() == "*\n"
    with SharedState.open(tmp_path / "chosen") as state:
        state.claims.claim("T-1")
    assert (tmp_path / "chosen" / ".gitignore").read_text() == "/local/\n"

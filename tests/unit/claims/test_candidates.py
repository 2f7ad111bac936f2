"""Choosing among candidates: one that cannot be claimed, for whatever reason, starves no other."""

from __future__ import annotations

from pathlib import Path

from sharedstate import Claimed, SharedState


def test_a_candidate_that_is_no_id_is_refused_and_the_next_one_claimed(tmp_path: Path) -> None:
    with SharedState.open(tmp_path / "state", owner="ana") as state:
        taken = state.claims.claim_many(["", "bad\x00id", "T-1"], slots=1)
        assert [claimed.task for claimed in taken.claimed] == ["T-1"]
        assert [refused.reason for refused in taken.refused] == ["invalid_id", "invalid_id"]


def test_a_candidate_with_an_unreadable_record_is_refused_and_the_next_one_claimed(tmp_path: Path) -> None:
    with SharedState.open(tmp_path / "state", owner="ana") as state:
        state.claims.claim("T-1")
        state.claims.release("T-1", status="failed")
        (record,) = (tmp_path / "state" / "tasks").glob("*.json")
        record.write_bytes(b"{")
        answer = state.claims.claim_next(["T-1", "T-2"])
        assert isinstance(answer, Claimed)
        assert answer.task == "T-2"

"""Refusals do not queue: who asks for a held task does not wait for its lock."""

from __future__ import annotations

import threading
from pathlib import Path

from sharedstate import Refused, SharedState
from sharedstate.store import Decision, Snapshot

PATIENCE_S = 20.0


def test_a_claim_of_a_held_task_is_refused_while_its_lock_is_held(tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def linger(snapshot: Snapshot) -> Decision[None]:
        inside.set()
        assert leave.wait(PATIENCE_S)
        return Decision(result=None)

    root = tmp_path / "state"
    with SharedState.open(root, owner="ana") as ana, SharedState.open(root, owner="ben", lock_timeout_ms=1) as ben:
        ana.claims.claim("T-1")
        holder = threading.Thread(target=lambda: ana.store.transact("tasks", "T-1", linger))
        holder.start()
        try:
            assert inside.wait(PATIENCE_S)
            answer = ben.claims.claim("T-1")
            assert isinstance(answer, Refused)
            assert answer.reason == "existing_owner_active"
            assert answer.holder is not None
            assert answer.holder.owner == ana.claims.owner
        finally:
            leave.set()
            holder.join(PATIENCE_S)

"""Journals made up for pictures: a fleet with failures, a sweep, a takeover, an ignored task."""

from __future__ import annotations

import random
from typing import Any

from sharedstate.store import Entry

BEGIN_MS = 1_795_222_538_639


def journal(*, tasks: int, agents: int, names: tuple[str, ...] = (), seed: int = 1) -> list[Entry]:
    """The events of `agents` working through `tasks` (or `names`); every seventh is in trouble."""
    chance = random.Random(seed)
    free_ms = [BEGIN_MS + chance.randrange(50) for _ in range(agents)]
    events: list[tuple[int, dict[str, Any]]] = []

    def emit(at_ms: int, kind: str, task: str, **more: Any) -> None:
        events.append((at_ms, {"type": kind, "task": task, **more}))

    for index, task in enumerate(names or tuple(f"project.part{number % 3}.task{number}" for number in range(tasks))):
        agent = min(range(agents), key=lambda number: free_ms[number])
        owner, other = f"workstation/agent-{agent + 1}", f"workstation/agent-{(agent + 1) % agents + 1}"
        at_ms = free_ms[agent] + chance.randrange(5, 60)
        spent_ms = chance.randrange(300, 2600)
        emit(at_ms, "claimed", task, owner=owner, fence=1, attempt=1, status="claimed")
        end_ms = at_ms + spent_ms
        if index % 7 == 2:
            for fence in range(1, 5):
                end_ms = at_ms + 300
                emit(end_ms, "released", task, owner=owner, fence=fence, status="failed", error="exit 1")
                at_ms = end_ms + 20
                if fence < 4:
                    emit(at_ms, "claimed", task, owner=owner, fence=fence + 1, attempt=fence + 1, status="claimed")
        elif index % 7 == 4:
            emit(end_ms + 900, "swept", task, owner=owner, fence=1, reason="owner_stale", age_ms=900)
            emit(end_ms + 1500, "claimed", task, owner=other, fence=2, attempt=2, status="claimed")
            emit(end_ms + 2500, "released", task, owner=other, fence=2, status="complete")
        elif index % 7 == 5:
            emit(end_ms, "taken_over", task, owner=other, previous_owner=owner, reason="owner_dead", fence=2, attempt=2)
            emit(end_ms + 800, "released", task, owner=other, fence=2, status="complete")
        else:
            emit(end_ms, "released", task, owner=owner, fence=1, status="complete")
        free_ms[agent] = end_ms
    emit(BEGIN_MS, "ignored", f"{names[0] if names else 'project'}-docs", by="human/reviewer", reason="waits & <b>")
    events.sort(key=lambda event: event[0])
    return [
        Entry(sequence=number, at_ms=at_ms, value=value, record=f"tasks/t@{number}")
        for number, (at_ms, value) in enumerate(events, 1)
    ]

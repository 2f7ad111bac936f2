"""The decisions of a trial: pure, and each with its event, so that records and journal can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sharedstate.store import BEAT, Decision, Snapshot


def count(by: str) -> Callable[[Snapshot], Decision[int]]:
    """Raise the number in a record by one; returns the new one."""

    def decide(snapshot: Snapshot) -> Decision[int]:
        number = 1 if snapshot.value is None else int(snapshot.value["count"]) + 1
        event = {"type": "counted", "count": number, "by": by}
        return Decision(result=number, write={"count": number, "by": by}, events=(event,))

    return decide


def claim(by: str) -> Callable[[Snapshot], Decision[int | None]]:
    """Take a record that nobody holds, under the next fence; None where somebody does."""

    def decide(snapshot: Snapshot) -> Decision[int | None]:
        held = snapshot.value or {"holder": None, "fence": 0}
        if held["holder"] is not None:
            return Decision(result=None)
        fence = int(held["fence"]) + 1
        event = {"type": "claimed", "fence": fence, "by": by}
        return Decision(result=fence, write={"holder": by, "fence": fence}, live=fence, events=(event,))

    return decide


def release(by: str, fence: int) -> Callable[[Snapshot], Decision[bool]]:
    """Give a record back; False when it is not ours any more: then somebody else was let in."""

    def decide(snapshot: Snapshot) -> Decision[bool]:
        if snapshot.value != {"holder": by, "fence": fence}:
            return Decision(result=False)
        event = {"type": "released", "fence": fence, "by": by}
        return Decision(result=True, write={"holder": None, "fence": fence}, events=(event,))

    return decide


def beat(fence: int) -> Callable[[Snapshot], Decision[None]]:
    """A sign of life."""
    return lambda _: Decision(result=None, write=BEAT, live=fence)


def write(document: dict[str, Any]) -> Callable[[Snapshot], Decision[None]]:
    """Put a document there."""
    return lambda _: Decision(result=None, write=document)

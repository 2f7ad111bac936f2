"""One simulated machine with a shared and a local store in memory, for tests of what runs over both ledgers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sharedstate.claims.hold import Hold
from sharedstate.claims.identity import Identity
from sharedstate.connect import SharedState
from sharedstate.settings import resolve
from sharedstate.tasks.outcomes import Claimed
from sharedstate.testing.clock import FakeHost, FakeMachine
from sharedstate.testing.memory import MemoryStore

TTL_MS = 30_000


class World:
    """One machine, one shared and one local store; every `state()` is another process."""

    def __init__(self) -> None:
        self.machine = FakeMachine()
        self.host = FakeHost(machine=self.machine)
        self.shared = MemoryStore(self.host)
        self.local = MemoryStore(self.host)

    def state(self, *, owner: str = "here/one", host: FakeHost | None = None, **settings: Any) -> SharedState:
        own = {"stale_threshold_ms": TTL_MS, "heartbeat_interval_ms": 10_000, "required": True}
        return SharedState(
            settings=resolve({**own, **settings}, env={}, folder="/"),
            identity=Identity(owner=owner, host="here", origin="argument"),
            root="root",
            shared=self.shared,
            local=self.local,
            host=host or FakeHost(machine=self.machine),
        )

    def status(self, task: str = "T") -> tuple[str, str | None]:
        view = self.state().tasks.get(task)
        assert view is not None
        return view.state.status, view.state.last_error


def take_over(world: World) -> Claimed:
    answer = world.state(owner="here/other").claims.claim("T")
    assert isinstance(answer, Claimed)
    return answer


def inside(hold: Hold, body: Callable[[Hold], object]) -> None:
    """Run a function as the body of the block."""
    with hold as claim:
        body(claim)


def believed(claim: Hold) -> str:
    """The status, asked anew: type checkers remember what an attribute said before."""
    return claim.status

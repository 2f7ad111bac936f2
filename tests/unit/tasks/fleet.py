"""A few owners, one shared ledger in memory, a clock that the test moves: the stage for stories about task state."""

from __future__ import annotations

from typing import Any

from sharedstate.ids import Process, digest_of
from sharedstate.store import Document
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.model import TaskState
from sharedstate.tasks.outcomes import Claimed, Kept, Lost, Refused, Released
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import Tasks
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore

TASK = "T-1"
TTL_S = 300


class Fleet:
    """Owners are letters; each one's token is its name unless the story says otherwise."""

    def __init__(self, *, retries_max: int = 3, reruns: int = 1) -> None:
        self.host = FakeHost()
        self.store = MemoryStore(self.host, reruns=reruns)
        self.local = MemoryStore(self.host)
        self.tasks = self.view_from(self.host, retries_max=retries_max)

    def view_from(self, host: FakeHost, *, retries_max: int = 3) -> Tasks:
        """The same ledger, looked at from another process or machine."""
        sightings = Sightings(self.local)
        return Tasks(self.store, host=host, rules=Rules(retries_max=retries_max), sightings=sightings)

    def ask(self, owner: str, *, token: str | None = None, known: str | None = None, **more: Any) -> ClaimAsk:
        """What `owner` asks; `known` is the token that it still holds."""
        fields: dict[str, Any] = {"task": TASK, "ttl_ms": TTL_S * 1000, **more}
        digest_known = None if known is None else digest_of(known)
        return ClaimAsk(owner=owner, digest_new=digest_of(token or owner), digest_known=digest_known, **fields)

    def try_claim(self, owner: str, **options: Any) -> Claimed | Refused:
        """Claim, whatever comes of it."""
        return self.tasks.claim(self.ask(owner, **options))

    def claim(self, owner: str, **options: Any) -> Claimed:
        """Claim; the story goes on only when it is granted."""
        answer = self.try_claim(owner, **options)
        assert isinstance(answer, Claimed), answer
        return answer

    def refused(self, owner: str, **options: Any) -> Refused:
        """Claim; the story goes on only when it is refused."""
        answer = self.try_claim(owner, **options)
        assert isinstance(answer, Refused), answer
        return answer

    def renew(self, owner: str, *, token: str | None = None, task: str = TASK) -> Kept | Lost:
        """A heartbeat."""
        return self.tasks.renew(task, owner=owner, digest=digest_of(token or owner))

    def release(
        self, owner: str, status: str = "complete", *, token: str | None = None, error: str | None = None
    ) -> Released | Lost:
        """The end of an attempt."""
        return self.tasks.release(TASK, owner=owner, digest=digest_of(token or owner), status=status, error=error)

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.host.advance(seconds)

    def state(self, task: str = TASK) -> TaskState:
        """The task as it stands."""
        view = self.tasks.get(task)
        assert view is not None
        return view.state

    def document(self, task: str = TASK) -> Document:
        """The task's document as it stands in the store."""
        found = self.store.get("tasks", task)
        assert found is not None
        return found.value

    def revision(self, task: str = TASK) -> int:
        """How often the record was written."""
        found = self.store.get("tasks", task)
        return 0 if found is None else found.revision

    def events(self) -> list[str]:
        """The types of all events so far."""
        return [entry.value["type"] for entry in self.store.read("events")]

    def process(self) -> Process:
        """A new process on this machine."""
        return self.host.spawn()

"""One board and as many machines as the story needs: each with its own store, its own clock reading, its own engine."""

from __future__ import annotations

from typing import Any

from sharedstate.ids import digest_of
from sharedstate.store import Document
from sharedstate.sync.engine import Engine, SyncRules
from sharedstate.sync.memory import Known, Memory
from sharedstate.sync.report import SyncReport
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.model import TaskState
from sharedstate.tasks.outcomes import Changed, Claimed, Kept, Lost, Refused, Released
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import Tasks, TaskView
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.board import MemoryBoard, Seat, Trouble
from sharedstate.testing.clock import FakeHost, FakeMachine
from sharedstate.testing.memory import MemoryStore

TASK = "GH-1"
TTL_MS = 300_000
MINUTE_S = 60.0
HOUR_S = 3600.0


class SleeplessHost(FakeHost):
    """A host on which nothing may sleep."""

    def sleep(self, seconds: float) -> None:
        """Fail the test."""
        raise AssertionError(f"somebody slept for {seconds} s")


class Machine:
    """A machine with a ledger of its own. Its owners are `name/agent`; a token is the owner's name."""

    def __init__(
        self,
        board: MemoryBoard,
        name: str,
        machine: FakeMachine,
        rules: SyncRules,
        *,
        reruns: int = 1,
        store: MemoryStore | None = None,
    ) -> None:
        self.name = name
        self.host = SleeplessHost(machine=machine)
        self.store = store or MemoryStore(self.host, reruns=reruns)
        self.local = MemoryStore(self.host)
        self.seat: Seat = board.seat(name)
        self.rules = rules
        self.tasks = Tasks(self.store, host=self.host, rules=Rules(), sightings=Sightings(self.local))
        self.engine = self.new_engine()

    def new_engine(self) -> Engine:
        """A new process over what this machine remembers."""
        self.engine = Engine(tasks=self.tasks, board=self.seat, local=self.local, rules=self.rules)
        return self.engine

    def sync(self, *, dry_run: bool = False) -> SyncReport:
        """One cycle."""
        return self.engine.sync(dry_run=dry_run)

    # What agents do

    def owner(self, agent: str = "a") -> str:
        return f"{self.name}/{agent}"

    def try_claim(self, task: str = TASK, *, agent: str = "a", **more: Any) -> Claimed | Refused:
        owner = self.owner(agent)
        return self.tasks.claim(
            ClaimAsk(task=task, owner=owner, digest_new=digest_of(owner), ttl_ms=TTL_MS, host=self.name, **more)
        )

    def claim(self, task: str = TASK, *, agent: str = "a", **more: Any) -> Claimed:
        answer = self.try_claim(task, agent=agent, **more)
        assert isinstance(answer, Claimed), answer
        return answer

    def renew(self, task: str = TASK, *, agent: str = "a") -> Kept | Lost:
        owner = self.owner(agent)
        return self.tasks.renew(task, owner=owner, digest=digest_of(owner))

    def release(self, status: str, task: str = TASK, *, agent: str = "a", error: str | None = None) -> Released | Lost:
        owner = self.owner(agent)
        return self.tasks.release(task, owner=owner, digest=digest_of(owner), status=status, error=error)

    def work(self, *statuses: str, task: str = TASK, agent: str = "a") -> None:
        """Whole attempts, one after the other, each ending as told."""
        for status in statuses:
            self.claim(task, agent=agent)
            self.release(status, task, agent=agent)

    def ignore(self, task: str = TASK) -> Changed:
        return self.tasks.ignore(task, reason="not now", by="somebody")

    # What they see

    def view(self, task: str = TASK) -> TaskView:
        view = self.tasks.get(task)
        assert view is not None
        return view

    def state(self, task: str = TASK) -> TaskState:
        return self.view(task).state

    def events(self, kind: str) -> list[Document]:
        """What the journal says of one kind, oldest first."""
        return [entry.value for entry in self.store.read("events") if entry.value["type"] == kind]

    def conflicts(self, reason: str) -> list[Document]:
        """What was kept of values that lost, of one kind."""
        return [fact for fact in self.events("conflict") if fact.get("reason") == reason]

    def known(self, task: str = TASK) -> Known:
        known = Memory(self.local, board=self.seat.name).known(task)
        assert known is not None
        return known

    def counter(self, name: str) -> int:
        return self.engine.status().counters.get(name, 0)


class Stage:
    """A board with one open issue, and machines whose clocks agree."""

    def __init__(self, *, statuses: bool = True, **rules: Any) -> None:
        self.machine = FakeMachine()
        self.board = MemoryBoard(host=FakeHost(machine=self.machine), statuses=statuses)
        self.rules = SyncRules(**rules)
        self.board.open_issue(TASK)
        self.here = self.join("here")

    def join(self, name: str, *, store: MemoryStore | None = None) -> Machine:
        """One machine more, with a ledger of its own or that of another."""
        return Machine(self.board, name, self.machine, self.rules, store=store)

    def pass_s(self, seconds: float) -> None:
        """Let time pass, for everybody."""
        self.machine.advance(seconds)

    def break_next(self, trouble: Trouble, *, verb: str, times: int = 1, task: str | None = None) -> None:
        """Let the next calls of one kind that the first machine makes go wrong."""
        left = [times]

        def plan(call: Any) -> Trouble | None:
            if call.verb != verb or left[0] == 0 or task not in (None, call.task):
                return None
            left[0] -= 1
            return trouble

        self.here.seat.plan = plan

    def calls(self, *verbs: str) -> int:
        """How many calls of these kinds were made so far."""
        return sum(call.verb in verbs for call in self.board.calls)

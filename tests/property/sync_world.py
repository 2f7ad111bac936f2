"""Three machines with ledgers of their own, one board, people who change it, and everything that can go wrong between.

A seed decides all of it. `play` lets things happen and go wrong; `settle` lets two rounds pass without faults; `check`
holds what must be true then against an account of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from sharedstate.errors import SharedStateError, StoreUnavailable
from sharedstate.store import DELETE, Decision, Unreadable
from sharedstate.sync.board import Failed, Item, Parked
from sharedstate.sync.engine import SyncRules
from sharedstate.sync.memory import Memory
from sharedstate.sync.merge import is_silent
from sharedstate.sync.policy import is_cancelled
from sharedstate.sync.statuses import CANCELLED, DONE, known, same
from sharedstate.tasks.model import CLAIMED, COMPLETE, ENDINGS
from sharedstate.tasks.outcomes import Claimed
from sharedstate.tasks.service import TaskView
from sharedstate.testing.board import HUMAN, Call, Change, MemoryBoard, Trouble
from sharedstate.testing.clock import FakeHost, FakeMachine
from sharedstate.testing.memory import MemoryStore
from tests.unit.sync.stage import Machine

TASKS = ("GH-1", "GH-2", "GH-3")
STEPS = 26
FAULT_SHARE = 0.18
CARDS = ("Todo", "In progress", "In review", "Blocked", "Done", "Cancelled", "Needs design")
RULES = SyncRules(heartbeat_window_ms=300_000)
# Full lists heal much: some histories have many of them (and many late answers in them), some have none.
FULL_EVERY_MS = (600_000, 3_600_000, 10**12, 10**12)
READS = ("list", "get")


class Killed(BaseException):
    """A process is killed."""


class World:
    """One seeded history."""

    def __init__(self, seed: int, *, forgets: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.machine = FakeMachine(seed=seed)
        self.board = MemoryBoard(host=FakeHost(machine=self.machine))
        self.fences: dict[tuple[MemoryStore, str], int] = {}
        self.reopened: set[tuple[MemoryStore, str]] = set()
        self.faulty = True
        self.forgets = forgets
        self.signals = random.Random(~seed)
        for task in TASKS:
            self.board.open_issue(task)
        self.machines: list[Machine] = []
        rules = RULES.replace(full_every_ms=self.random.choice(FULL_EVERY_MS))
        for number in range(3):
            shared = self.machines[0].store if number == 1 and seed % 4 == 0 else None
            self.machines.append(Machine(self.board, f"m{number}", self.machine, rules, reruns=0, store=shared))
        self.ledgers = list({id(one.store): one for one in self.machines}.values())
        for one in self.machines:
            one.sync()
            one.seat.plan = self._plan

    # What happens

    def play(self) -> None:
        """Agents work, people decide, machines sync as well as they can, time passes."""
        for _ in range(STEPS):
            self.machine.advance(self.random.choice((0.01, 1, 60, 600)))
            happening = self.random.random()
            if happening < 0.4:
                self._work(self.random.choice(self.machines), self.random.choice(TASKS))
            elif happening < 0.6:
                self._decide(self.random.choice(TASKS))
            elif happening < 0.6 + self.forgets:
                self._forget(self.random.choice(self.machines))
            else:
                self._sync(self.random.choice(self.machines))

    def settle(self) -> None:
        """The faults stop, what waits becomes due, and every machine syncs twice."""
        self.faulty = False
        self.machine.advance(7_200)
        if self.random.random() < 0.5:
            for one in self.machines:
                for task in TASKS:
                    one.renew(task)
        for _ in range(2):
            self.round()

    def round(self) -> None:
        """Every machine syncs once, in some order."""
        for one in self.random.sample(self.machines, len(self.machines)):
            self.machine.advance(0.01)
            one.sync()

    def _work(self, machine: Machine, task: str) -> None:
        verb = self.random.choice(
            ("claim", "claim", "claim", "renew", "release", "release", "sweep", "ignore", "reopen")
        )
        if verb == "claim":
            answer = machine.try_claim(task)
            if isinstance(answer, Claimed) and answer.outcome != "already_owned":
                self.fences[machine.store, task] = answer.fence
        elif verb == "renew":
            machine.renew(task)
        elif verb == "release":
            machine.release(self.random.choice(ENDINGS), task)
        elif verb == "sweep":
            machine.tasks.sweep(task)
        elif verb == "ignore" and self.random.random() < 0.3:
            machine.ignore(task)
        elif verb == "reopen" and machine.tasks.reopen(task, by="somebody").changed:
            self.reopened.add((machine.store, task))

    def _decide(self, task: str) -> None:
        verb = self.random.choice(("card", "card", "close", "reopen", "ignore", "unignore"))
        item = self.board.item(task)
        if verb == "card":
            self.board.place_card(task, self.random.choice(CARDS))
        elif verb == "close" and item.card.open:
            self.board.close(task, reason=self.random.choice(("completed", "not_planned")))
        elif verb == "reopen" and not item.card.open:
            self.board.reopen(task)
        elif verb in ("ignore", "unignore"):
            self.board.set_ignore(task, ignored=verb == "ignore")

    def _forget(self, machine: Machine) -> None:
        """A machine loses some of what it remembers of the board."""
        for collection in self.random.sample(("board-agreed", "board-status"), self.random.randrange(1, 3)):
            for found in list(machine.local.scan(collection)):
                assert not isinstance(found, Unreadable)
                machine.local.transact(collection, found.key, lambda _: Decision(result=None, write=DELETE))
        machine.new_engine()

    def _sync(self, machine: Machine) -> None:
        if self.random.random() < 0.25:
            self._break_store(self.random.choice((machine.store, machine.local)), left=self.random.randrange(12))
        try:
            machine.engine.sync(stop=self._stop())
        except (SharedStateError, Killed):
            machine.new_engine()
        for store in (machine.store, machine.local):
            vars(store).pop("transact", None)

    def _stop(self) -> Callable[[], bool]:
        """Some cycles are asked to end early, by a signal."""
        left = [self.signals.randrange(5) if self.signals.random() < 0.1 else STEPS]

        def stop() -> bool:
            left[0] -= 1
            return left[0] < 0

        return stop

    def _break_store(self, store: Any, *, left: int) -> None:
        """From the n-th transaction of this cycle on a store refuses, or the process is killed before or after it."""
        whole, death = store.transact, self.random.choice(("refuse", "before", "after"))
        calls = [0]

        def breaking(*given: Any, **more: Any) -> Any:
            calls[0] += 1
            if calls[0] <= left:
                return whole(*given, **more)
            if death == "refuse":
                raise StoreUnavailable("planned")
            if death == "after":
                whole(*given, **more)
            raise Killed

        store.transact = breaking

    def _plan(self, call: Call) -> Trouble | None:
        if not self.faulty or self.random.random() > FAULT_SHARE:
            return None
        now_ms = self.machine.now().at_ms
        troubles = [
            Trouble(answer=Parked(until_ms=now_ms + self.random.randrange(120_000), reason="limit")),
            Trouble(answer=Failed(kind="transient", detail="502")),
            Trouble(death=Killed()),
        ]
        if call.verb in READS:
            # Who remembers nothing cannot tell a late answer: that much is lost with it.
            lagging = [] if self.forgets else [Trouble(lag=self.random.randrange(1, 9))] * 2
            troubles += [*lagging, Trouble(lost=True)]
        else:
            troubles += [
                Trouble(answer=Failed(kind="transient", detail="502", applied=True), applied=True),
                Trouble(death=Killed(), applied=True),
                Trouble(answer=Failed(kind="locked", detail="locked")),
            ]
        return self.random.choice(troubles)

    # What must be true

    def check(self) -> None:
        """Everything, after `settle`."""
        self._check_at_rest()
        for task in TASKS:
            self._check_agreed(task)
            self._check_shown(task)
            self._check_people(task)
            self._check_reopens(task)
        for change in self.board.changes:
            if change.by != HUMAN:
                self._check_change(change)
        for one in self.ledgers:
            for task in TASKS:
                view = one.tasks.get(task)
                assert (0 if view is None else view.state.fence) == self.fences.get((one.store, task), 0)

    def _check_at_rest(self) -> None:
        """After two rounds board and ledgers stand still; who lost in the last of them notes that in the third."""
        before = len(self.board.changes), *self._entries(but="conflict")
        self.round()
        assert (len(self.board.changes), *self._entries(but="conflict")) == before, "a third round changes something"
        noted = self._entries()
        self.round()
        assert (len(self.board.changes), *self._entries()) == (before[0], *noted), "a fourth round notes something"
        assert [one.engine.waiting() for one in self.machines] == [()] * 3

    def _entries(self, *, but: str = "") -> list[int]:
        return [sum(entry.value["type"] != but for entry in one.store.read("events")) for one in self.machines]

    def _check_agreed(self, task: str) -> None:
        item = self.board.item(task)
        for one in self.machines:
            kept = Memory(one.local, board=one.seat.name).known(task)
            if kept is None and self.forgets:
                continue  # nothing has happened to it since it was forgotten
            assert kept is not None
            assert (kept.base.record, kept.base.card, kept.labels) == (item.record, item.card, item.labels)

    def _check_shown(self, task: str) -> None:
        """One record; it says what one of the ledgers says; a living claim is not hidden; what is hidden was told."""
        record, now_ms = self.board.item(task).record, self.machine.now().at_ms
        views = [(one, one.tasks.get(task)) for one in self.ledgers]
        begun = {view.state.lease.owner: (one, view) for one, view in views if view is not None and view.state.lease}
        if record is None:
            assert not begun
            return
        assert record.owner is not None
        shown = begun[record.owner][1].state
        assert (record.status, record.last_error) == (shown.status, shown.last_error)
        assert record.attempts >= shown.attempts
        assert record.fence >= max(view.state.fence for _, view in begun.values())
        if any(_is_living(view, now_ms) for _, view in begun.values()):
            assert record.status == CLAIMED
            assert not is_silent(record, now_ms=now_ms, silent_ms=RULES.silent_ms)
        for owner, (one, _) in begun.items():
            if owner != record.owner:
                told = [(fact["owner"], fact["winner"]) for fact in one.conflicts("record_lost")]
                assert (owner, record.owner) in told

    def _check_people(self, task: str) -> None:
        """The board's own word: closed is over, cancelled is left alone, the label is obeyed, and nothing else is."""
        item = self.board.item(task)
        for one in self.machines:
            view = one.tasks.get(task)
            state = None if view is None else view.state
            cancelled = state is not None and is_cancelled(state)
            if not item.card.open and item.card.reason == "not_planned":
                assert cancelled
                assert state is not None
                assert state.status != CLAIMED
            elif not item.card.open and (one.store, task) not in self.reopened:
                assert state is not None
                assert state.status == COMPLETE
            if item.card.ignored:
                assert state is not None
                assert state.ignored is not None
            elif state is not None and not cancelled:
                assert state.ignored is None

    def _check_reopens(self, task: str) -> None:
        """Nothing is reopened that nobody took back from its end: a late answer is no word of a person."""
        takes = sum(one.task == task and _takes_back(one) for one in self.board.changes)
        for one in self.ledgers:
            reopened = [fact for fact in one.events("reopened") if fact["task"] == task and "board" in fact["by"]]
            assert len(reopened) <= takes * len(self._owners(one)), "reopened, though nobody asked for it"

    def _check_change(self, change: Change) -> None:
        before, after = change.before, change.after
        assert before is not None
        assert after is not None
        if change.what == "record":
            self._check_record(change, before, after)
        assert not (before.card.ignored and not after.card.ignored), "an engine removed the ignore label"
        if change.what == "card":
            self._check_move(change, after.updated_ms)

    def _check_record(self, change: Change, before: Item, after: Item) -> None:
        assert after.record is not None
        if before.record is None:
            return
        assert after.record.revision == before.record.revision + 1
        assert after.record.fence >= before.record.fence
        assert after.record.attempts >= before.record.attempts
        writer = self._machine(change.by)
        if after.record.owner not in (before.record.owner, None) and before.record.owner not in self._owners(writer):
            told = writer.conflicts("record_lost")
            assert (before.record.owner, after.record.owner) in [(fact["owner"], fact["winner"]) for fact in told]

    def _check_move(self, change: Change, at_ms: int) -> None:
        """An engine moves a card after a person did only because something has happened to the task since.

        Moves of others that lead back to where they began, between two looks of an engine, it cannot see.
        """
        assert change.before is not None
        moves = [one for one in self.board.changes if one.task == change.task and _moved_before(one, at_ms)]
        if not moves or moves[-1].by != HUMAN or _came_back(moves, change):
            return
        assert moves[-1].after is not None
        entries = self._machine(change.by).store.read("events")
        news = [one for one in entries if one.value.get("task") == change.task and one.value["type"] != "conflict"]
        since_ms = moves[-1].after.updated_ms
        assert any(since_ms <= one.at_ms <= at_ms for one in news), "a card moved by a person was moved on"

    def _owners(self, machine: Machine) -> list[str]:
        """Everybody whose attempts are in this machine's ledger."""
        return [one.owner() for one in self.machines if one.store is machine.store]

    def _machine(self, name: str) -> Machine:
        return next(one for one in self.machines if one.name == name)


def _is_living(view: TaskView, now_ms: int) -> bool:
    if view.state.status != CLAIMED or view.beat is None:
        return False
    return now_ms - view.beat.seen.at_ms <= RULES.silent_ms


def _moved_before(change: Change, at_ms: int) -> bool:
    before, after = change.before, change.after
    if change.what != "card" or before is None or after is None or after.updated_ms >= at_ms:
        return False
    return not same(before.card.status, after.card.status)


def _takes_back(change: Change) -> bool:
    before, after = change.before, change.after
    if before is None or after is None:
        return False
    was_over = known(before.card.status or "") in (DONE, CANCELLED) and not same(before.card.status, after.card.status)
    return (after.card.open and not before.card.open) or was_over


def _came_back(moves: list[Change], change: Change) -> bool:
    own = [index for index, one in enumerate(moves) if one.by == change.by]
    assert change.before is not None
    status = change.before.card.status
    others = moves[own[-1] + 1 if own else 0 :]
    return any(one.before is not None and same(one.before.card.status, status) for one in others)


def run(seed: int, *, forgets: float = 0.0) -> None:
    """One whole history; raises `AssertionError` when anything is not as it must be.

    `forgets`: the share of happenings in which a machine loses what it remembers of the board.
    """
    world = World(seed, forgets=forgets)
    world.play()
    world.settle()
    world.check()

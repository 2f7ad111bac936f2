"""Three machines, the real engine and the real PyGithub, seeded faults: afterwards all agree, nothing is doubled."""

from __future__ import annotations

import random
from typing import Final

import pytest

from sharedstate.ids import digest_of
from sharedstate.sync.engine import Engine, SyncRules
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import Tasks
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.comment import parse
from tests.integration.github.boards import Scene

ISSUES: Final = (1, 2, 3)
USERS: Final = ("ann", "bob", "cid")
ROUNDS_MAX: Final = 3  # where each machine has a ledger of its own, a card moved by one may end the attempts of others
RATES: Final = {
    "secondary": 0.02,
    "secondary-bare": 0.01,
    "too-many": 0.01,
    "too-many-bare": 0.01,
    "primary": 0.01,
    "bad-gateway": 0.03,
    "bad-gateway-applied": 0.05,
    "unavailable": 0.02,
    "timeout": 0.01,
    "timeout-applied": 0.03,
    "reset": 0.01,
    "reset-applied": 0.02,
    "truncated": 0.03,
    "lagging": 0.2,
}


class Fleet:
    """Machines named after their users, with one shared store of tasks, or a store for each."""

    def __init__(self, scene: Scene, *, shared: bool) -> None:
        self.scene = scene
        authors = ",".join(str(scene.fake.user_id(user)) for user in USERS)
        store = MemoryStore(scene.host)
        self.tasks: dict[str, Tasks] = {}
        self.engines: dict[str, Engine] = {}
        for user in USERS:
            local = MemoryStore(scene.host)
            ledger = store if shared else MemoryStore(scene.host)
            board = scene.board(user, local=local, project="acme/1", signing_key="k1:hush", trusted_authors=authors)
            tasks = Tasks(ledger, host=scene.host, rules=Rules(), sightings=Sightings(local))
            self.tasks[user] = tasks
            self.engines[user] = Engine(tasks=tasks, board=board, local=local, rules=SyncRules())

    def act(self, rnd: random.Random) -> None:
        """One step of somebody: claim, release, renew, or sync."""
        user, task = rnd.choice(USERS), f"GH-{rnd.choice(ISSUES)}"
        tasks, owner = self.tasks[user], f"{user}/agent"
        drawn = rnd.random()
        if drawn < 0.35:
            tasks.claim(ClaimAsk(task=task, owner=owner, digest_new=digest_of(owner), ttl_ms=300_000, host=user))
        elif drawn < 0.5:
            self.end(user, task, rnd.choice(("complete", "failed", "abandoned")))
        elif drawn < 0.55:
            tasks.renew(task, owner=owner, digest=digest_of(owner))
        else:
            self.engines[user].sync()
        self.scene.host.advance(rnd.choice((0, 1, 5, 30, 90)))

    def end(self, user: str, task: str, status: str) -> None:
        """End an attempt, if it is one."""
        owner = f"{user}/agent"
        self.tasks[user].release(task, owner=owner, digest=digest_of(owner), status=status, error="boom --> @all")

    def sync(self) -> None:
        """One round of all."""
        for engine in self.engines.values():
            engine.sync()
        self.scene.host.advance(90)

    def shown(self) -> list[object]:
        """All that people see."""
        fake = self.scene.fake
        return [
            ([(one["id"], one["body"]) for one in fake.comments(number)], fake.labels(number), fake.card(number))
            for number in ISSUES
        ]

    def fence(self, number: int) -> int:
        """The highest fence of an attempt that any machine knows."""
        views = [tasks.get(f"GH-{number}") for tasks in self.tasks.values()]
        return max((view.state.fence for view in views if view is not None and view.state.attempts), default=0)


def converge(seed: int, *, shared: bool) -> None:
    rnd = random.Random(seed)
    scene = Scene(projects=("acme/1",), users=dict.fromkeys(USERS, "push"))
    for number in ISSUES:
        scene.fake.open_issue(f"Task {number}")
        scene.fake.move_card(number, "Todo")
    fleet = Fleet(scene, shared=shared)
    scene.fake.faults.random(seed=seed, rates=RATES)
    for _ in range(rnd.randint(5, 25)):
        fleet.act(rnd)
    scene.fake.faults.clear()
    for user in USERS:
        for number in ISSUES:
            fleet.end(user, f"GH-{number}", "failed")
    scene.host.advance(7_200)  # everything that was parked is due
    for _ in range(ROUNDS_MAX):
        fleet.sync()
    rest = fleet.shown()
    fleet.sync()
    assert fleet.shown() == rest
    for number in ISSUES:
        fence, states = fleet.fence(number), scene.states(number)
        assert len(states) == len(scene.fake.comments(number)) <= 1
        assert bool(states) == bool(fence)
        for state in states:  # of several ledgers, the one that speaks last counts on from what the others have shown
            fence_shown = parse(state["body"]).record.fence
            assert fence_shown == fence if shared else fence_shown >= fence
    assert not scene.fake.requests.early()


@pytest.mark.parametrize("shared", [True, False], ids=["one ledger", "three ledgers"])
@pytest.mark.parametrize("block", range(4))
def test_all_machines_agree_on_one_comment_per_issue_after_faults(block: int, shared: bool) -> None:
    for seed in range(block * 10, block * 10 + 10):
        converge(seed, shared=shared)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("shared", [True, False], ids=["one ledger", "three ledgers"])
@pytest.mark.parametrize("block", range(10))
def test_all_machines_agree_after_5000_schedules_of_faults(block: int, shared: bool) -> None:
    for seed in range(1_000 + block * 250, 1_250 + block * 250):
        converge(seed, shared=shared)

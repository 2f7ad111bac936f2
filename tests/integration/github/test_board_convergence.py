"""Three machines, the real engine and the real PyGithub, seeded faults: afterwards all agree, nothing is doubled."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import pytest

from sharedstate.ids import digest_of
from sharedstate.sync import merge
from sharedstate.sync.engine import Engine, SyncRules
from sharedstate.sync.push import Push
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.model import COMPLETE, TaskState
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import Tasks
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.github.log import Entry
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.comment import parse
from sharedstate_adapters.github.writing import StateComments
from tests.integration.github.boards import Scene

ISSUES: Final = (1, 2, 3)
USERS: Final = ("ann", "bob", "cid")
ROUNDS_MAX: Final = 2
SEEDS: Final = 300  # of each kind in every run; all of them are the soak's
PART: Final = 50
SOAK_SEEDS: Final = 5_000
SOAK_PART: Final = 500
CAUGHT_BY_SEED_MAX: Final = 200
DOUBTFUL: Final = (
    "bad-gateway-applied",
    "timeout-applied",
    "reset-applied",
    "bad-gateway",
    "timeout",
    "reset",
    "truncated",
)
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

    def states(self) -> list[TaskState | None]:
        """All that the ledgers say."""
        views = [tasks.get(f"GH-{number}") for tasks in self.tasks.values() for number in ISSUES]
        return [None if view is None else view.state for view in views]

    def fence(self, number: int) -> int:
        """The highest fence of an attempt that any machine knows."""
        views = [tasks.get(f"GH-{number}") for tasks in self.tasks.values()]
        return max((view.state.fence for view in views if view is not None and view.state.attempts), default=0)

    def unsaid(self, number: int, shown: str | None) -> list[str]:
        """Owners whose attempt is neither shown nor kept in their journal as one that lost."""
        owners = []
        for tasks in self.tasks.values():
            view = tasks.get(f"GH-{number}")
            lease = None if view is None else view.state.lease
            told = [entry.value.get("owner") for entry in tasks.store.read("events") if _is_lost(entry, number)]
            if lease is not None and lease.owner not in (shown, *told):
                owners.append(lease.owner)
        return owners

    def blind(self) -> list[Entry]:
        """Comments created again after a doubtful answer, without a look at the issue's comments in between."""
        in_doubt, found = set[tuple[str | None, str]](), list[Entry]()
        for entry in self.scene.fake.requests:
            place = (entry.user, entry.path)
            if not entry.path.endswith("/comments"):
                continue
            if entry.method == "GET":
                in_doubt.discard(place)
                continue
            if place in in_doubt:
                found.append(entry)
            if entry.fault in DOUBTFUL:
                in_doubt.add(place)
        return found


def _is_lost(entry: Any, number: int) -> bool:
    value = entry.value
    return bool(value.get("reason") == "record_lost" and value.get("task") == f"GH-{number}")


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
    rest, written = fleet.shown(), len(scene.fake.requests.writes())
    fleet.sync()  # brings the last words of the second round home to who synced before they were written
    ledgers = fleet.states()
    fleet.sync()
    assert fleet.shown() == rest
    assert len(scene.fake.requests.writes()) == written
    assert fleet.states() == ledgers
    assert not fleet.blind()
    for number in ISSUES:
        fence, states = fleet.fence(number), scene.states(number)
        assert len(states) == len(scene.fake.comments(number)) <= 1
        assert bool(states) == bool(fence)
        shown = [parse(state["body"]).record for state in states]
        assert not fleet.unsaid(number, shown[0].owner if shown else None)
        for record in shown:  # of several ledgers, the one that speaks last counts on from what the others have shown
            assert record.fence == fence if shared else record.fence >= fence
    assert not scene.fake.requests.early()


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False], ids=["one ledger", "three ledgers"])
@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_all_machines_agree_on_one_comment_per_issue_after_faults(first: int, shared: bool) -> None:
    _converge_all(range(first, first + PART), shared=shared)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("shared", [True, False], ids=["one ledger", "three ledgers"])
@pytest.mark.parametrize("first", range(0, SOAK_SEEDS, SOAK_PART))
def test_all_machines_agree_after_5000_schedules_of_faults(first: int, shared: bool) -> None:
    _converge_all(range(first, first + SOAK_PART), shared=shared)


def _converge_all(seeds: range, *, shared: bool) -> None:
    for seed in seeds:
        try:
            converge(seed, shared=shared)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def completions_that_the_card_tells_of_are_shown(patch: pytest.MonkeyPatch) -> None:
    """Who hears of a completion by the card publishes it as its own."""
    patch.setattr(merge, "_ending", lambda one: (one.status == COMPLETE, one.since_ms or 0, one.owner or ""))


def posted_again_on_a_guess(patch: pytest.MonkeyPatch) -> None:
    """A comment of which nobody knows whether it was written is written again."""
    again: Any = vars(StateComments)["_create"]
    patch.setattr(StateComments, "_search_lost", lambda self, draft, known, rules, lost: again(self, draft, rules))


def losers_not_told(patch: pytest.MonkeyPatch) -> None:
    """A record is replaced, or held back, without a word."""
    patch.setattr(Push, "_tell", lambda self, task, agreement, **rest: True)


@pytest.mark.parametrize(
    "bug",
    [completions_that_the_card_tells_of_are_shown, posted_again_on_a_guess, losers_not_told],
    ids=lambda bug: bug.__name__,
)
def test_a_planted_bug_is_caught(bug: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    with pytest.raises(AssertionError):
        _converge_all(range(CAUGHT_BY_SEED_MAX), shared=False)

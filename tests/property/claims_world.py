"""A world of agents that claim, renew, release and sweep through the whole library on one simulated disk.

Under the agents are the real services, both ledgers and the real file store. Beside what the journal and the operations
tell, each agent's belief is checked: from the start of a confirmation until its ttl is over no other may be accepted.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from sharedstate.claims.identity import Identity
from sharedstate.connect import SharedState
from sharedstate.errors import StoreError
from sharedstate.files.store import FileStore
from sharedstate.host import Host
from sharedstate.settings import resolve
from sharedstate.tasks.outcomes import Claimed, Kept, Refused, Released
from sharedstate.tasks.service import TaskView
from sharedstate.testing.faults import PLAUSIBLE
from sharedstate.testing.history import Operation, violations_in_journal, violations_in_operations
from sharedstate.testing.simulation import Client, Faults, Simulation
from tests.property.test_scopes import meets

ROOT = "/srv/team/state"
TASKS = ("T-1", "T-2", "T-3")
TTL_MS = 6_000
SETTINGS = {"stale_threshold_ms": TTL_MS, "heartbeat_interval_ms": TTL_MS // 3, "lock_timeout_ms": 8_000}
SCOPES: tuple[list[str], ...] = ([], [], ["src"], ["src/api"], ["docs"])
_ACTIONS = ("claim", "claim", "claim", "renew", "renew", "renew", "release", "sweep", "next", "person", "pause")


class Belief:
    """What one process may believe: that it has the task under `fence`, until a moment of boot time."""

    def __init__(self, client: Client, fence: int, *, until_ms: int, scope: tuple[str, ...]) -> None:
        self.client = client
        self.life = client.life
        self.fence = fence
        self.until_ms = until_ms
        self.scope = scope

    @property
    def is_alive(self) -> bool:
        """Whether the process that believes it still runs."""
        return self.client.life == self.life


class ClaimsWorld:
    """Agents, what they were told, and what must hold. `wrap` plants a bug below the store, `spoil` above it."""

    def __init__(
        self,
        seed: int,
        *,
        faults: Faults,
        wrap: Callable[[Host], Host] = lambda host: host,
        spoil: Callable[[SharedState], object] = lambda state: None,
    ) -> None:
        errors = {call: codes for call, codes in PLAUSIBLE.items() if call != "fdatasync" or not faults.power_cut}
        self.simulation = Simulation(seed, faults=faults, errors=errors)
        self.operations: list[Operation] = []
        self.seen: Counter[str] = Counter()
        self._beliefs: dict[tuple[str, str], Belief] = {}  # task, owner
        self._tokens: set[str] = set()
        self._wrap = wrap
        self._spoil = spoil

    def run(self, *, clients: int = 3, steps_max: int) -> ClaimsWorld:
        """Run the agents, then look at everything once more."""
        for index in range(clients):
            self.simulation.client(f"agent-{index}", self._work)
        self.simulation.run(steps_max=steps_max)
        self._check()
        return self

    def state(self, host: Host, owner: str) -> SharedState:
        """What a process opens."""
        wrapped = self._wrap(host)
        timeout_s = SETTINGS["lock_timeout_ms"] / 1000
        state = SharedState(
            settings=resolve({**SETTINGS, "max_retries": 1_000}, env={}, folder="/"),
            identity=Identity(owner=f"ws/{owner}", host="ws", origin="argument"),
            root=ROOT,
            shared=FileStore(ROOT, host=wrapped, lock_timeout_s=timeout_s),
            local=FileStore(f"{ROOT}/local/ledger", host=wrapped, lock_timeout_s=timeout_s),
            host=wrapped,
        )
        self._spoil(state)
        return state

    # The agents

    def _work(self, client: Client) -> None:
        state = self.state(client.host, client.name)
        rng = client.simulation.random
        while client.running:
            action, task = rng.choice(_ACTIONS), rng.choice(TASKS)
            try:
                self._act(client, state, action, task, rng)
            except StoreError as error:
                self.seen[type(error).__name__] += 1

    def _act(self, client: Client, state: SharedState, action: str, task: str, rng: random.Random) -> None:
        if action == "claim":
            self._claim(client, state, task, rng)
        elif action == "next":
            self._next(client, state)
        elif action == "renew":
            self._renew(client, state, task)
        elif action == "release":
            self._release(client, state, task, status=rng.choice(("complete", "failed", "abandoned")))
        elif action == "sweep":
            self._sweep(client, state)
        elif action == "person":
            self._person(state, task, rng.random())
        else:
            client.host.sleep(rng.uniform(0, TTL_MS / 1500))

    def _claim(self, client: Client, state: SharedState, task: str, rng: random.Random) -> None:
        scope = rng.choice(SCOPES)
        for other in TASKS if scope else ():
            self._begin(client, other, "sweep")  # a stale claim in the way is ended; perhaps, nobody says
        # Who claims anew what it has gives up what it had: its old token and scope may be gone before it hears.
        held = self._beliefs.pop((task, client.name), None)
        place, start_ms = self._begin(client, task, "takeover"), self._now_ms()
        answer = state.claims.claim(
            task,
            scope=scope,
            reopen=rng.random() < 0.5,
            bind=rng.random() < 0.2,
        )
        if held is not None and isinstance(answer, Refused):
            self._end(client, place, kind="sweep", ok=True, fence=held.fence)
            return
        self._heard_of_claim(client, place, answer, start_ms=start_ms)

    def _next(self, client: Client, state: SharedState) -> None:
        places = {task: self._begin(client, task, "takeover") for task in TASKS}
        start_ms = self._now_ms()
        answer = state.claims.claim_next(TASKS, reopen=True)
        for task, place in places.items():
            mine = answer if isinstance(answer, Claimed) and answer.task == task else None
            self._heard_of_claim(client, place, mine, start_ms=start_ms)

    def _heard_of_claim(self, client: Client, place: int, answer: object, *, start_ms: int) -> None:
        task = self.operations[place].task
        if not isinstance(answer, Claimed):
            self._end(client, place, kind="renew", ok=False)
            return
        self.seen[answer.outcome] += 1
        self._tokens.add(answer.token)
        kinds = {"claimed": "claim", "taken_over": "takeover", "reclaimed": "reclaim", "already_owned": "renew"}
        self._end(client, place, kind=kinds[answer.outcome], ok=True, fence=answer.fence)
        if answer.outcome in ("claimed", "taken_over") and answer.reason in (None, "reopened", "owner_stale"):
            self._check_beliefs(task, client.name, below=answer.fence)
        if self._now_ms() <= start_ms + TTL_MS:  # heard in time to be believed at all
            self._check_scopes(task, answer)
        self._beliefs[task, client.name] = Belief(client, answer.fence, until_ms=start_ms + TTL_MS, scope=answer.scope)

    def _renew(self, client: Client, state: SharedState, task: str) -> None:
        place, start_ms = self._begin(client, task, "renew"), self._now_ms()
        answer = state.claims.renew(task)
        if isinstance(answer, Kept):
            self._end(client, place, kind="renew", ok=True, fence=answer.fence)
            belief = self._beliefs.get((task, client.name))
            if belief is not None and belief.fence == answer.fence:
                belief.until_ms = start_ms + TTL_MS
            return
        self.seen[type(answer).__name__] += 1
        self._end(client, place, kind="renew", ok=False)
        self._beliefs.pop((task, client.name), None)

    def _release(self, client: Client, state: SharedState, task: str, *, status: str) -> None:
        self._beliefs.pop((task, client.name), None)  # whoever lets go believes nothing from then on
        place = self._begin(client, task, "release")
        answer = state.claims.release(task, status=status)
        if isinstance(answer, Released) and not answer.repeated:
            self._end(client, place, kind="release", ok=True, fence=answer.fence)
        else:
            self._end(client, place, kind="renew", ok=False)

    def _sweep(self, client: Client, state: SharedState) -> None:
        places = {task: self._begin(client, task, "sweep") for task in TASKS}
        swept = {ended.task: ended for ended in state.claims.sweep().swept}
        for task, place in places.items():
            if task not in swept:
                self._end(client, place, kind="renew", ok=False)
                continue
            self.seen["swept"] += 1
            self._end(client, place, kind="sweep", ok=True, fence=swept[task].fence)
            if swept[task].reason == "owner_stale":
                self._check_beliefs(task, "", below=swept[task].fence + 1)

    def _person(self, state: SharedState, task: str, choice: float) -> None:
        if choice < 0.4:
            state.tasks.unignore(task, by="person")
        elif choice < 0.5:
            state.tasks.ignore(task, reason="on hold", by="person")
        elif choice < 0.6:
            state.tasks.reopen(task, by="person")
        else:
            views = [view for view in state.tasks.list(status="claimed") if isinstance(view, TaskView)]
            self.seen["listed"] += len(views)

    # What they were told

    def _now_ms(self) -> int:
        return self.simulation.disk.machine.now().boot_ms

    def _begin(self, client: Client, task: str, kind: str) -> int:
        """Until it is heard of, an operation may have happened or not, as far as anybody knows."""
        self.operations.append(_operation(task, client.name, kind, start=client.step))
        return len(self.operations) - 1

    def _end(self, client: Client, place: int, *, kind: str, ok: bool, fence: int = 0) -> None:
        begun = self.operations[place]
        self.operations[place] = _operation(
            begun.task, begun.owner, kind, start=begun.start, end=client.step, ok=ok, fence=fence
        )

    # What must hold

    def _check_beliefs(self, task: str, owner: str, *, below: int) -> None:
        now_ms = self._now_ms()
        for (believed, other), belief in self._beliefs.items():
            if believed != task or other == owner or not belief.is_alive or belief.fence >= below:
                continue  # a higher fence came later, even if it was heard of before
            text = f"{task}: {owner or 'a sweep'} was accepted while {other} could believe in fence {belief.fence}"
            assert now_ms > belief.until_ms, text

    def _check_scopes(self, task: str, answer: Claimed) -> None:
        now_ms = self._now_ms()
        for (believed, other), belief in self._beliefs.items():
            if believed == task or not belief.is_alive or now_ms > belief.until_ms:
                continue
            text = f"{answer.owner} was told {task} {answer.scope} while {other} believes in {believed} {belief.scope}"
            assert not meets(answer.scope, belief.scope), text

    def _check(self) -> None:
        found = violations_in_operations(self.operations)
        assert found == [], found
        host = self.simulation.disk.host()
        state = self.state(host, "observer")
        state.claims.sweep()
        in_journal = violations_in_journal(list(state.events()))
        assert in_journal == [], in_journal
        for path, raw in self.simulation.disk.tree().items():
            if isinstance(raw, bytes) and "/local/" not in path:
                assert not any(token.encode() in raw for token in self._tokens), f"a token in {path}"


def _operation(
    task: str, owner: str, kind: str, *, start: int, end: int | None = None, ok: bool = False, fence: int = 0
) -> Operation:
    known: dict[str, str] = {"kind": kind}
    return Operation(task=task, owner=owner, ok=ok, fence=fence, start=start, end=end, **known)  # type: ignore[arg-type]  # reason: kinds come from a table

"""Machines that claim, renew and release one task through GitHub alone, request by request, in an order a seed decides.

Before and after each request the scheduler may let another machine go on, kill the machine, or let it stand still for
minutes. Lists come from replicas that lag by up to `LAG_S`, less than the settle time: they show the comments of a
moment ago, with what is gone and unedited since, or miss some of the newest. FakeGitHub adds lost answers, limits and
refusals. Real code throughout: the policies of tasks, `GitHubStore`, PyGithub; no sockets, no threads, no waiting.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from importlib import import_module
from typing import Any, Final, Literal

from sharedstate.errors import StoreError
from sharedstate.ids import digest_of
from sharedstate.store import Store
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.outcomes import Claimed, Kept, Lost, Released
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import Tasks
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.clock import FakeHost, FakeMachine
from sharedstate.testing.contracts.steps import increments
from sharedstate.testing.github.gate import gateway
from sharedstate.testing.github.inprocess import Answer, Connection
from sharedstate.testing.github.wire import Response, request_of
from sharedstate.testing.history import Operation, violations_in_operations
from sharedstate.testing.memory import MemoryStore
from sharedstate.values import Value
from sharedstate_adapters.github.store import GitHubStore
from tests.integration.github.stores import Ground

TASK: Final = "GH-1"
TTL_MS: Final = 30_000
SETTLE_S: Final = 1.0
LAG_S: Final = 0.95
_LIST: Final = re.compile(r"/repos/acme/app/issues/1/comments\?.*")
_STARTS: Final = {"claimed": "claim", "taken_over": "takeover", "reclaimed": "reclaim"}
GITHUB_FAULTS: Final = {
    "bad-gateway": 0.02,
    "bad-gateway-applied": 0.02,
    "timeout": 0.01,
    "timeout-applied": 0.02,
    "reset-applied": 0.01,
    "truncated": 0.01,
    "secondary": 0.003,
    "too-many-bare": 0.003,
    "primary": 0.002,
}
LIST_FAULTS: Final = 0.05


class Weather(Value):
    """Probabilities per request; `lag`: that a list comes from a replica that is behind."""

    switch: float = 0.5
    crash: float = 0.0
    pause: float = 0.0
    lag: float = 0.0
    github: bool = False


class Counted(Value):
    """One count: the number it saw, None when it never heard."""

    owner: str
    start: int
    result: int | None = None
    end: int | None = None


class Died(BaseException):
    """The process of a machine ends here."""


class Race:
    """Some machines, one issue, one seed. `operations` is what the machines were told, in the order they asked."""

    def __init__(
        self, seed: int, *, weather: Weather, machines: int = 2, operations: int = 6, counting: bool = False
    ) -> None:
        self.random = random.Random(seed)
        self.weather = weather
        self.clock = FakeMachine(seed=seed)
        self.ground = Ground(issues=1, machine=self.clock)
        self.operations: list[Operation] = []
        self.counted: list[Counted] = []
        self.counts: Counter[str] = Counter()
        self.moment = 0
        self._greenlets = import_module("greenlet")
        self._states: list[tuple[float, str]] = [(0.0, "[]")]
        self._births: dict[int, float] = {}
        self._sleeping: dict[Any, float] = {}
        self._ready: list[Any] = []
        self._hub: Any = None
        kind = Counting if counting else Machine
        self.machines = [kind(self, f"ws/{chr(97 + index)}", operations) for index in range(machines)]
        if weather.github:
            self.ground.fake.faults.random(seed=seed, rates=GITHUB_FAULTS)

    def run(self) -> Race:
        """Until every machine has done its operations."""
        self._hub = self._greenlets.getcurrent()
        self._ready = [self._greenlets.greenlet(machine.live, self._hub) for machine in self.machines]
        while self._ready or self._sleeping:
            if not self._ready:
                first = min(self._sleeping, key=lambda one: self._sleeping[one])
                self.clock.advance(max(0.0, self._sleeping.pop(first) - self.clock.monotonic_s()))
                self._ready.append(first)
            chosen = self.random.choice(self._ready)
            chosen.switch()
            if chosen.dead:
                self._ready.remove(chosen)
        return self

    def violations(self) -> list[str]:
        """What the machines saw that must not be; and every claim that was acknowledged stands in the record."""
        held = self.truth().get("tasks", TASK)
        history = [] if held is None else held.value["history"]
        written = {(entry.get("owner"), entry.get("fence")) for entry in history}
        acknowledged = {
            (one.owner, one.fence) for one in self.operations if one.ok and one.kind in ("claim", "takeover", "reclaim")
        }
        lost = sorted(acknowledged - written, key=str)
        return [
            *map(str, violations_in_operations(self.operations)),
            *(f"acknowledged and lost: {one}" for one in lost),
        ]

    def now(self) -> int:
        """A moment later than any before."""
        self.moment += 1
        return self.moment

    def miscounts(self) -> list[str]:
        """What is wrong with the counter: an update lost, made twice, or seen in another order than it was made."""
        known = [one for one in self.counted if one.result is not None and one.end is not None]
        found = [
            f"{one} and {other} saw the same"
            for index, one in enumerate(known)
            for other in known[index + 1 :]
            if one.result == other.result
        ]
        found += [
            f"{late} came after {early}"
            for early in known
            for late in known
            if early.end is not None and early.end < late.start and (early.result or 0) > (late.result or 0)
        ]
        held = self.truth().get("tasks", TASK)
        count = 0 if held is None else held.value["count"]
        if not len(known) <= count <= len(self.counted):
            found.append(f"{count} in the end, after {len(known)} of {len(self.counted)} that succeeded")
        return found

    def truth(self) -> Store:
        """A store of a machine that has seen nothing, in good weather, after the race."""
        self.ground.fake.faults.clear()
        self.clock.advance(120)  # the last limit is over by then
        return self.ground.store("bot")

    # What the machines meet

    def sleep(self, seconds: float) -> None:
        """Let the others go on until the time is over."""
        current = self._greenlets.getcurrent()
        if current is self._hub:
            self.clock.advance(seconds)
            return
        self._ready.remove(current)
        self._sleeping[current] = self.clock.monotonic_s() + seconds
        self._hub.switch()

    def step(self) -> None:
        """Between two requests: some time passes, others may go on, and the worst may happen."""
        self.clock.advance(self.random.uniform(0.02, 0.3))
        draw = self.random.random()
        if draw < self.weather.crash:
            self.counts["crash"] += 1
            raise Died
        if draw < self.weather.crash + self.weather.pause:
            self.counts["pause"] += 1
            self.sleep(self.random.choice((3.0, 40.0, 400.0)))
        elif self.random.random() < self.weather.switch:
            self._hub.switch()

    def changed(self) -> None:
        """Replicas learn of a change from now on."""
        rows, now_s = self.ground.fake.comments(1), self.clock.monotonic_s()
        self._states.append((now_s, json.dumps(rows)))
        for row in rows:
            self._births.setdefault(row["id"], now_s)

    def listed(self, tag: str) -> Response:
        """The comments as some replica has them, if it answers."""
        if self.weather.github and self.random.random() < LIST_FAULTS:
            return gateway(502)
        now_s = self.clock.monotonic_s()
        lag_s = self.random.uniform(0, LAG_S) if self.random.random() < self.weather.lag else 0.0
        if self.random.random() < 0.5:  # a replica that is behind as a whole
            body = next(state for at_s, state in reversed(self._states) if at_s <= now_s - lag_s)
        else:  # one that misses some of what is new
            rows = json.loads(self._states[-1][1])
            fresh = {row["id"] for row in rows if self._births[row["id"]] > now_s - lag_s}
            body = json.dumps([row for row in rows if row["id"] not in fresh or self.random.random() < 0.5])
        self.counts["stale"] += body != self._states[-1][1]
        entity = hashlib.sha256(body.encode()).hexdigest()
        headers = (("Date", formatdate(self.clock.now().at_ms // 1000, usegmt=True)), ("ETag", entity))
        return (
            Response(status=304, headers=headers)
            if tag == entity
            else Response(status=200, headers=headers, body=body.encode())
        )


class Line(Connection):
    """A connection of one machine: the scheduler stands on both ends of it."""

    race: Race

    def getresponse(self) -> Answer:
        """Send the request, unless the machine dies before or after."""
        assert self._pending is not None
        race, (verb, url, body, headers) = self.race, self._pending
        race.step()
        request = request_of(verb, url, headers={"Host": self.host, **headers}, body=body)
        if verb == "GET" and _LIST.fullmatch(url):
            answer = Answer(race.listed(request.header("if-none-match") or ""))
        else:
            try:
                answer = super().getresponse()
            finally:
                race.changed()
        race.step()
        return answer


class Machine:
    """One machine, which loses its process and sometimes its disk, but not its name."""

    def __init__(self, race: Race, owner: str, operations: int) -> None:
        self.race = race
        self.owner = owner
        self.left = operations
        self.local = MemoryStore(race.ground.host)
        self.lives = 0

    def live(self) -> None:
        """Do operations until none is left; die and begin anew in between."""
        while self.left > 0:
            self.lives += 1
            try:
                self._life()
            except Died:
                if self.race.random.random() < 0.3:
                    self.local = MemoryStore(self.race.ground.host)

    def _life(self) -> None:
        race = self.race
        host = RacingHost(race)
        tasks = Tasks(
            self._store(host), host=host, rules=Rules(retries_max=1_000), sightings=Sightings(MemoryStore(host))
        )
        holding: tuple[int, str] | None = None
        first = self.lives == 1
        while self.left > 0:
            self.left -= 1
            if not first:
                race.sleep(race.random.choice((0.1, 1.0, 5.0, 12.0, 31.0, 45.0)))
            first = False
            if holding is None:
                holding = self._claim(tasks, f"{self.owner} {self.left} {self.lives}")
            elif race.random.random() < 0.6:
                holding = self._renew(tasks, *holding)
            else:
                holding = self._release(tasks, *holding)

    def _store(self, host: FakeHost) -> GitHubStore:
        user = "bot" if self.owner == "ws/a" else "friend"
        fake = self.race.ground.fake
        line = type("RacingLine", (Line,), {"race": self.race, "world": fake.world, "turn": fake.turn})
        return self.race.ground.store(
            user, local=self.local, host=host, settle_s=SETTLE_S, connection=lambda: line("127.0.0.1", None)
        )

    def _claim(self, tasks: Tasks, token: str) -> tuple[int, str] | None:
        ask = ClaimAsk(task=TASK, owner=self.owner, digest_new=digest_of(token), ttl_ms=TTL_MS, host=self.owner)
        answer = self._told("claim", 0, lambda: tasks.claim(ask), lambda told: isinstance(told, Claimed))
        return (answer.fence, token) if isinstance(answer, Claimed) else None

    def _renew(self, tasks: Tasks, fence: int, token: str) -> tuple[int, str] | None:
        answer = self._told(
            "renew",
            fence,
            lambda: tasks.renew(TASK, owner=self.owner, digest=digest_of(token)),
            lambda told: isinstance(told, Kept),
        )
        return None if isinstance(answer, Lost) else (fence, token)

    def _release(self, tasks: Tasks, fence: int, token: str) -> tuple[int, str] | None:
        status = self.race.random.choice(("failed", "abandoned"))
        answer = self._told(
            "release",
            fence,
            lambda: tasks.release(TASK, owner=self.owner, digest=digest_of(token), status=status),
            lambda told: isinstance(told, Released),
        )
        return (fence, token) if answer is None else None

    def _told(
        self,
        kind: Literal["claim", "renew", "release"],
        fence: int,
        ask: Callable[[], Any],
        accepted: Callable[[Any], bool],
    ) -> Any:
        """Carry one operation out and write down what it was told; None when a fault came back."""
        race, start = self.race, self.race.now()
        known = Operation(task=TASK, owner=self.owner, kind=kind, ok=False, fence=fence, start=start, end=None)
        index = len(race.operations)
        race.operations.append(known)
        try:
            answer = ask()
        except StoreError as error:
            race.counts[type(error).__name__] += 1
            return None
        race.counts[kind + (" ok" if accepted(answer) else " refused")] += 1
        outcome = getattr(answer, "outcome", kind)
        race.operations[index] = known.replace(
            kind=_STARTS.get(outcome, "write" if outcome == "already_owned" else kind),
            ok=accepted(answer),
            fence=answer.fence if accepted(answer) else fence,
            end=race.now(),
        )
        return answer


class Counting(Machine):
    """One that counts instead: every operation writes, so nothing that goes wrong stays without effect."""

    def _life(self) -> None:
        race, store = self.race, self._store(RacingHost(self.race))
        while self.left > 0:
            self.left -= 1
            index, start = len(race.counted), race.now()
            race.counted.append(Counted(owner=self.owner, start=start))
            try:
                result = store.transact("tasks", TASK, increments)
            except StoreError as error:
                race.counts[type(error).__name__] += 1
                continue
            race.counts["counted"] += 1
            race.counted[index] = race.counted[index].replace(result=result, end=race.now())


class RacingHost(FakeHost):
    """A process on the common clock, whose waits let the others go on."""

    def __init__(self, race: Race) -> None:
        super().__init__(machine=race.clock)
        self._race = race

    def sleep(self, seconds: float) -> None:
        """Wait in the race's time."""
        self._race.sleep(seconds)

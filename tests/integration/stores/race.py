"""A race on one store, with whatever can happen to processes, server and network, and the verdict on its histories."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from sharedstate import SharedState
from sharedstate.errors import SharedStateError
from sharedstate.store import Entry, Store
from sharedstate.tasks.outcomes import Claimed
from sharedstate.testing.history import violations_in_journal, violations_in_operations
from sharedstate.testing.proxy import FAULTS, Direction
from sharedstate.testing.versions import Step, violations_in_versions
from tests.integration.race import Race
from tests.integration.stores.grounds import Ground
from tests.integration.stores.places import Place
from tests.integration.stores.racer import COLLECTION, LOG, RECORDS, StoreRacer, settings

RACER: Final = Path(__file__).with_name("racer.py")
DIRECTIONS: Final[tuple[Direction, ...]] = ("up", "down")
TTL_MS: Final = 400
_BYTES_MAX: Final = 3_000
_HELD_MAX: Final = 600


class StoreRace(Race):
    """Racers that share nothing but the store. On a `ground` its server is killed, and the way there broken."""

    def __init__(self, place: Place, *, seed: int, seconds: float, ground: Ground | None = None) -> None:
        super().__init__(Path(place.folder), seed)
        self.place = place
        self.seconds = seconds
        self.pace = place.pace / 2 if place.pace > 1 else 1.0
        self.ttl_ms = TTL_MS if place.pace == 1 else TTL_MS * 3
        self._ground = ground
        self._plan: list[str] = []

    def words(self, history: str, owner: str, seconds: str) -> list[str]:
        """Each owner is a machine of its own."""
        root = self.folder / owner.replace("/", "-")
        root.mkdir(exist_ok=True)
        return [
            str(RACER),
            str(root),
            history,
            owner,
            str(len(self.histories)),
            seconds,
            self.place.url,
            str(self.ttl_ms),
        ]

    def disturb(self, left_s: float) -> None:
        """In rounds: two processes killed, one stopped, and once each trouble of server and network."""
        if not self._plan:
            self._plan = ["kill", "kill", "stop", *(TROUBLES if self._ground is not None else ())]
            self.random.shuffle(self._plan)
        name = self._plan.pop()
        if name == "kill":
            self.kill(left_s)
        elif name == "stop":
            self.stop()
        elif self._ground is not None:
            TROUBLES[name](self._ground, self.random)
            self.done[name] += 1

    def open(self, owner: str) -> SharedState:
        """The state as a judge opens it, by the straight way."""
        place = self.place if self._ground is None else self._ground.straight
        return place.open(owner.replace("/", "-"), owner=owner, **settings(self.ttl_ms))


def _crash(ground: Ground, chance: random.Random) -> None:
    """Kill the server."""
    ground.server.kill()
    time.sleep(chance.uniform(0, 0.3))
    ground.server.start()


def _faults(ground: Ground, chance: random.Random) -> None:
    """Reset every connection, and break those that come next."""
    ground.proxy.then(*chance.choices(FAULTS, k=3))
    ground.proxy.drop_connections()


def _cut(ground: Ground, chance: random.Random) -> None:
    """End every connection in the middle of something."""
    ground.proxy.cut(chance.choice(DIRECTIONS), after=chance.randrange(_BYTES_MAX))
    time.sleep(0.1)
    ground.proxy.relax()


def _hold(ground: Ground, chance: random.Random) -> None:
    """What somebody asks for arrives, but later, when he has asked again."""
    ground.proxy.hold(after=chance.randrange(_HELD_MAX))
    time.sleep(chance.uniform(0.05, 0.3))
    ground.proxy.relax()
    ground.proxy.deliver()


def _silence(ground: Ground, chance: random.Random) -> None:
    """Requests arrive, answers do not."""
    ground.proxy.silent = True
    time.sleep(chance.uniform(0.05, 0.6))
    ground.proxy.silent = False
    ground.proxy.drop_connections()


TROUBLES: Final[dict[str, Callable[[Ground, random.Random], None]]] = {
    "server killed": _crash,
    "connections broken": _faults,
    "cut": _cut,
    "held back": _hold,
    "silent": _silence,
}


class ThreadRace(StoreRace):
    """The same by threads of this process: for a store in memory, and for bugs that are planted."""

    def __init__(self, place: Place, *, seed: int, seconds: float, store: Store | None = None, size: int = 6) -> None:
        super().__init__(place, seed=seed, seconds=seconds)
        self._store = store
        self._size = size

    def run(self) -> None:
        """Let them all race; nobody is disturbed, but who pauses does so for longer than the ttl."""
        failed: list[BaseException] = []
        racing = [threading.Thread(target=self._races, args=(number, failed)) for number in range(self._size)]
        for one in racing:
            one.start()
        for one in racing:
            one.join()
        for error in failed:
            if not isinstance(error, SharedStateError):
                raise error
        assert not failed, failed

    def _races(self, number: int, failed: list[BaseException]) -> None:
        history = self.folder / f"history-{number}.jsonl"
        self.histories.append(history)
        name = f"ws/racer-{number}"
        try:
            with self.open(name) as state:
                Pausing(state, str(history), number, name=name).run(self.seconds)
        except Exception as error:  # noqa: BLE001 - reason: told by the thread that waits
            failed.append(error)

    def open(self, owner: str) -> SharedState:
        """The state as one of the racers, or a judge, opens it."""
        root = self.folder / owner.replace("/", "-")
        return SharedState.open(
            root, url=self.place.url, folder=self.folder, store=self._store, owner=owner, **settings(self.ttl_ms)
        )


class Pausing(StoreRacer):
    """A racer that now and then stands still by itself."""

    def claim(self, task: str) -> None:
        """A claim, sometimes followed by a pause."""
        super().claim(task)
        if self.random.random() < 0.03:
            time.sleep(1.5 * TTL_MS / 1000)


# The verdict


def check_race(race: StoreRace, state: SharedState) -> Counter[str]:
    """All that was done and heard is one history: exclusive, with growing fences, nothing lost, doubled or stale.

    `state` is a judge's. Returns how many operations of each kind were acknowledged, and `all` of them.
    """
    operations, steps = race.operations(), steps_of(race.histories)
    entries = list(state.events())
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1)), "the journal has a gap"
    assert violations_in_journal(entries) == []
    assert violations_in_operations(operations) == []
    assert violations_in_versions(steps, lines_of(state, entries)) == []
    time.sleep(2 * race.ttl_ms / 1000)
    state.claims.sweep()
    for task in sorted({operation.task for operation in operations}):  # whatever the dead have left, the living go on
        assert isinstance(state.claims.claim(task, reopen=True), Claimed)
    kinds = Counter(str(operation.kind) for operation in operations if operation.ok)
    kinds.update(("look" if not step.mark else "write") for step in steps if step.fate == "told")
    kinds["unheard"] = sum(operation.end is None for operation in operations)
    kinds["unheard"] += sum(step.fate == "unknown" for step in steps)
    kinds["all"] = len(operations) + len(steps)
    return kinds


def lines_of(state: SharedState, entries: list[Entry]) -> dict[str, list[str]]:
    """The marks of each record, from its first version on, as the journal tells them; it and the record agree."""
    lines: dict[str, list[str]] = {LOG: [str(entry.value["mark"]) for entry in state.store.read(LOG)]}
    for key in RECORDS:
        told = [entry for entry in entries if entry.record.startswith(f"{COLLECTION}/{key}@")]
        assert [entry.record for entry in told] == [f"{COLLECTION}/{key}@{n}" for n in range(1, len(told) + 1)]
        lines[key] = [str(entry.value["mark"]) for entry in told]
        held = state.store.get(COLLECTION, key)
        assert (0 if held is None else held.revision) == len(told), "record and journal disagree"
        assert held is None or held.value == {"mark": lines[key][-1]}
    return lines


def steps_of(histories: Iterable[Path]) -> list[Step]:
    """Every write and look of every racer."""
    found: list[Step] = []
    for history in histories:
        known: dict[int, dict[str, Any]] = {}
        for line in history.read_text().splitlines() if history.exists() else ():
            told = json.loads(line)
            if "step" in told:
                known.setdefault(told["step"], {"fate": "unknown"}).update(told)
        found += [_step(history.stem, told) for told in known.values()]
    return found


def _step(client: str, told: dict[str, Any]) -> Step:
    return Step(
        line=told["line"],
        client=client,
        mark=told["mark"],
        fate=told["fate"],
        version=told.get("version", 0),
        saw=told.get("saw"),
        start=told["start"],
        end=told.get("end", 0),
    )

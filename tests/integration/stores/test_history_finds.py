"""Bugs planted in stores, and whether the history test sees them: first whatever a store may do wrong, then each store.

The races are by threads of this process, so that what is planted here is planted in all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sharedstate.errors import StoreUnavailable
from sharedstate.files.store import FileStore
from sharedstate.host import Host
from sharedstate.store import BEAT, Decision, Snapshot
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.git.remote import Remote
from sharedstate_adapters.postgres.statements import Statements
from sharedstate_adapters.postgres.writing import Writer
from sharedstate_adapters.redis import store as redis_module
from sharedstate_adapters.redis.scripts import Script
from tests.integration.stores.grounds import SERVED, Ground
from tests.integration.stores.places import Place, new_place
from tests.integration.stores.race import ThreadRace, check_race

SECONDS = 1.0
SLOW_S = 3.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def judged(race: ThreadRace) -> int:
    """Run a race and judge it; how many operations it had."""
    race.run()
    with race.open("judge/agent") as judge:
        return check_race(race, judge)["all"]


# Whatever a store may do wrong


class Broken(MemoryStore):
    """A store in memory that breaks one promise now and then."""

    def __init__(self, bug: str) -> None:
        super().__init__(Host())
        self._bug = bug
        self._chance = random.Random(1)
        self._old: dict[tuple[str, str], Any] = {}

    def transact(self, collection: str, key: str, decide: Callable[[Snapshot], Decision[Any]], **named: Any) -> Any:
        """As the bug says, in one of ten cases."""
        do = super().transact
        if collection in ("inboxes", "sightings") or self._chance.random() > 0.1 or self._bug == "stale looks":
            return do(collection, key, decide, **named)
        if self._bug == "updates lost":
            held = self.get(collection, key)
            beat = self._beats.get((collection, key))
            seen = Snapshot(value=held and held.value, revision=held.revision if held else 0, beat=beat, now=self.now())
            decision = decide(seen)
            self.host.sleep(0.01)
            late = decision.write is BEAT and self._live(collection, key) is None
            return decision.result if late else do(collection, key, lambda _: decision, **named)
        if self._bug == "done twice":
            do(collection, key, decide, **named)
            return do(collection, key, decide, **named)
        if self._bug == "told, not done":
            return decide(self._snapshot(collection, key, derived=False)).result
        if self._bug == "events forgotten":
            return do(collection, key, lambda seen: decide(seen).replace(events=()), **named)
        do(collection, key, decide, **named)
        raise StoreUnavailable("failed, and done")

    def get(self, collection: str, key: str) -> Any:
        """Now and then what stood there some time ago."""
        held = super().get(collection, key)
        if self._bug != "stale looks" or self._chance.random() > 0.1:
            self._old[collection, key] = held
            return held
        return self._old.get((collection, key), held)

    def _live(self, collection: str, key: str) -> int | None:
        held = super().get(collection, key)
        return None if held is None else held.live


BUGS = ("updates lost", "done twice", "told, not done", "events forgotten", "failed, and done", "stale looks")


@pytest.mark.parametrize("bug", BUGS)
def test_a_store_that_breaks_a_promise_now_and_then_is_found(bug: str, tmp_path: Path) -> None:
    place = Place(name="memory", url=f"file://{tmp_path}/unused", folder=str(tmp_path))
    with pytest.raises(AssertionError):
        judged(ThreadRace(place, seed=3, seconds=SECONDS, store=Broken(bug)))


# Each store


def without_locks(patch: pytest.MonkeyPatch) -> None:
    """Files: every lock is given to everybody."""
    patch.setattr(FileStore, "__init__", _unlocked(FileStore.__init__))


class NoLock(Host):
    """Hands every lock to everybody."""

    def try_lock(self, fd: int) -> bool:
        """Here you are."""
        del fd
        return True

    def unlock(self, fd: int) -> None:
        """Nothing to give back."""


def _unlocked(init: Callable[..., None]) -> Callable[..., None]:
    def made(self: FileStore, root: str, *, host: Host | None = None, **named: Any) -> None:
        del host
        init(self, root, host=NoLock(), **named)

    return made


def without_a_comparison(patch: pytest.MonkeyPatch) -> None:
    """Redis: the script writes whatever stands there by then."""
    name = "WRITE"
    sound: Script = getattr(redis_module, name)
    right = "head ~= ARGV[4] or (beat or '') ~= ARGV[5] or "
    assert sound.text.count(right) == 1
    patch.setattr(redis_module, name, Script(sound.text.replace(right, ""), writes=True))


def without_the_lock_of_a_record(patch: pytest.MonkeyPatch) -> None:
    """PostgreSQL: nobody waits for the other's transaction, nor compares."""
    patch.setattr(Writer, "at_once_max", 0)
    made = Statements.__init__

    def init(self: Statements, schema: str, channel: str) -> None:
        made(self, schema, channel)
        self.lock = "SELECT %s::bigint"

    patch.setattr(Statements, "__init__", init)


def without_an_expected_value(patch: pytest.MonkeyPatch) -> None:
    """git: a push overwrites whatever stands there."""
    push = Remote.push

    def forced(self: Remote, oid: str, *, expected: str, deadline_s: float) -> Any:
        now = self.fetch(deadline_s=deadline_s)
        return push(self, oid, expected=now or expected, deadline_s=deadline_s)

    patch.setattr(Remote, "push", forced)


PLANTED: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "files": without_locks,
    "git": without_an_expected_value,
    "postgres": without_the_lock_of_a_record,
    "redis": without_a_comparison,
}


@pytest.mark.parametrize("bug", [False, True], ids=["sound", "planted"])
@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_store_without_its_compare_and_set_is_found(
    name: str,
    bug: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    folder = tmp_path / f"{name}-{uuid4().hex[:12]}"
    folder.mkdir()
    if bug:
        PLANTED[name](monkeypatch)
    with ExitStack() as ends:
        place = ends.enter_context(Ground(name, folder)).straight if name in SERVED else new_place(name, folder)
        race = ThreadRace(place, seed=5, seconds=SLOW_S if name == "git" else SECONDS)
        if bug:
            with pytest.raises(AssertionError):
                judged(race)
        else:
            record_property("operations", (name, judged(race)))

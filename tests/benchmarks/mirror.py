"""What a sync with GitHub costs: requests for each change, however many issues there are."""

from __future__ import annotations

from collections.abc import Iterator

from sharedstate import Claimed, SharedState
from sharedstate.sync.engine import Engine, SyncRules
from sharedstate.testing.memory import MemoryStore
from tests.benchmarks.bench import Bench
from tests.benchmarks.table import Broken, Row, at_most
from tests.integration.github.boards import Scene

CHANGED_BY_FLEET = 10
CHANGED_BY_PEOPLE = 10
PER_CHANGE_MAX = 5.0
_PAUSE_S = 600


def requests(bench: Bench) -> Iterator[Row]:
    """A sync of many issues of which 20 changed, over a fake GitHub: half by claims, half by people's labels."""
    count = bench.choose(full=1000, quick=200)
    scene = Scene()
    for number in range(1, count + 1):
        scene.fake.open_issue(f"Issue {number}")
    with SharedState.open(bench.folder("mirror", memory=True), store=MemoryStore(scene.host), host=scene.host) as state:
        engine = Engine(
            tasks=state.tasks, board=scene.board(local=state.local_store), local=state.local_store, rules=SyncRules()
        )
        first = _cost(scene, engine)
        scene.host.advance(_PAUSE_S)
        _cost(scene, engine)
        scene.host.advance(_PAUSE_S)
        still = _cost(scene, engine)
        scene.host.advance(_PAUSE_S)
        for number in range(1, CHANGED_BY_FLEET + 1):
            if not isinstance(state.claims.claim(f"GH-{number}"), Claimed):
                raise Broken(f"GH-{number} was not free")
        for number in range(count - CHANGED_BY_PEOPLE + 1, count + 1):
            scene.fake.label(number, "sharedstate:ignore")
        changed = _cost(scene, engine)
        ignored = state.tasks.statistics().ignored
        if ignored != CHANGED_BY_PEOPLE:
            raise Broken(f"{ignored} tasks are ignored, {CHANGED_BY_PEOPLE} were labelled")
    changes = CHANGED_BY_FLEET + CHANGED_BY_PEOPLE
    yield Row(
        case=f"sync of {count:,} issues, {changes} changed: requests for each change",
        figure=changed / changes,
        unit="",
        aim=at_most(PER_CHANGE_MAX),
        note=f"{changed} requests; half of the changes claims (comment and labels), half labels of people",
    )
    yield Row(case="control: requests of a sync without a change", figure=float(still), unit="")
    yield Row(case="control: requests of the first sync, which lists everything", figure=float(first), unit="")


def _cost(scene: Scene, engine: Engine) -> int:
    """Requests of one cycle that must be clean."""
    before = len(scene.fake.requests)
    report = engine.sync()
    if not report.clean:
        raise Broken(f"the sync was not clean: {report.errors}")
    return len(scene.fake.requests) - before

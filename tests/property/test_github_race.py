"""Two and more machines on one issue, through GitHub alone: exactly one wins, whatever happens. And planted bugs.

A failing run names its weather and seed: `Race(seed, weather=WEATHERS[name]).run()` plays it again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from sharedstate_adapters.github import chain, commit, records
from sharedstate_adapters.github.chain import Carrier, Head, Standing
from sharedstate_adapters.github.transition import Mark
from tests.property.github_race import Race, Weather

WEATHERS = {
    "calm": Weather(),
    "replicas": Weather(lag=0.7),
    "deaths": Weather(crash=0.02, lag=0.5),
    "pauses": Weather(pause=0.03, lag=0.5),
    "github": Weather(lag=0.5, github=True),
    "everything": Weather(crash=0.01, pause=0.01, lag=0.5, github=True),
}
SEEDS = 170  # times the weathers: 1,020 runs of two machines


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Expected warnings by the thousand."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def spoiled(name: str, seeds: Iterable[int], **options: Any) -> dict[int, list[str]]:
    """The runs in which something was wrong, by seed."""
    found: dict[int, list[str]] = {}
    for seed in seeds:
        race = Race(seed, weather=WEATHERS[name], **options).run()
        wrong = race.miscounts() if options.get("counting") else race.violations()
        if wrong:
            found[seed] = wrong
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", WEATHERS)
def test_of_two_machines_that_race_exactly_one_holds_the_task(name: str) -> None:
    assert spoiled(name, range(SEEDS)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", WEATHERS)
def test_of_three_machines_neither(name: str) -> None:
    assert spoiled(name, range(1_000, 1_040), machines=3) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", WEATHERS)
def test_no_update_is_lost_or_made_twice_by_machines_that_only_write(name: str) -> None:
    assert spoiled(name, range(25), machines=3, counting=True) == {}


def test_everything_that_may_happen_does() -> None:
    counts: Counter[str] = Counter()
    for seed in range(60):
        counts.update(Race(seed, weather=WEATHERS["everything"]).run().counts)
    wanted = ("claim ok", "claim refused", "renew ok", "renew refused", "release ok", "crash", "pause", "stale")
    assert all(counts[word] > 5 for word in (*wanted, "StoreBusy")), counts


def test_the_same_seed_plays_the_same_race() -> None:
    one, other = (Race(7, weather=WEATHERS["everything"]).run() for _ in range(2))
    assert one.operations == other.operations
    assert [entry.path for entry in one.ground.fake.requests] == [entry.path for entry in other.ground.fake.requests]


# Planted bugs


def _no_look_after_the_post(*_: object) -> tuple[Carrier, ...]:
    return ()


def _own_without_order(head: Head | None, mark: Mark) -> Standing:
    return "unseen" if head is None else "first"


def _one_look(carriers: Iterable[Carrier], mark: Mark) -> frozenset[tuple[int, str]] | None:
    return None  # as if the look before had agreed


def _continued_is_beaten(head: Head | None, mark: Mark) -> Standing:
    known = chain.standing(head, mark)
    return "beaten" if known == "passed" else known


def _highest_wins(carriers: Iterable[Carrier]) -> Head | None:
    tries = {carrier.mark.nonce: chain.head_of([carrier]) for carrier in carriers}
    heads = [head for head in tries.values() if head is not None]
    return max(heads, key=lambda head: (head.mark.base, head.carriers[0].comment_id), default=None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "holder,name,bug,counting",
    [
        pytest.param(commit.Committer, "_settle", _no_look_after_the_post, False, id="no-list-after-the-post"),
        pytest.param(commit, "standing", _own_without_order, False, id="own-comment-counts-whatever-was-first"),
        pytest.param(commit, "rivals", _one_look, False, id="one-look-is-enough"),
        pytest.param(commit, "standing", _continued_is_beaten, True, id="what-others-continue-is-done-again"),
        pytest.param(commit, "head_of", _highest_wins, True, id="the-last-comment-wins"),
    ],
)
def test_planted_bugs_are_caught(
    holder: Any, name: str, bug: Callable[..., Any], counting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holder, name, bug)
    if bug is _highest_wins:
        monkeypatch.setattr(records, name, bug)
    assert spoiled("replicas", range(60), counting=counting, machines=3)

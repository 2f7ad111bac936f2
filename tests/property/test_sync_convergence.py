"""5,000 seeded histories of three engines on one board under faults: all come to rest, and nothing is lost on the way.

A failing seed replays: `sync_world.run(SEED)`.
"""

from __future__ import annotations

import pytest

from tests.property.sync_mutants import FORGETFUL_MUTANTS, MUTANTS, Mutant
from tests.property.sync_world import run

SEEDS = 5_000
PART = 250
CAUGHT_BY_SEED_MAX = 1_500
FORGETFUL_SEEDS = 1_000
FORGETS = 0.1


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_all_engines_agree_within_two_rounds_after_the_faults_stop(first: int) -> None:
    _run_all(range(first, first + PART))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, FORGETFUL_SEEDS, PART))
def test_engines_that_forget_lose_no_change_of_a_person_and_lower_no_fence(first: int) -> None:
    _run_all(range(first, first + PART), forgets=FORGETS)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", FORGETFUL_MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_bug_planted_in_remembering_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        _run_all(range(CAUGHT_BY_SEED_MAX), forgets=FORGETS)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_planted_bug_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        _run_all(range(CAUGHT_BY_SEED_MAX))


def _run_all(seeds: range, *, forgets: float = 0.0) -> None:
    for seed in seeds:
        try:
            run(seed, forgets=forgets)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error

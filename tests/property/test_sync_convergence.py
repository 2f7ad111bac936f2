"""5,000 seeded histories of three engines on one board under faults: all come to rest, and nothing is lost on the way.

A failing seed replays: `sync_world.run(SEED)`.
"""

from __future__ import annotations

import pytest

from tests.property.sync_mutants import MUTANTS, Mutant
from tests.property.sync_world import run

SEEDS = 5_000
PART = 250
CAUGHT_BY_SEED_MAX = 1_500


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_all_engines_agree_within_two_rounds_after_the_faults_stop(first: int) -> None:
    _run_all(range(first, first + PART))


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_planted_bug_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        _run_all(range(CAUGHT_BY_SEED_MAX))


def _run_all(seeds: range) -> None:
    for seed in seeds:
        try:
            run(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error

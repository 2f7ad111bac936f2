"""Interleaved measuring: every case takes its turn in every round, so that noise on a shared machine hits all alike.

Ratios are taken inside each round and their median is reported; absolute times of different runs must not be compared.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter_ns

Case = Callable[[int], object]


class Rounds:
    """Samples in nanoseconds by case, one list for each round."""

    def __init__(self) -> None:
        self._samples: dict[str, list[list[int]]] = {}

    def add(self, case: str, samples: list[int]) -> None:
        """The samples of one more round of a case."""
        self._samples.setdefault(case, []).append(samples)

    def median_us(self, case: str) -> float:
        """Median over all rounds, microseconds."""
        return median(sample for samples in self._samples[case] for sample in samples) / 1000

    def high_us(self, case: str, *, share: float) -> float:
        """The value that a `share` (0 to 1) of all samples does not exceed, microseconds."""
        ordered = sorted(sample for samples in self._samples[case] for sample in samples)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1000

    def ratio(self, case: str, *, to: str) -> float:
        """Median over the rounds of (median of `case` / median of `to`)."""
        pairs = zip(self._samples[case], self._samples[to], strict=True)
        return median(median(mine) / median(other) for mine, other in pairs)

    def ratio_of_sums(self, cases: tuple[str, ...], *, to: tuple[str, ...]) -> float:
        """The same for the sum of several cases' medians to the sum of others'."""
        sums = zip(self._sums(cases), self._sums(to), strict=True)
        return median(mine / other for mine, other in sums)

    def _sums(self, cases: tuple[str, ...]) -> list[float]:
        columns = [[median(samples) for samples in self._samples[case]] for case in cases]
        return [sum(column) for column in zip(*columns, strict=True)]


def interleaved(cases: Mapping[str, Case], *, rounds: int, calls: int) -> Rounds:
    """Call every case `calls` times in each of `rounds` rounds, in the given order; a first round only warms up.

    A case is called with a number that is new in every call of that case, and the same for all cases.
    """
    measured = Rounds()
    for number in range(rounds + 1):
        first = number * calls
        for name, case in cases.items():
            samples = _timed(case, range(first, first + calls))
            if number:
                measured.add(name, samples)
    return measured


def _timed(case: Case, numbers: range) -> list[int]:
    samples: list[int] = []
    gc.collect()
    gc.disable()
    try:
        for number in numbers:
            began_ns = perf_counter_ns()
            case(number)
            samples.append(perf_counter_ns() - began_ns)
    finally:
        gc.enable()
    return samples

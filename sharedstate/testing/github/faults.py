"""Faults by plan or by seed: what GitHub, and the network before it, does on bad days.

fake.faults.plan("bad-gateway-applied", method="POST", path="*/comments")      the next one
fake.faults.plan(FAULTS["secondary"].replace(retry_after_s=7), nth=3, times=2)  the third and the fourth request
fake.faults.random(seed=4, rates={"timeout": 0.02, "lagging": 0.1})             by chance, the same for one seed
fake.faults.clear()                                                             good weather again
"""

from __future__ import annotations

import random
from fnmatch import fnmatchcase
from typing import Final, Literal

from sharedstate.testing.github.wire import Request
from sharedstate.values import Value

Kind = Literal[
    "secondary",
    "too-many",
    "primary",
    "bad-gateway",
    "unavailable",
    "timeout",
    "reset",
    "truncated",
    "trickled",
    "lagging",
]


class Fault(Value):
    """One thing that goes wrong with one request.

    `applied`: whether GitHub carries the request out before the answer is lost. `retry_after_s`: what the header says,
    None for none. `status` (403 or 429) and `reset_in_s` are those of an exhausted primary limit. `lags`: how many
    lists miss the fresh comment.
    """

    kind: Kind
    applied: bool = False
    retry_after_s: int | None = None
    status: int = 403
    reset_in_s: int = 60
    lags: int = 1


# Every fault by the name that plans and rates use.
FAULTS: Final[dict[str, Fault]] = {
    "secondary": Fault(kind="secondary", retry_after_s=60),  # 403 with Retry-After
    "secondary-bare": Fault(kind="secondary"),  # 403 without
    "too-many": Fault(kind="too-many", retry_after_s=60),  # 429 with Retry-After
    "too-many-bare": Fault(kind="too-many"),  # 429 without
    "primary": Fault(kind="primary"),  # 403, nothing remaining until the reset
    "primary-429": Fault(kind="primary", status=429),  # the same as 429
    "bad-gateway": Fault(kind="bad-gateway"),  # 502, not carried out
    "bad-gateway-applied": Fault(kind="bad-gateway", applied=True),  # 502, carried out
    "unavailable": Fault(kind="unavailable"),  # 503
    "timeout": Fault(kind="timeout"),  # no answer, not carried out
    "timeout-applied": Fault(kind="timeout", applied=True),  # no answer, carried out
    "reset": Fault(kind="reset"),  # connection reset, not carried out
    "reset-applied": Fault(kind="reset", applied=True),  # connection reset, carried out
    "truncated": Fault(kind="truncated", applied=True),  # carried out, half of the answer arrives
    "trickled": Fault(kind="trickled", applied=True),  # carried out, the answer arrives a few bytes at a time
    "lagging": Fault(kind="lagging", applied=True),  # the new comment is missing from the next list
}


class Rule(Value):
    """A planned fault: it meets matching requests number `nth` to `nth + times - 1`, counted from the plan."""

    fault: Fault
    nth: int
    times: int
    method: str | None
    path: str
    user: str | None

    def matches(self, request: Request, user: str | None) -> bool:
        """Whether a request counts for this rule."""
        return (
            (self.method is None or request.method == self.method)
            and (self.user is None or user == self.user)
            and fnmatchcase(request.path, self.path)
        )


class Faults:
    """The plan of one fake. The same calls in the same order meet the same faults."""

    def __init__(self) -> None:
        self._rules: list[tuple[Rule, list[int]]] = []
        self._random = random.Random(0)  # noqa: S311 - reason: tests must replay
        self._rates: tuple[tuple[Fault, float], ...] = ()
        self._lag_rate = 0.0
        self._left: int | None = None

    def plan(
        self,
        fault: str | Fault,
        *,
        nth: int = 1,
        times: int = 1,
        method: str | None = None,
        path: str = "*",
        user: str | None = None,
    ) -> None:
        """Let chosen requests fail. `path` is a glob over the path without query; `ValueError` for an unknown name."""
        if nth < 1 or times < 1:
            raise ValueError("requests are counted from 1")
        rule = Rule(fault=named(fault), nth=nth, times=times, method=method, path=path, user=user)
        self._rules.append((rule, [0]))

    def random(self, *, seed: int, rates: dict[str, float], requests: int | None = None) -> None:
        """Let requests fail by chance: a rate from 0 to 1 for each fault, together at most 1; for `requests` requests.

        The rate of `lagging` counts per new comment, all others per request.
        """
        chosen = dict(rates)
        self._lag_rate = chosen.pop("lagging", 0.0)
        self._rates = tuple((named(name), rate) for name, rate in sorted(chosen.items()))
        if not 0 <= sum(chosen.values()) <= 1 or not 0 <= self._lag_rate <= 1 or min(rates.values(), default=0) < 0:
            raise ValueError("rates lie between 0 and 1, and their sum too")
        self._random = random.Random(seed)  # noqa: S311 - reason: tests must replay
        self._left = requests

    def clear(self) -> None:
        """No more faults."""
        self._rules.clear()
        self._rates, self._lag_rate = (), 0.0

    def pick(self, request: Request, user: str | None) -> Fault | None:
        """The fault that this request meets. The first rule wins; every matching rule counts it."""
        found: Fault | None = None
        for rule, count in self._rules:
            if rule.matches(request, user):
                count[0] += 1
                if found is None and rule.nth <= count[0] < rule.nth + rule.times:
                    found = rule.fault
        return found or self._by_chance(request)

    def _by_chance(self, request: Request) -> Fault | None:
        if self._left is not None:
            if self._left <= 0:
                return None
            self._left -= 1
        if self._rates:
            drawn = self._random.random()
            for fault, rate in self._rates:
                drawn -= rate
                if drawn < 0:
                    return fault
        creates = request.method == "POST" and request.path.endswith("/comments")
        if creates and self._lag_rate and self._random.random() < self._lag_rate:
            return FAULTS["lagging"]
        return None


def named(fault: str | Fault) -> Fault:
    """The fault of that name; `ValueError` for an unknown one."""
    if isinstance(fault, Fault):
        return fault
    if fault not in FAULTS:
        raise ValueError(f"unknown fault {fault!r}; known: {', '.join(FAULTS)}")
    return FAULTS[fault]

"""Whether a hub can do its work: real round trips on each side, timed, all failures with what to do about them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from sharedstate.errors import SharedStateError, StoreUnavailable
from sharedstate.host import Host
from sharedstate.store import BEAT, Decision, Snapshot, Store
from sharedstate.values import Value

COLLECTION: Final = "hub"
JOURNAL: Final = "hub-health"
SILENT_MS: Final = 1_000


class Check(Value):
    """One round trip: on which side, what was done, whether it worked, how long it took; if not, why and what next."""

    side: str
    name: str
    ok: bool
    ms: float
    problem: str = ""
    hint: str = ""


class HealthReport(Value):
    """All checks; `score` is the share of those that worked, 0 to 100."""

    checks: tuple[Check, ...]
    score: int

    @property
    def ok(self) -> bool:
        """Whether every check worked."""
        return all(check.ok for check in self.checks)


def examine(sides: dict[str, Store], *, host: Host, writer: str) -> HealthReport:
    """Write, read back, beat and journal on each side. A failure stops nothing: all of them are told."""
    checks: list[Check] = []
    for side, store in sides.items():
        trip = _Trip(store, f"health-{writer}", host.entropy(8).hex())
        acts: dict[str, Callable[[], str]] = {
            "write": trip.write,
            "read": trip.read,
            "beat": trip.beat,
            "journal": partial(_journal, store),
            "clock": partial(_clock, store, host),
        }
        silent = False
        for name, act in acts.items():
            checks.append(_untried(side, name) if silent else _check(host, side, name, act))
            silent = silent or _is_silent(checks[-1])
    worked = sum(check.ok for check in checks)
    return HealthReport(checks=tuple(checks), score=100 * worked // max(1, len(checks)))


def _is_silent(check: Check) -> bool:
    """Whether this side took long to give no answer: each further question would only take as long again."""
    return check.problem.startswith(StoreUnavailable.code) and check.ms >= SILENT_MS


def _untried(side: str, name: str) -> Check:
    return Check(side=side, name=name, ok=False, ms=0.0, problem="not tried: this side did not answer before")


def _check(host: Host, side: str, name: str, act: Callable[[], str]) -> Check:
    began_s = host.monotonic_s()
    try:
        problem, hint = act(), ""
    except SharedStateError as error:
        problem, hint = f"{error.code}: {error}", error.hint
    ms = round((host.monotonic_s() - began_s) * 1000, 1)
    return Check(side=side, name=name, ok=not problem, ms=ms, problem=problem, hint=hint)


class _Trip:
    """A record written and read back. Others of this machine may do the same meanwhile: then it is a later one."""

    def __init__(self, store: Store, key: str, mark: str) -> None:
        self._store = store
        self._key = key
        self._mark = mark
        self._revision = 0

    def write(self) -> str:
        """A new mark."""

        def write(snapshot: Snapshot) -> Decision[int]:
            return Decision(result=snapshot.revision + 1, write={"mark": self._mark}, live=snapshot.revision + 1)

        self._revision = self._store.transact(COLLECTION, self._key, write, durability="relaxed", derived=True)
        return ""

    def read(self) -> str:
        """The mark again, or one that was written upon it."""
        found = self._store.get(COLLECTION, self._key)
        if found is None or found.revision < max(1, self._revision):
            return "what was written is not there"
        is_ours = found.revision == self._revision
        return "what was written is not what is read" if is_ours and found.value.get("mark") != self._mark else ""

    def beat(self) -> str:
        """A sign of life."""

        def beat(snapshot: Snapshot) -> Decision[str]:
            if snapshot.value is None:
                return Decision(result="there is no record to give a sign of life for")
            return Decision(result="", write=BEAT, live=max(1, snapshot.revision))

        problem = self._store.transact(COLLECTION, self._key, beat, durability="relaxed")
        found = self._store.get(COLLECTION, self._key)
        return problem or ("" if found is not None and found.beat is not None else "a sign of life was lost at once")


def _journal(store: Store) -> str:
    sequence = store.append(JOURNAL, {"type": "health"})
    entry = next(store.read(JOURNAL, after=sequence - 1, limit=1), None)
    return "" if entry is not None and entry.sequence == sequence else "an entry of the journal is not there"


def _clock(store: Store, host: Host) -> str:
    apart_ms = abs(store.now().at_ms - host.now().at_ms)
    return "" if apart_ms <= 60_000 else f"its clock and this machine's are {apart_ms // 1000} s apart"

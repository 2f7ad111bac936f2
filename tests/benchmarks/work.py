"""The ledger of tasks over any store, as all sections about stores measure it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic_ns

from sharedstate.host import Host
from sharedstate.ids import digest_of
from sharedstate.store import Store
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.outcomes import Claimed, Kept, Released
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import Tasks
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.memory import MemoryStore
from tests.benchmarks.bench import OWNER
from tests.benchmarks.rounds import Case, Rounds
from tests.benchmarks.table import Broken, Row, at_most

RATIO_MAX = 1.5
TTL_MS = 3_600_000
DIGEST = digest_of("bench")


def ledger(store: Store) -> Tasks:
    """The shared ledger over a store; what it notes of clocks stays in memory."""
    return Tasks(store, host=Host(), rules=Rules(retries_max=1_000), sightings=Sightings(MemoryStore(Host())))


def claim(tasks: Tasks, task: str, owner: str = OWNER) -> None:
    """Claim it, or the run is broken."""
    expect(tasks.claim(ClaimAsk(task=task, owner=owner, digest_new=DIGEST, ttl_ms=TTL_MS)), Claimed)


def renew(tasks: Tasks, task: str) -> None:
    """Renew it, or the run is broken."""
    expect(tasks.renew(task, owner=OWNER, digest=DIGEST), Kept)


def release(tasks: Tasks, task: str, owner: str = OWNER) -> None:
    """Complete it, or the run is broken."""
    expect(tasks.release(task, owner=owner, digest=DIGEST, status="complete"), Released)


def expect(answer: object, kind: type) -> None:
    """Raise `Broken` unless the answer is of this kind."""
    if not isinstance(answer, kind):
        raise Broken(f"expected {kind.__name__}, got {answer!r}")


def verbs(tasks: Tasks) -> dict[str, Case]:
    """Claim, renew, release of a task each time."""
    return {
        "claim": lambda n: claim(tasks, f"T-{n}"),
        "renew": lambda n: renew(tasks, f"T-{n}"),
        "release": lambda n: release(tasks, f"T-{n}"),
    }


def cycles(tasks: Tasks, name: str, slot_ms: int) -> int:
    """Claim and release a task each time until the time is over; how many."""
    return until_over(partial(claim, tasks), partial(release, tasks), name, slot_ms)


def until_over(
    claim_one: Callable[[str, str], None], release_one: Callable[[str, str], None], name: str, slot_ms: int
) -> int:
    """The same with whatever claims and releases a task for an owner."""
    done, until_ns = 0, monotonic_ns() + slot_ms * 1_000_000
    while monotonic_ns() < until_ns:
        task = f"P-{name}-{done}"
        claim_one(task, name)
        release_one(task, name)
        done += 1
    return done


def beside(measured: Rounds, case_of: str, control: str, *, case: str, aim: bool = True) -> Row:
    """A case and how it relates to a control of the same rounds."""
    return Row(
        case=case,
        figure=measured.ratio(case_of, to=control),
        median_us=measured.median_us(case_of),
        aim=at_most(RATIO_MAX) if aim else None,
        note=f"to {control} ({measured.median_us(control):,.0f} us)",
    )


def besides(measured: Rounds, *, title: str, aim: bool = True) -> Iterator[Row]:
    """Claim, renew and release beside the least."""
    for verb in ("claim", "renew", "release"):
        yield beside(measured, verb, f"least {verb}", case=f"{title} {verb} (shared ledger)", aim=aim)

"""The proof at the end: from the journal, and once more from what the agents saw themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from examples.fleet_parts.plan import Sight
from examples.fleet_parts.tasklist import Task
from sharedstate.claims.scopes import overlap
from sharedstate.overview.timeline import Timeline, timeline_of
from sharedstate.store import Entry
from sharedstate.testing.history import Operation, violations_in_journal, violations_in_operations

_KINDS: Mapping[str, Literal["claim", "takeover", "reclaim", "release"]] = {
    "claimed": "claim",
    "taken_over": "takeover",
    "reclaimed": "reclaim",
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing to prove: what, whether it holds, and the numbers or the first counterexample."""

    claim: str
    holds: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Death:
    """An agent killed in mid-task: who, on what, when (shared monotonic nanoseconds)."""

    owner: str
    task: str
    fence: int
    at_ns: int


@dataclass(frozen=True, kw_only=True)
class Work:
    """A stretch of time in which commands of a task may have run under one fence."""

    task: str
    owner: str
    fence: int
    begin_ns: int
    end_ns: int


def journal_checks(entries: Sequence[Entry]) -> list[Check]:
    """At most one owner at a time, and fences that only grow, by the order of the journal."""
    violations = violations_in_journal(entries)
    timeline = timeline_of(entries)
    owners = [violation for violation in violations if violation.kind != "fence"]
    fences = [violation for violation in violations if violation.kind == "fence"]
    first = next((f"{found.task}: {found.reason} (entry {found.at})" for found in owners), "")
    if not first and timeline.double:
        one, other = timeline.double[0]
        first = f"{one.task}: {one.owner} and {other.owner}"
    told = f"{len(entries)} journal entries, {len(timeline.bars)} ownerships of {len(timeline.tasks)} tasks"
    stale = next((f"{found.task}: {found.reason} (entry {found.at})" for found in fences), "")
    highest = max((bar.fence for bar in timeline.bars), default=0)
    return [
        Check(claim="no two owners ever held a task at once", holds=not first, detail=first or told),
        Check(claim="fences only grew", holds=not stale, detail=stale or f"highest fence {highest}"),
    ]


def witness_checks(sights: Sequence[Sight], tasks: Sequence[Task], deaths: Sequence[Death]) -> list[Check]:
    """The same once more without believing the journal: by what each agent saw, on a clock that all share."""
    operations = [*_operations(sights), *(_end_by_death(death) for death in deaths)]
    violations = violations_in_operations(operations)
    first = next((f"{found.task}: {found.reason}" for found in violations), "")
    works = work_of(sights, deaths)
    both = _first_overlap(works, {task.id: task.scope for task in tasks})
    return [
        Check(
            claim="the agents saw the same with their own eyes",
            holds=not first,
            detail=first or f"{len(operations)} operations with their real times",
        ),
        Check(
            claim="no task and no overlapping scope was worked on twice at once",
            holds=both is None,
            detail=f"{len(works)} stretches of work" if both is None else both,
        ),
    ]


def work_of(sights: Iterable[Sight], deaths: Sequence[Death]) -> list[Work]:
    """When commands ran: from `work` to `release`, or to the death of the agent. Other open ends count as a moment."""
    ended = {(sight.task, sight.fence): sight.start_ns for sight in sights if sight.kind == "release"}
    ended |= {(death.task, death.fence): death.at_ns for death in deaths}
    return [
        Work(
            task=sight.task,
            owner=sight.owner,
            fence=sight.fence,
            begin_ns=sight.start_ns,
            end_ns=ended.get((sight.task, sight.fence), sight.start_ns),
        )
        for sight in sights
        if sight.kind == "work"
    ]


def agreement_check(entries: Sequence[Entry], sights: Sequence[Sight]) -> Check:
    """Every claim that an agent was given stands in the journal under the same owner and fence."""
    written = {(bar.task, bar.owner, bar.fence) for bar in timeline_of(entries).bars}
    claims = [sight for sight in sights if sight.kind == "claim"]
    missing = [sight for sight in claims if (sight.task, sight.owner, sight.fence) not in written]
    detail = f"{len(claims)} claims" if not missing else f"{missing[0].task} by {missing[0].owner}, {missing[0].fence}"
    return Check(claim="every claim the agents were given is in the journal", holds=not missing, detail=detail)


def recovery_check(timeline: Timeline, death: Death) -> Check:
    """The task of a killed agent was ended for it and brought to an end by somebody else, under a higher fence."""
    bars = [bar for bar in timeline.bars if bar.task == death.task]
    orphan = next((bar for bar in bars if bar.fence == death.fence), None)
    later = [bar for bar in bars if bar.fence > death.fence]
    claim = f"the task of the killed {death.owner.rpartition('/')[2]} was recovered"
    if orphan is None or orphan.ending not in ("swept", "taken_over") or not later:
        return Check(
            claim=claim, holds=False, detail=f"{death.task}: {orphan.ending if orphan else 'not in the journal'}"
        )
    wait_s = (later[0].begin_ms - orphan.end_ms) / 1000
    detail = (
        f"{death.task}: {orphan.ending.replace('_', ' ')} ({orphan.reason}), gone on with by "
        f"{later[0].owner.rpartition('/')[2]} after {wait_s:.1f} s, {later[-1].ending}"
    )
    return Check(claim=claim, holds=later[0].owner != death.owner, detail=detail)


def ending_checks(tasks: Sequence[Task], endings: Mapping[str, str], *, attempts: Mapping[str, int]) -> list[Check]:
    """Every task ended as its list expects; the ignored ones were never begun."""
    wrong = [task for task in tasks if endings.get(task.id) != task.expect]
    counts = {ending: sum(found == ending for found in endings.values()) for ending in sorted(set(endings.values()))}
    told = ", ".join(f"{count} {ending}" for ending, count in counts.items())
    if wrong:
        told += "; " + "; ".join(f"{task.id}: {endings.get(task.id)}, not {task.expect}" for task in wrong[:5])
    checks = [Check(claim="every task ended as expected", holds=not wrong, detail=told)]
    for task in tasks:
        begun = attempts.get(task.id, 0)
        if task.expect == "ignored":
            told = f"{task.id}: {begun} attempts"
            checks.append(Check(claim="the ignored task was left alone", holds=begun == 0, detail=told))
    return checks


def exhausted_check(task: Task, *, attempts: int, retries_max: int) -> Check:
    """A task that always fails is begun once and then retried as often as allowed, not once more."""
    told = f"{task.id}: {attempts} attempts, {retries_max} retries allowed"
    return Check(claim="the failing task stopped with its retries", holds=attempts == retries_max + 1, detail=told)


def latencies_ms(sights: Iterable[Sight]) -> list[float]:
    """How long each successful claim took, sorted."""
    return sorted((sight.end_ns - sight.start_ns) / 1e6 for sight in sights if sight.kind == "claim")


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the sorted values do not exceed; 0 for none."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def _operations(sights: Iterable[Sight]) -> Iterable[Operation]:
    for sight in sights:
        kind = _KINDS.get(sight.word, "claim") if sight.kind == "claim" else "release"
        if sight.kind in ("claim", "release"):
            yield Operation(
                task=sight.task,
                owner=sight.owner,
                kind=kind,
                ok=True,
                fence=sight.fence,
                start=sight.start_ns,
                end=sight.end_ns,
            )


def _end_by_death(death: Death) -> Operation:
    """From its death on, whoever ends the claim of a dead agent is right."""
    return Operation(
        task=death.task,
        owner=death.owner,
        kind="sweep",
        ok=True,
        fence=death.fence,
        start=death.at_ns,
        end=death.at_ns,
    )


def _first_overlap(works: Sequence[Work], scopes: Mapping[str, Sequence[str]]) -> str | None:
    ordered = sorted(works, key=lambda work: work.begin_ns)
    for index, one in enumerate(ordered):
        for other in ordered[index + 1 :]:
            if other.begin_ns >= one.end_ns:
                break
            if one.task == other.task or _meet(scopes.get(one.task, ()), scopes.get(other.task, ())):
                return f"{one.task} by {one.owner} and {other.task} by {other.owner}"
    return None


def _meet(one: Sequence[str], other: Sequence[str]) -> bool:
    return any(overlap(path, theirs) for path in one for theirs in other)

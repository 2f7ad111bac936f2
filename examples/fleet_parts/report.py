"""The end of the demo: the proof line by line, the numbers, the picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from examples.fleet_parts import proof
from examples.fleet_parts.orchestrator import Outcome
from examples.fleet_parts.proof import Check
from sharedstate.overview.picture import picture_of
from sharedstate.overview.timeline import Timeline, timeline_of


def print_report(outcome: Outcome, *, console: Console, svg: Path, trees_left: int) -> int:
    """Print the proof and the numbers, draw the picture; 0 when every claim of the proof holds, else 1."""
    timeline = timeline_of(outcome.entries)
    checks = [*_checks(outcome, timeline), _tidy_check(outcome, trees_left)]
    console.print(Text("\nProof", style="bold"))
    for check in checks:
        mark, look = ("ok    ", "green") if check.holds else ("FAILED", "bold red")
        console.print(
            Text.assemble("  ", (mark, look), f" {check.claim}", (f"  ({check.detail})", "dim")), soft_wrap=True
        )
    for line in _surprises(outcome):
        console.print(Text(line), soft_wrap=True)
    console.print(Text("\nNumbers", style="bold"))
    for line in _numbers(outcome, timeline):
        console.print(Text(f"  {line}"), soft_wrap=True)
    svg.parent.mkdir(parents=True, exist_ok=True)
    svg.write_text(picture_of(timeline, title="A fleet at work: who held what, and when"), encoding="utf-8")
    console.print(Text(f"\nPicture: {svg}"), soft_wrap=True)
    holds = all(check.holds for check in checks)
    verdict = "Verdict: every claim of the proof holds" if holds else "Verdict: THE PROOF FAILED"
    console.print(Text(verdict, style="bold green" if holds else "bold red"))
    return 0 if holds else 1


def _checks(outcome: Outcome, timeline: Timeline) -> Iterator[Check]:
    tasks = outcome.plan.tasks
    yield from proof.journal_checks(outcome.entries)
    yield from proof.witness_checks(outcome.sights, tasks, outcome.deaths)
    yield proof.agreement_check(outcome.entries, outcome.sights)
    for death in outcome.deaths:
        yield proof.recovery_check(timeline, death)
    if outcome.options.kill and not outcome.deaths:
        yield Check(claim="one agent was killed in mid-task", holds=False, detail="none was caught at work")
    for task in tasks:
        if task.expect == "failed":
            attempts, retries_max = outcome.attempts[task.id], outcome.plan.retries_max
            yield proof.exhausted_check(task, attempts=attempts, retries_max=retries_max)
    yield from proof.ending_checks(tasks, outcome.endings, attempts=outcome.attempts)
    bad = {name: code for name, code in outcome.exit_codes.items() if code}
    told = ", ".join(f"{name}: exit code {code}" for name, code in bad.items()) or f"{len(outcome.exit_codes)} agents"
    yield Check(claim="every other agent ended by itself", holds=not bad and outcome.in_time, detail=told)


def _tidy_check(outcome: Outcome, trees_left: int) -> Check:
    detail = f"{outcome.processes_left} processes, {trees_left} worktrees"
    return Check(claim="nothing is left behind", holds=not outcome.processes_left and not trees_left, detail=detail)


def _surprises(outcome: Outcome) -> Iterator[str]:
    """The last words of every task that ended otherwise than expected."""
    for task in outcome.plan.tasks:
        if outcome.endings[task.id] != task.expect and outcome.errors.get(task.id):
            yield f"\n{task.id}: {outcome.errors[task.id]}"


def _numbers(outcome: Outcome, timeline: Timeline) -> Iterator[str]:
    latencies = proof.latencies_ms(outcome.sights)
    attempts = sum(outcome.attempts.values())
    takeovers = timeline.count("taken_over")
    conflicts = sum(note.kind == "conflict" for note in timeline.notes)
    failed, swept = timeline.count("failed"), timeline.count("swept")
    yield f"tasks {len(outcome.plan.tasks)}, attempts {attempts}, failed attempts {failed}"
    yield f"takeovers {takeovers}, ended by the sweep {swept}, claims taken back for their scope {conflicts}"
    yield (
        f"claim latency p50 {proof.percentile(latencies, 0.5):.1f} ms, p99 {proof.percentile(latencies, 0.99):.1f} ms"
        f" ({len(latencies)} claims, durable, with scopes, under load)"
    )
    yield f"elapsed {outcome.elapsed_s:.1f} s with {outcome.options.agents} agents"

"""The proof of the demo refuses what it must refuse: every planted lie makes one of its claims fail."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from examples.fleet_parts.orchestrator import Options, Outcome
from examples.fleet_parts.own_list import own_tasks
from examples.fleet_parts.plan import Plan, Sight
from examples.fleet_parts.proof import Death, journal_checks, latencies_ms, percentile, recovery_check, witness_checks
from examples.fleet_parts.report import print_report
from examples.fleet_parts.tasklist import Task
from sharedstate.overview.timeline import timeline_of
from sharedstate.store import Entry

TASK = Task(id="T-1", commands=(("true",),))


def entries(*events: dict[str, Any]) -> tuple[Entry, ...]:
    return tuple(
        Entry(sequence=n, at_ms=n * 1000, value={"task": "T-1", **event}, record=f"tasks/T-1@{n}")
        for n, event in enumerate(events, 1)
    )


def claimed(owner: str, fence: int) -> dict[str, Any]:
    return {"type": "claimed", "owner": owner, "fence": fence, "attempt": fence, "status": "claimed"}


def released(owner: str, fence: int) -> dict[str, Any]:
    return {"type": "released", "owner": owner, "fence": fence, "status": "complete"}


GOOD = entries(claimed("w/a", 1), released("w/a", 1))
DOUBLE = entries(claimed("w/a", 1), claimed("w/b", 2), released("w/a", 1), released("w/b", 2))


def outcome(journal: tuple[Entry, ...], **changes: Any) -> Outcome:
    plan = Plan(root="", folder="", repository="", commit="", ttl_ms=6000, retries_max=3, tasks=(TASK,))
    known: dict[str, Any] = {
        "plan": plan,
        "options": Options(agents=2, kill=False, deadline_s=100),
        "entries": journal,
        "sights": (),
        "deaths": (),
        "endings": {"T-1": "complete"},
        "attempts": {"T-1": 1},
        "errors": {"T-1": "the page is missing"},
        "exit_codes": {"agent-1": 0},
        "processes_left": 0,
        "elapsed_s": 1.0,
        "in_time": True,
    }
    return Outcome(**{**known, **changes})


def verdict(found: Outcome, folder: Path, *, trees_left: int = 0) -> tuple[int, str]:
    out = io.StringIO()
    code = print_report(found, console=Console(file=out, width=200), svg=folder / "p.svg", trees_left=trees_left)
    return code, out.getvalue()


def test_a_good_journal_is_accepted(tmp_path: Path) -> None:
    code, text = verdict(outcome(GOOD), tmp_path)
    assert code == 0
    assert "every claim of the proof holds" in text


def test_a_planted_double_claim_is_refused(tmp_path: Path) -> None:
    code, text = verdict(outcome(DOUBLE), tmp_path)
    assert code == 1
    assert "FAILED no two owners ever held a task at once" in text
    assert "claimed by w/b while w/a holds it" in text
    assert "TWO OWNERS AT ONCE" in (tmp_path / "p.svg").read_text(encoding="utf-8")


def test_a_fence_that_goes_back_is_refused() -> None:
    checks = journal_checks(entries(claimed("w/a", 5), released("w/a", 5), claimed("w/b", 2)))
    assert [check.holds for check in checks] == [True, False]


@pytest.mark.parametrize(
    "changes",
    [
        {"endings": {"T-1": "failed"}},
        {"exit_codes": {"agent-1": -6}},
        {"processes_left": 1},
        {"in_time": False},
        {"options": Options(agents=2, kill=True, deadline_s=100)},
        {"sights": (Sight(kind="claim", agent="a", owner="w/x", task="T-1", fence=9, start_ns=0, end_ns=1),)},
        {"deaths": (Death(owner="w/a", task="T-1", fence=1, at_ns=0),)},
    ],
    ids=["ending", "exit-code", "process-left", "late", "nobody-killed", "claim-not-in-journal", "not-recovered"],
)
def test_each_broken_claim_makes_the_verdict_fail(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert verdict(outcome(GOOD, **changes), tmp_path)[0] == 1


def test_a_task_that_ends_otherwise_than_expected_says_why(tmp_path: Path) -> None:
    assert "T-1: the page is missing" in verdict(outcome(GOOD, endings={"T-1": "failed"}), tmp_path)[1]
    assert "the page is missing" not in verdict(outcome(GOOD), tmp_path)[1]


def test_a_worktree_left_behind_makes_the_verdict_fail(tmp_path: Path) -> None:
    assert verdict(outcome(GOOD), tmp_path, trees_left=1)[0] == 1


def sight(kind: str, owner: str, fence: int, start_ns: int, *, task: str = "T-1", word: str = "") -> Sight:
    return Sight(
        kind=kind,
        agent=owner,
        owner=owner,
        task=task,
        fence=fence,
        start_ns=start_ns,
        end_ns=0 if kind == "work" else start_ns + 1,
        word=word,
    )


def test_what_the_agents_saw_is_checked_without_believing_the_journal() -> None:
    seen = [sight("claim", "w/a", 1, 10, word="claimed"), sight("work", "w/a", 1, 20), sight("release", "w/a", 1, 90)]
    assert all(check.holds for check in witness_checks(seen, [TASK], []))
    doubled = [*seen, sight("claim", "w/b", 2, 30, word="claimed"), sight("work", "w/b", 2, 40)]
    assert [check.holds for check in witness_checks(doubled, [TASK], [])] == [False, False]


def test_work_on_overlapping_scopes_at_once_is_found() -> None:
    tasks = [Task(id="whole", scope=("src",)), Task(id="part", scope=("src/a.py",)), Task(id="else", scope=("docs",))]
    seen = [
        sight("work", "w/a", 1, 10, task="whole"),
        sight("work", "w/c", 1, 11, task="else"),
        sight("release", "w/c", 1, 80, task="else"),
        sight("work", "w/b", 1, 30, task="part"),
        sight("release", "w/a", 1, 90, task="whole"),
    ]
    check = witness_checks(seen, tasks, [])[1]
    assert (check.holds, check.detail) == (False, "whole by w/a and part by w/b")


def test_the_death_of_an_agent_ends_its_work() -> None:
    death = Death(owner="w/a", task="T-1", fence=1, at_ns=50)
    seen = [
        sight("claim", "w/a", 1, 10, word="claimed"),
        sight("work", "w/a", 1, 20),
        sight("claim", "w/b", 2, 60, word="claimed"),
        sight("work", "w/b", 2, 70),
        sight("release", "w/b", 2, 90),
    ]
    assert all(check.holds for check in witness_checks(seen, [TASK], [death]))
    early = [*seen[:2], sight("claim", "w/b", 2, 30, word="claimed"), sight("work", "w/b", 2, 40), seen[-1]]
    assert not all(check.holds for check in witness_checks(early, [TASK], [death]))


def test_a_recovery_needs_another_owner_and_a_higher_fence() -> None:
    swept = {"type": "swept", "owner": "w/a", "fence": 1, "reason": "owner_dead"}
    death = Death(owner="w/a", task="T-1", fence=1, at_ns=0)
    assert recovery_check(timeline_of(entries(claimed("w/a", 1), swept, claimed("w/b", 2))), death).holds
    assert not recovery_check(timeline_of(entries(claimed("w/a", 1), swept, claimed("w/a", 2))), death).holds
    assert not recovery_check(timeline_of(entries(claimed("w/a", 1), swept)), death).holds


def test_percentiles_are_values_that_were_measured() -> None:
    sights = [sight("claim", "w/a", n, 0) for n in range(3)]
    assert latencies_ms(sights) == [1e-6] * 3
    assert (percentile([1.0, 2.0, 3.0, 4.0], 0.5), percentile([1.0, 2.0], 0.99), percentile([], 0.5)) == (3.0, 2.0, 0.0)


def test_the_own_list_has_a_task_for_every_module_and_its_tests() -> None:
    paths = (
        "README.md",
        "sharedstate/__init__.py",
        "sharedstate/clock.py",
        "sharedstate/tasks/__init__.py",
        "sharedstate/tasks/policy.py",
        "tests/unit/test_clock.py",
        "tests/unit/tasks/test_policy.py",
        "tests/unit/claims/test_policy.py",
    )
    tasks = {task.id: task for task in own_tasks(paths)}
    assert {"sharedstate.clock", "sharedstate.tasks.policy", "format sharedstate/tasks"} <= set(tasks)
    assert "sharedstate.tasks.__init__" not in tasks
    assert tasks["sharedstate.tasks.policy"].commands[-1][-1] == "tests/unit/tasks/test_policy.py"
    assert tasks["sharedstate.clock"].commands[-1][-1] == "tests/unit/test_clock.py"
    assert sorted(task.expect for task in tasks.values() if task.expect != "complete") == ["failed", "ignored"]

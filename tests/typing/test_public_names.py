"""What type checkers are told about the public names. Checked by mypy and pyright with everything else, and it runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import pytest

import sharedstate
from sharedstate import (
    Claimed,
    ClaimMany,
    Hold,
    Kept,
    Lost,
    NothingEligible,
    Refused,
    Released,
    RetryCheck,
    SharedState,
    Store,
    SweepReport,
    TaskView,
    Unverifiable,
)
from sharedstate.store import Entry, Unreadable
from sharedstate.tasks.outcomes import Changed, Holder, Swept


def results_of_claims(state: SharedState) -> None:
    """Every verb says with a union of values what may come back; a match over it needs no default."""
    claims = state.claims
    answer = claims.claim("T-1", ttl_ms=60_000, scope=["src"], meta={"a": "b"})
    assert_type(answer, Claimed | Refused)
    if isinstance(answer, Claimed):
        assert_type(answer, Claimed)
        assert_type(answer.token, str)
        assert_type(answer.fence, int)
        assert_type(answer.previous_owner, str | None)
    else:
        assert_type(answer, Refused)
        assert_type(answer.holder, Holder | None)
    assert_type(claims.renew("T-1"), Kept | Lost | Unverifiable)
    assert_type(claims.release("T-1", status="failed", error="x"), Released | Lost)
    assert_type(claims.claim_next(["T-2"]), Claimed | NothingEligible)
    assert_type(claims.claim_many(["T-2"], slots=2), ClaimMany)
    assert_type(claims.hold("T-3"), Hold)
    report = claims.sweep()
    assert_type(report, SweepReport)
    assert_type(report.swept, tuple[Swept, ...])
    assert_type(report.unreadable, tuple[Unreadable, ...])


def results_of_tasks(state: SharedState) -> None:
    """The shared ledger."""
    tasks = state.tasks
    assert_type(tasks.get("T-1"), TaskView | None)
    assert_type(tasks.list(status="claimed"), Iterator[TaskView | Unreadable])
    assert_type(tasks.retry_check("T-1"), RetryCheck)
    assert_type(tasks.ignore("T-1", reason="x", by="y"), Changed)
    assert_type(tasks.reopen("T-1", by="y"), Changed)
    assert_type(state.events(after=3), Iterator[Entry])
    assert_type(state.store, Store)


def word_of(answer: Kept | Lost | Unverifiable) -> str:
    """Exhaustive without a default: a checker would complain about a missing case."""
    match answer:
        case Kept():
            return "kept"
        case Lost(reason=reason):
            return reason
        case Unverifiable():
            return "unverifiable"


def test_what_the_checkers_were_told_also_runs(tmp_path: Path) -> None:
    with SharedState.open(tmp_path / "root", owner="ws/a") as state:
        results_of_claims(state)
        results_of_tasks(state)
        assert word_of(state.claims.renew("T-1")) == "task_not_found"


def test_the_lazy_names_are_those_that_checkers_see() -> None:
    for name in sharedstate.__all__:
        assert getattr(sharedstate, name) is not None
    assert set(sharedstate.__all__) <= set(dir(sharedstate))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = sharedstate.Nonsense


WRONG = {
    "assignment to a frozen value": "answer.fence = 2",
    "positional values": "Released('T-1', 'a', 1, 'complete')",
    "unknown field": "Released(task='T-1', owner='a', fence=1, status='complete', colour='blue')",
    "an unchecked union": "state.claims.claim('T-1').token",
    "a positional option": "state.claims.claim('T-1', 'owner')",
    "text as a ttl": "state.claims.claim('T-1', ttl_ms='5m')",
}


@pytest.mark.slow
def test_a_checker_refuses_what_would_fail_at_run_time(tmp_path: Path) -> None:
    lines = ["from sharedstate import Released, SharedState", "state: SharedState", "answer: Released"]
    program = tmp_path / "wrong.py"
    program.write_text("\n".join([*lines, *WRONG.values()]) + "\n")
    words = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--cache-dir", str(tmp_path), str(program)]
    told = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]).stdout
    for number, bug in enumerate(WRONG, start=len(lines) + 1):
        assert f"wrong.py:{number}: error" in told, f"{bug} was not found:\n{told}"

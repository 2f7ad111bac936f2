"""Whatever claims, heartbeats and pauses come, two claims that could both be renewed never overlap."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sharedstate.claims.scopes import check_scope, overlap
from sharedstate.errors import InvalidInput
from sharedstate.tasks.outcomes import Claimed, Refused
from sharedstate.tasks.service import TaskView
from tests.unit.claims.site import TTL_S, Site

TASKS = ("T-1", "T-2", "T-3", "T-4")
PATHS = (".", "a", "a/x", "a/x/1", "a/y", "ab", "b", "b/x", "c")
tasks = st.sampled_from(TASKS)
scopes = st.lists(st.sampled_from(PATHS), max_size=3, unique=True)


class ScopedClaims(RuleBasedStateMachine):
    """Each task has an owner on a machine of its own."""

    @initialize()
    def open(self) -> None:
        self.site = Site()
        self.claims = {task: self.site.machine(f"ws-{task}").claims(max_retries=1_000) for task in TASKS}

    @rule(task=tasks, scope=scopes)
    def claim(self, task: str, scope: list[str]) -> None:
        before = self.fresh(but=task)
        answer = self.claims[task].claim(task, scope=scope)
        met = {other for other, paths in before.items() if meets(paths, scope)}
        if isinstance(answer, Refused) and answer.reason == "scope_conflict":
            assert answer.conflict in met, "what is named is in the way"
        elif isinstance(answer, Claimed) and scope:
            assert not met

    @rule(first=tasks, second=tasks, scope=scopes)
    def two_claims_race(self, first: str, second: str, scope: list[str]) -> None:
        if first != second:
            self.site.shared.before["tasks"] = lambda: self.claims[second].claim(second, scope=scope)
            self.claims[first].claim(first, scope=scope)
            self.site.shared.before.clear()

    @rule(task=tasks)
    def renew(self, task: str) -> None:
        self.claims[task].renew(task)

    @rule(task=tasks)
    def release(self, task: str) -> None:
        self.claims[task].release(task, status="abandoned")

    @rule(seconds=st.sampled_from((1, TTL_S, TTL_S + 1)))
    def time_passes(self, seconds: int) -> None:
        self.site.pass_s(seconds)

    @rule()
    def sweep(self) -> None:
        self.claims[TASKS[0]].sweep()

    @invariant()
    def no_two_claims_that_could_be_renewed_overlap(self) -> None:
        held = [(task, paths) for task, paths in self.live().items() if paths]
        for index, (one, paths) in enumerate(held):
            for other, others in held[index + 1 :]:
                assert not meets(paths, others), (one, other)

    def live(self) -> dict[str, tuple[str, ...]]:
        views = [view for view in self.claims[TASKS[0]].tasks.list(status="claimed") if isinstance(view, TaskView)]
        return {view.state.task: view.state.lease.scope for view in views if view.state.lease is not None}

    def fresh(self, *, but: str) -> dict[str, tuple[str, ...]]:
        views = [view for view in self.claims[but].tasks.list(stale=False) if isinstance(view, TaskView)]
        live = self.live()
        return {view.state.task: live[view.state.task] for view in views if view.state.task in live.keys() - {but}}


def meets(one: tuple[str, ...] | list[str], other: tuple[str, ...] | list[str]) -> bool:
    """By sets of all parents, which is not how the library does it."""
    ours, theirs = set(one), set(other)
    return any(_lines(path) & theirs for path in ours) or any(_lines(path) & ours for path in theirs)


def _lines(path: str) -> set[str]:
    parts = path.split("/")
    return {".", *("/".join(parts[:count]) for count in range(1, len(parts) + 1))}


TestScopedClaims = ScopedClaims.TestCase
TestScopedClaims.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@given(st.text(max_size=40) | st.lists(st.sampled_from(("a", "..", ".", "", "b c", "é")), max_size=6).map("/".join))
def test_a_path_is_refused_or_has_one_spelling_that_stays_inside(path: str) -> None:
    try:
        (canonical,) = check_scope([path])
    except InvalidInput:
        return
    assert check_scope([canonical]) == (canonical,)
    assert not canonical.startswith("/")
    assert ".." not in canonical.split("/")
    assert overlap(canonical, canonical)
    assert overlap(canonical, ".")

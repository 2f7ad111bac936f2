"""Any story of several owners, clocks, restarts and persons ends as the tiny model says."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sharedstate.claims.service import Claims
from sharedstate.ids import digest_of
from sharedstate.tasks.outcomes import Claimed, Kept, Released
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.history import violations_in_journal
from tests.property.life_cycle_model import RETRIES_MAX, TTL_MS, ModelTask
from tests.unit.claims.site import Machine, Site, dump

OWNERS = ("ws0/chief", "ws1/a", "ws2/b")
TASKS = ("T-1", "T-2")
owners = st.sampled_from(OWNERS)
tasks = st.sampled_from(TASKS)
endings = st.sampled_from(("complete", "failed", "abandoned"))


class Agent:
    """One owner: its machine, its running process, and the fences of which it holds the token."""

    def __init__(self, site: Site, owner: str) -> None:
        self.site = site
        self.owner = owner
        self.machine: Machine = site.machine(owner.partition("/")[0])
        self.tokens: dict[str, tuple[int, str]] = {}  # the fence and the secret
        self.start()

    def start(self) -> None:
        """A new process."""
        options: dict[str, Any] = {"coordinators": ["ws0/chief"], "max_retries": RETRIES_MAX}
        options |= {"stale_threshold_ms": TTL_MS, "heartbeat_interval_ms": TTL_MS // 3}
        state = self.machine.state(self.owner.partition("/")[2], **options)
        assert isinstance(state.host, FakeHost)
        self.host = state.host
        self.claims: Claims = state.claims

    @property
    def pid(self) -> int:
        return self.host.own.pid

    def has_token(self, task: str, fence: int) -> bool:
        """Whether it knows the secret of this very fence."""
        return task in self.tokens and self.tokens[task][0] == fence

    def given(self, task: str, *, by_hand: bool) -> str | None:
        """The token that it hands over itself, instead of leaving that to the ledger."""
        return self.tokens[task][1] if by_hand and task in self.tokens else None


class LifeCycle(RuleBasedStateMachine):
    """Claims of three owners over two tasks."""

    @initialize()
    def open(self) -> None:
        self.site = Site()
        self.agents = {owner: Agent(self.site, owner) for owner in OWNERS}
        self.model = {task: ModelTask() for task in TASKS}
        self.dead: frozenset[int] = frozenset()
        self.granted: set[str] = set()
        self.now_ms = 0

    # What owners do

    @rule(owner=owners, task=tasks, bind=st.booleans(), force=st.booleans(), reopen=st.booleans(), urgent=st.booleans())
    def claim(self, owner: str, task: str, bind: bool, force: bool, reopen: bool, urgent: bool) -> None:
        agent, model = self.agents[owner], self.model[task]
        expected = model.claim(
            owner,
            has_token=agent.has_token(task, model.fence),
            process=agent.pid if bind else None,
            dead=self.dead,
            force=force,
            reopen=reopen,
            urgent=urgent,
            coordinator=owner == "ws0/chief",
            now_ms=self.now_ms,
        )
        answer = agent.claims.claim(
            task, bind=bind, force_reason="urgent" if force else None, reopen=reopen, priority=0 if urgent else None
        )
        if isinstance(answer, Claimed):
            assert (answer.outcome, answer.fence) == (expected, model.fence)
            agent.tokens[task] = (answer.fence, answer.token)
            self.granted.add(answer.token)
        else:
            assert answer.reason == expected

    @rule(owner=owners, task=tasks)
    def a_twin_on_a_new_machine_claims(self, owner: str, task: str) -> None:
        """The same owner without the token: what the first one knows is worth nothing from then on."""
        twin, model = Agent(self.site, owner), self.model[task]
        expected = model.claim(
            owner,
            has_token=False,
            process=None,
            dead=self.dead,
            force=False,
            reopen=False,
            urgent=False,
            coordinator=False,
            now_ms=self.now_ms,
        )
        answer = twin.claims.claim(task)
        told = answer.outcome if isinstance(answer, Claimed) else answer.reason
        assert told == expected

    @rule(owner=owners, task=tasks, by_hand=st.booleans())
    def renew(self, owner: str, task: str, by_hand: bool) -> None:
        agent, model = self.agents[owner], self.model[task]
        kept = model.renew(owner, has_token=agent.has_token(task, model.fence), now_ms=self.now_ms)
        answer = agent.claims.renew(task, token=agent.given(task, by_hand=by_hand))
        assert isinstance(answer, Kept) is kept

    @rule(owner=owners, task=tasks, status=endings, by_hand=st.booleans())
    def release(self, owner: str, task: str, status: str, by_hand: bool) -> None:
        self.end(owner, task, status, by_hand=by_hand)

    @rule(task=tasks, first=endings, second=endings)
    def the_holder_releases_twice(self, task: str, first: str, second: str) -> None:
        if self.model[task].status == "claimed":
            self.end(self.model[task].owner, task, first, by_hand=True)
            self.end(self.model[task].owner, task, second, by_hand=True)

    def end(self, owner: str, task: str, status: str, *, by_hand: bool) -> None:
        agent, model = self.agents[owner], self.model[task]
        token = agent.given(task, by_hand=by_hand)
        known = agent.has_token(task, model.fence)
        ended = model.release(owner, status, has_token=known, wrong_token=token is not None and not known)
        assert isinstance(agent.claims.release(task, status=status, token=token), Released) is ended

    @rule(owner=owners, loses_its_ledger=st.booleans())
    def restart(self, owner: str, loses_its_ledger: bool) -> None:
        agent = self.agents[owner]
        self.site.host.kill(agent.host.own)
        self.dead |= {agent.pid}
        if loses_its_ledger:
            agent.machine = self.site.machine(agent.machine.name)
            agent.tokens.clear()
        agent.start()

    # What happens to them

    @rule(ms=st.sampled_from((1, 1_000, TTL_MS - 1, TTL_MS, TTL_MS + 1)))
    def time_passes(self, ms: int) -> None:
        self.site.pass_s(ms / 1000)
        self.now_ms += ms

    @rule(ms=st.sampled_from((1, TTL_MS)))
    def the_machine_sleeps(self, ms: int) -> None:
        self.site.host.suspend(ms / 1000)
        self.now_ms += ms

    @rule(seconds=st.sampled_from((-86_400, -1, 1, 86_400)))
    def somebody_steps_the_wall_clock(self, seconds: int) -> None:
        self.site.host.step_wall(seconds)

    # What persons and schedulers do

    @rule(owner=owners)
    def sweep(self, owner: str) -> None:
        report = self.agents[owner].claims.sweep()
        expected = {task for task, model in self.model.items() if model.sweep(self.now_ms, dead=self.dead)}
        assert {swept.task for swept in report.swept} == expected

    @rule(task=tasks)
    def ignore_or_not(self, task: str) -> None:
        tasks, model = self.agents[OWNERS[0]].claims.tasks, self.model[task]
        change = tasks.unignore(task, by="person") if model.ignored else tasks.ignore(task, reason="x", by="person")
        assert change.changed
        model.ignored = not model.ignored

    @rule(task=tasks)
    def reopen(self, task: str) -> None:
        changed = self.agents[OWNERS[0]].claims.tasks.reopen(task, by="person").changed
        assert changed is self.model[task].reopen()

    @rule(task=tasks)
    def archive(self, task: str) -> None:
        self.agents[OWNERS[0]].claims.tasks.archive(task, older_than_ms=0)

    # What always holds

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        for task, model in self.model.items():
            view = self.agents[OWNERS[0]].claims.tasks.get(task)
            if view is None:
                assert model.fence == 0
                assert not model.ignored
                continue
            state = view.state
            told = (state.status, state.owner or "", state.fence, state.attempts, state.retries)
            owner = model.owner if model.status == "claimed" else ""
            assert told == (model.status, owner, model.fence, model.attempts, model.retries)
            assert (state.ignored is not None) == model.ignored

    @invariant()
    def the_journal_tells_the_same_story(self) -> None:
        entries = list(self.site.shared.read("events"))
        assert violations_in_journal(entries) == []
        for task in TASKS:
            own = [entry.value for entry in entries if entry.value["task"] == task and "attempt" in entry.value]
            if own:
                last, model = own[-1], self.model[task]
                told = (last["status"], last["fence"], last["attempt"], last["retries"])
                assert told == (model.status, model.fence, model.attempts, model.retries)

    def teardown(self) -> None:
        """Only owners know tokens; of each the others know no more than the fingerprint."""
        if not hasattr(self, "site"):
            return
        text = dump(self.site.shared)
        for token in self.granted:
            assert token not in text
            assert token != digest_of(token)


TestLifeCycle = LifeCycle.TestCase
TestLifeCycle.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)

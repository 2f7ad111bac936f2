"""A task rebuilt from its journal is the task that was, but a live attempt has ended and the fence has grown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sharedstate.ids import digest_of
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.model import load
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.restoration import restore
from sharedstate.tasks.service import TASKS, Tasks
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore

TASK = "T"
DIGEST = digest_of("one")
VERBS = ("claim", "renew", "fail", "complete", "sweep", "wait", "ignore", "unignore", "reopen", "force")


def act(tasks: Tasks, host: FakeHost, verb: str, owner: str) -> None:
    ask = ClaimAsk(task=TASK, owner=owner, digest_new=DIGEST, ttl_ms=60_000, scope=("src",))
    if verb == "claim":
        tasks.claim(ask)
    elif verb == "force":
        tasks.claim(ask.replace(force_reason="urgent"))
    elif verb == "renew":
        tasks.renew(TASK, owner=owner, digest=DIGEST)
    elif verb in ("fail", "complete"):
        status, error = ("failed", "why") if verb == "fail" else ("complete", None)
        tasks.release(TASK, owner=owner, digest=DIGEST, status=status, error=error)
    elif verb == "sweep":
        tasks.sweep(TASK)
    elif verb == "wait":
        host.advance(100)
    elif verb == "ignore":
        tasks.ignore(TASK, reason="broken", by="somebody")
    elif verb == "unignore":
        tasks.unignore(TASK, by="somebody")
    else:
        tasks.reopen(TASK, by="somebody")


@given(st.lists(st.tuples(st.sampled_from(VERBS), st.sampled_from(("a/1", "b/2"))), max_size=15))
def test_what_the_journal_tells_is_restored(sequence: list[tuple[str, str]]) -> None:
    host = FakeHost()
    store = MemoryStore(host)
    tasks = Tasks(store, host=host, rules=Rules(), sightings=Sightings(MemoryStore(host)))
    for verb, owner in sequence:
        act(tasks, host, verb, owner)
    found = store.get(TASKS, TASK)
    if found is None:
        return
    was = load(TASK, found.value)
    entries = list(store.read("events"))
    decision = restore(TASK, entries, record=f"{TASKS}/{TASK}", now=store.now(), fences=[], complete=True)
    assert isinstance(decision.write, dict)
    restored = load(TASK, decision.write)
    assert restored.fence == was.fence + 1
    assert restored.status == ("abandoned" if was.status == "claimed" else was.status)
    assert (restored.attempts, restored.retries, restored.ignored) == (was.attempts, was.retries, was.ignored)
    assert restored.history[:-1] == was.history[-99:]
    assert decision.live is None
    cut_short = restore(TASK, entries[:-1], record=f"{TASKS}/{TASK}", now=store.now(), fences=[], complete=True)
    assert cut_short.result.fence >= was.fence


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_a_fence_is_above_every_fence_seen_and_above_the_clock_when_nothing_is_known(one: int, other: int) -> None:
    now = FakeHost().now()
    decision = restore(TASK, [], record=f"{TASKS}/{TASK}", now=now, fences=[one, other], complete=True)
    assert decision.result.fence > max(one, other, now.at_ms // 1000)

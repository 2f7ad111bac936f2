"""Whatever is imported in whatever order among whatever happens here: fences grow, nothing local is overridden,
twice is once.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sharedstate.ids import digest_of
from sharedstate.store import Decision, Snapshot
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.model import STATUSES, TaskState, load
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.policy_import import CLAIMS, SHARED, TAKEN, Foreign, Imported, decide_import
from sharedstate.tasks.service import TASKS, Tasks
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.clock import WALL_MS_AT_START, FakeHost
from sharedstate.testing.memory import MemoryStore

OWNERS = ("a/1", "b/2")
TASK = "T"


def described(entry: Foreign) -> Foreign:
    return entry.replace(
        fingerprint=digest_of(repr(entry)),
        status="new" if entry.owner is None and entry.status == "claimed" else entry.status,
    )


entries = st.builds(
    Foreign,
    task=st.just(TASK),
    ledger=st.sampled_from((SHARED, SHARED, CLAIMS)),
    fingerprint=st.just(""),
    moment_ms=st.integers(0, 50).map(lambda step: step * 1000),
    status=st.sampled_from((*STATUSES, *["claimed"] * len(STATUSES))),  # the interesting half
    owner=st.sampled_from((None, *OWNERS)),
    digest=st.sampled_from((digest_of("one"), digest_of("two"), "")),
    seen_ms=st.sampled_from((0, WALL_MS_AT_START - 1000, WALL_MS_AT_START + 10**9)),
    ttl_ms=st.just(60_000),
    attempts=st.integers(0, 5),
    retries=st.integers(0, 5),
    ignore_reason=st.sampled_from((None, "why")),
).map(described)
steps = st.lists(
    st.one_of(
        entries,
        st.tuples(st.just("claim"), st.sampled_from(OWNERS)),
        st.tuples(st.just("renew"), st.sampled_from(OWNERS)),
        st.tuples(st.just("release"), st.sampled_from(OWNERS)),
        st.tuples(st.just("sweep"), st.just("")),
        st.tuples(st.just("ignore"), st.just("")),
    ),
    max_size=12,
)


class World:
    """One task over a memory store, and what is known of it: its fence, and whether anything happened here since an
    import.
    """

    def __init__(self) -> None:
        self.host = FakeHost()
        self.store = MemoryStore(self.host, reruns=1)
        self.tasks = Tasks(self.store, host=self.host, rules=Rules(), sightings=Sightings(MemoryStore(self.host)))
        self.touched = False

    def state(self) -> TaskState | None:
        found = self.store.get(TASKS, TASK)
        return None if found is None else load(TASK, found.value)

    def take(self, entry: Foreign) -> Imported:
        def decide(snapshot: Snapshot) -> Decision[Imported]:
            state = None if snapshot.value is None else load(TASK, snapshot.value)
            return decide_import(state, entry, snapshot.now, beat=snapshot.beat, skew_ms=5000)

        return self.store.transact(TASKS, TASK, decide)

    def act(self, verb: str, owner: str) -> None:
        before, digest = self.store.get(TASKS, TASK), digest_of("one")
        if verb == "claim":
            self.tasks.claim(ClaimAsk(task=TASK, owner=owner, digest_new=digest, digest_known=digest, ttl_ms=60_000))
        elif verb == "renew":
            self.tasks.renew(TASK, owner=owner, digest=digest)
        elif verb == "release":
            self.tasks.release(TASK, owner=owner, digest=digest, status="failed")
        elif verb == "sweep":
            self.tasks.sweep(TASK)
        else:
            self.tasks.ignore(TASK, reason="why", by="somebody")
        self.touched = self.touched or self.store.get(TASKS, TASK) != before


@settings(max_examples=400)
@given(steps)
def test_imports_never_lower_a_fence_nor_override_what_happened_here(sequence: list[Foreign | tuple[str, str]]) -> None:
    world, fence = World(), 0
    for step in sequence:
        before = world.state()
        if isinstance(step, tuple):
            world.act(*step)
        else:
            answer = world.take(step)
            assert not (world.touched and answer.outcome == TAKEN)
            if answer.outcome != TAKEN:
                assert world.state() == before
            _check_new_ownership_has_a_new_fence(before, world.state())
        after = world.state()
        assert (after.fence if after else 0) >= fence
        fence = after.fence if after else 0


def _check_new_ownership_has_a_new_fence(before: TaskState | None, after: TaskState | None) -> None:
    if after is None or after.live is None or after.lease is None or before is None or before.lease is None:
        return
    if (before.lease.owner, before.lease.digest) != (after.lease.owner, after.lease.digest):
        assert after.fence > before.fence


@given(st.lists(entries, max_size=6))
def test_importing_the_same_entries_again_changes_nothing_after_they_settled(batch: list[Foreign]) -> None:
    world = World()
    batch = sorted(batch, key=lambda entry: (entry.ledger == CLAIMS, entry.moment_ms))
    for entry in batch:
        world.take(entry)
    settled = world.store.get(TASKS, TASK)
    for entry in batch:
        world.take(entry)
    assert world.store.get(TASKS, TASK) == settled


@given(entries)
def test_an_import_starts_no_heartbeat(entry: Foreign) -> None:
    world = World()
    world.take(entry)
    state, found = world.state(), world.store.get(TASKS, TASK)
    if state is not None and found is not None and found.beat is not None:
        assert found.beat.fence != state.fence

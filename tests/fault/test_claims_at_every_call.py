"""What a person calls, at every file call it makes: killed before and after, torn, or failing. Nothing stays doubled,
lost or blocked, although a claim touches several files: task, scopes, journal, this machine's ledger, archive."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sharedstate import Claimed, Refused, SharedState
from sharedstate.claims.model import SweepReport
from sharedstate.claims.scopes import overlap
from sharedstate.errors import DurabilityUnknown, StoreError
from sharedstate.store import Unreadable
from sharedstate.tasks.service import TaskView
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.faults import Crashed, FaultHost, Plan, crash_at, fail_call, shorten_call

DAY_S = 86_400
TOKEN = "a-token-of-the-caller"
Operation = Callable[[SharedState], object]


def claims_with_scope(state: SharedState) -> object:
    return state.claims.claim("new", scope=["src/new"], token=TOKEN)


def claims_again(state: SharedState) -> object:
    return state.claims.claim("held", token=TOKEN)


def takes_over(state: SharedState) -> object:
    return state.claims.claim("stale", scope=["src/stale"])


def renews(state: SharedState) -> object:
    return state.claims.renew("held")


def releases(state: SharedState) -> object:
    return state.claims.release("held", status="failed", error="boom")


def sweeps(state: SharedState) -> object:
    return state.claims.sweep()


def brings_back(state: SharedState) -> object:
    return state.claims.claim("archived", reopen=True)


def ignores(state: SharedState) -> object:
    return state.tasks.ignore("held", reason="wait", by="person")


def reopens(state: SharedState) -> object:
    return state.tasks.reopen("ended", by="person")


OPERATIONS: tuple[Operation, ...] = (
    claims_with_scope,
    claims_again,
    takes_over,
    renews,
    releases,
    sweeps,
    brings_back,
    ignores,
    reopens,
)
each_operation = pytest.mark.parametrize("operation", OPERATIONS)
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Every play warns of what is late."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


class Stage:
    """A state with a task in every condition; each play happens on a fresh copy of it, forty days after its making."""

    def __init__(self, folder: Path, operation: Operation) -> None:
        self.operation = operation
        self._folder = folder
        self._played = 0
        self._origin = folder / "origin"
        host = FakeHost()
        with self._open(self._origin, host) as state:
            for task in ("archived", "ended"):
                assert isinstance(state.claims.claim(task), Claimed)
                state.claims.release(task)
            state.claims.tasks.archive("archived", older_than_ms=-1)
            assert isinstance(state.claims.claim("stale", owner="b"), Claimed)
            host.advance(40 * DAY_S)
            assert isinstance(state.claims.claim("held", scope=["src/held"]), Claimed)
        self.now = host
        self.before = self._seen(self._origin)
        self._run(self._copy(), FaultHost(self.now))
        self.after = self._seen(self._last())

    def calls(self) -> list[str]:
        """The file calls of the operation in a fresh process."""
        host = FaultHost(self.now)
        with self._open(self._copy(), host) as state:
            self.operation(state)
            return [call.operation for call in host.calls]

    def play(self, plan: Plan) -> str:
        """One play; what the caller was told, after all checks."""
        root = self._copy()
        told = self._run(root, FaultHost(self.now, plan))
        seen = self._seen(root)
        if told == "done":
            assert {task: view[:3] for task, view in seen.items()} == {t: v[:3] for t, v in self.after.items()}
        if told == "refused":
            for task, (_, owner, _) in seen.items():
                # None: a stale holder was replaced by who was then told of an error, and holds nothing.
                assert owner in (self.before.get(task, ("", None, 0))[1], None), f"{task}: an error, and yet held"
        for task, (_, _, fence) in self.before.items():
            assert seen[task][2] >= fence, "a fence went back"
        self._goes_on(root)
        return told

    def _run(self, root: Path, host: FaultHost) -> str:
        told = "done"
        with self._open(root, host) as state:
            try:
                answer = self.operation(state)
                if isinstance(answer, SweepReport) and answer.unreadable:
                    told = "refused"  # in part: it names the record that it could not read
            except Crashed:
                told = "dead"
            except DurabilityUnknown:
                told = "unknown"
            except StoreError:
                told = "refused"
            told = "dead" if host.crashed else told
            host.plan = None
        return told

    def _goes_on(self, root: Path) -> None:
        """The operation succeeds when called again, rivals get nothing of what is held, and the books are complete."""
        with self._open(root, self.now) as state, self._open(root, self.now, owner="rival") as rival:
            rivals = [
                rival.claims.claim("other", scope=["src/new/deeper"]),
                rival.claims.claim("another", scope=["src/held/x", "src/stale/x"]),
            ]
            again = [self.operation(state), self.operation(state)]
            # Who died between its claim and its scope, and was overtaken by a rival's, is told so: it has nothing.
            lost = {answer.task for answer in again if isinstance(answer, Refused) and answer.conflict is not None}
            live = [view for view in views(state) if view.state.status == "claimed"]
            indexed = {view.state.task for view in state.tasks.list(status="claimed") if isinstance(view, TaskView)}
            assert {view.state.task for view in live} == indexed
            for view in (view for view in live if not view.stale):
                assert not isinstance(state.claims.claim(view.state.task, owner="third"), Claimed)
            scopes = [(v.state.task, path) for v in live if v.state.lease for path in v.state.lease.scope]
            scopes = [(task, path) for task, path in scopes if task not in lost]
            for one, path in scopes:
                for other, others in scopes:
                    assert one == other or not overlap(path, others), f"{one} and {other} overlap; {rivals}"
            for task in ("new", "held", "stale", "archived"):
                fences = [
                    entry.value["fence"]
                    for entry in state.events()
                    if entry.value["task"] == task and entry.value["type"] in ("claimed", "reclaimed", "taken_over")
                ]
                assert fences == sorted(set(fences)), f"fences of {task} in the journal: {fences}"
            state.claims.sweep()

    def _seen(self, root: Path) -> dict[str, tuple[str, str | None, int]]:
        with self._open(root, self.now) as state:
            return {view.state.task: (view.state.status, view.state.owner, view.state.fence) for view in views(state)}

    def _open(self, root: Path, host: FakeHost | FaultHost, *, owner: str = "a") -> SharedState:
        return SharedState.open(root, owner=owner, host=host, folder=self._folder, lock_timeout_ms=2_000)

    def _copy(self) -> Path:
        self._played += 1
        shutil.copytree(self._origin, self._folder / str(self._played))
        return self._last()

    def _last(self) -> Path:
        return self._folder / str(self._played)


def views(state: SharedState) -> Iterator[TaskView]:
    """Every task; none may be unreadable."""
    for archived in (False, True):
        for view in state.tasks.list(archived=archived):
            assert not isinstance(view, Unreadable), view
            yield view


@each_operation
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_death_at_any_call_doubles_and_blocks_nothing(tmp_path: Path, operation: Operation, when: str) -> None:
    stage = Stage(tmp_path, operation)
    for number in range(1, len(stage.calls()) + 1):
        assert stage.play(crash_at(number, when="before" if when == "before" else "after")) == "dead"


@each_operation
def test_a_torn_write_and_death_at_any_call_doubles_and_blocks_nothing(tmp_path: Path, operation: Operation) -> None:
    stage = Stage(tmp_path, operation)
    for number, name in enumerate(stage.calls(), start=1):
        if name == "pwrite":
            assert stage.play(shorten_call(number, crash="after")) == "dead"


@each_operation
def test_an_error_at_any_call_is_declared_and_true(tmp_path: Path, operation: Operation) -> None:
    stage = Stage(tmp_path, operation)
    for number, name in enumerate(stage.calls(), start=1):
        if name != "unlock":
            assert stage.play(fail_call(number, error=errno.EIO)) in ("done", "refused", "unknown")

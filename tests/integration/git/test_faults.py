"""Whatever git or the remote does, and whenever a process dies: nothing acknowledged is lost, nothing done twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sharedstate.clock import Instant
from sharedstate.errors import OutcomeUnknown, StoreUnavailable
from sharedstate.host import Host
from sharedstate.store import Entry
from sharedstate.testing.contracts.workers import counts
from sharedstate_adapters.git import layout
from sharedstate_adapters.git.address import Address
from sharedstate_adapters.git.chain import VAIN_MAX
from sharedstate_adapters.git.remote import Pushed
from sharedstate_adapters.git.store import GitStore
from tests.integration.git.ground import REF, a_machine, bare_remote, git
from tests.integration.git.shim import Shim, shim

__all__ = ["shim"]  # the fixture
ROUNDS = 3
LEADING_CALLS = 3  # init, the first fetch, and one to spare
WORKER = "import sys; from tests.integration.git.test_faults import work; work(*sys.argv[1:])"


def count(store: GitStore) -> int:
    return store.transact("counters", "c", counts("me")) + 1


def check(store: GitStore, *, acknowledged: list[int], unknown: int = 0) -> None:
    """Record, journal and acknowledgements tell one story; `unknown` operations may or may not be in it."""
    held = store.get("counters", "c")
    total = 0 if held is None else int(held.value["count"])
    entries: list[Entry] = list(store.read("events"))
    assert [entry.sequence for entry in entries] == list(range(1, total + 1))
    assert [entry.value["count"] for entry in entries] == list(range(1, total + 1))
    assert held is None or held.revision == total
    assert len(set(acknowledged)) == len(acknowledged), "two operations were told the same count"
    assert set(acknowledged) <= set(range(1, total + 1)), "an acknowledged count is gone"
    assert total - len(acknowledged) <= unknown


@pytest.mark.parametrize("mode", ["fail", "lost"])
@pytest.mark.parametrize("number", range(1, ROUNDS + LEADING_CALLS + 1))
def test_a_call_that_fails_or_whose_answer_is_lost_changes_nothing_for_the_caller(
    tmp_path: Path, shim: Shim, mode: str, number: int
) -> None:
    store = a_machine(str(bare_remote(tmp_path)), str(tmp_path / "one"))
    shim.plan(mode, number)
    told, failed = [], 0
    for _ in range(ROUNDS):
        try:
            told.append(count(store))
        except StoreUnavailable:
            failed += 1
    assert failed <= 1, "one bad answer, at most one failed operation"
    shim.plan("none", 0)
    told.append(count(store))
    assert told == list(range(1, len(told) + 1)), "an operation that failed was not done behind the caller's back"
    check(a_machine(str(tmp_path / "remote.git"), str(tmp_path / "two")), acknowledged=told)
    store.close()


@pytest.mark.parametrize("mode", ["kill", "killed-after", "orphan"])
@pytest.mark.parametrize("number", range(2, ROUNDS + LEADING_CALLS))
def test_a_process_killed_at_any_call_of_git_leaves_whole_transitions(
    tmp_path: Path, shim: Shim, mode: str, number: int
) -> None:
    remote = str(bare_remote(tmp_path))
    shim.plan(mode, number)
    words = [sys.executable, "-c", WORKER, remote, str(tmp_path / "one")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    died = subprocess.run(words, env=env, capture_output=True, timeout=60, check=False)
    told = [int(line) for line in died.stdout.split()]
    assert died.returncode == -9
    shim.plan("none", 0)
    survivor = a_machine(remote, str(tmp_path / "one"))
    told.append(count(survivor))
    check(survivor, acknowledged=told, unknown=1)
    other = a_machine(remote, str(tmp_path / "two"))
    told.append(count(other))
    check(survivor, acknowledged=told, unknown=1)
    survivor.close()
    other.close()


def work(remote: str, root: str) -> None:
    """What the process does that is killed."""
    store = a_machine(remote, root)
    for _ in range(ROUNDS + LEADING_CALLS):
        os.write(1, f"{count(store)}\n".encode())


@pytest.mark.parametrize("mode", ["hang", "late"])
def test_a_push_that_hangs_once_is_ended_and_judged_within_the_deadline(tmp_path: Path, shim: Shim, mode: str) -> None:
    store = a_machine(str(bare_remote(tmp_path)), str(tmp_path / "one"), deadline_ms="2500")
    told = [count(store)]
    shim.plan(mode, 1)
    told.append(count(store))
    assert not _processes_in(shim.folder), "something was left running"
    told.append(count(store))
    assert told == [1, 2, 3]
    check(store, acknowledged=told)
    store.close()


def test_a_git_that_always_hangs_is_said_at_the_deadline(tmp_path: Path, shim: Shim) -> None:
    store = a_machine(str(bare_remote(tmp_path)), str(tmp_path / "one"), deadline_ms="1000")
    told = [count(store)]
    shim.plan("hang", "all")
    began_s = time.monotonic()
    for attempt in (lambda: count(store), lambda: store.get("counters", "c")):
        with pytest.raises(StoreUnavailable):
            attempt()
    assert time.monotonic() - began_s < 2 * (1.0 + 1)
    assert not _processes_in(shim.folder), "something was left running"
    shim.plan("none", 0)
    told.append(count(store))
    assert told == [1, 2], "what failed is not done later"
    check(store, acknowledged=told)
    store.close()


def _processes_in(folder: Path) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", pid, "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(pid)
    return found


def test_a_remote_that_is_away_is_said_and_comes_back(tmp_path: Path) -> None:
    remote = bare_remote(tmp_path)
    store = a_machine(str(remote), str(tmp_path / "one"))
    told = [count(store)]
    remote.rename(tmp_path / "away")
    for attempt in (lambda: count(store), lambda: store.get("counters", "c"), lambda: list(store.read("events"))):
        with pytest.raises(StoreUnavailable, match=REF):
            attempt()
    (tmp_path / "away").rename(remote)
    told.append(count(store))
    assert told == [1, 2], "what was refused while the remote was away is not done later"
    check(store, acknowledged=told)
    store.close()


def test_a_push_that_arrived_and_a_remote_that_is_away_then_are_told_as_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = bare_remote(tmp_path)
    store = a_machine(str(remote), str(tmp_path / "one"), deadline_ms="3000")
    told = [count(store)]
    push = store._remote.push

    def arrives_and_hangs_up(oid: str, *, expected: str, deadline_s: float) -> Pushed:
        if remote.exists():
            assert push(oid, expected=expected, deadline_s=deadline_s).fate == "applied"
            remote.rename(tmp_path / "away")
        return Pushed(fate="unknown", why="hung up")

    with monkeypatch.context() as patch:
        patch.setattr(store._remote, "push", arrives_and_hangs_up)
        with pytest.raises(OutcomeUnknown, match="hung up"):
            count(store)
    (tmp_path / "away").rename(remote)
    told.append(count(store))
    assert told == [1, 3]
    check(store, acknowledged=told, unknown=1)
    store.close()


HOOK = "#!/bin/sh\n[ -e '{flag}' ] || exit 0\nrm '{flag}'\n{act}\n"


@pytest.mark.parametrize("hook, applied", [("pre-receive", False), ("post-receive", True), ("update", False)])
def test_a_remote_end_that_dies_before_or_after_it_applied_a_push(tmp_path: Path, hook: str, applied: bool) -> None:
    remote = bare_remote(tmp_path)
    flag = tmp_path / "flag"
    script = remote / "hooks" / hook
    script.parent.mkdir(exist_ok=True)
    script.write_text(HOOK.format(flag=flag, act="kill -9 $PPID; sleep 0.2"))
    script.chmod(0o755)
    store = a_machine(str(remote), str(tmp_path / "one"))
    told = [count(store)]
    flag.touch()
    told.append(count(store))
    assert not flag.exists(), "the remote end died"
    told.append(count(store))
    assert told == [1, 2, 3], f"applied={applied}: exactly once either way"
    check(store, acknowledged=told)
    store.close()


def test_a_push_that_the_remote_refuses_is_not_done_later(tmp_path: Path) -> None:
    remote = bare_remote(tmp_path)
    flag = tmp_path / "flag"
    script = remote / "hooks" / "pre-receive"
    script.parent.mkdir(exist_ok=True)
    script.write_text(HOOK.format(flag=flag, act="echo 'you may not' >&2; exit 1"))
    script.chmod(0o755)
    store = a_machine(str(remote), str(tmp_path / "one"))
    told = [count(store)]
    flag.touch()
    with pytest.raises(StoreUnavailable, match=r"refused.*you may not"):
        count(store)
    told.append(count(store))
    assert told == [1, 2]
    check(store, acknowledged=told)
    store.close()


def test_an_answer_lost_while_another_machine_squashes_is_still_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = str(bare_remote(tmp_path))
    store = a_machine(remote, str(tmp_path / "one"))
    squasher = a_machine(remote, str(tmp_path / "two"), history="1")
    told = [count(store)]
    push = store._remote.push

    def loses(oid: str, *, expected: str, deadline_s: float) -> Pushed:
        monkeypatch.setattr(store._remote, "push", push)
        assert push(oid, expected=expected, deadline_s=deadline_s).fate == "applied"
        told.append(count(squasher))
        return Pushed(fate="unknown", why="planted")

    monkeypatch.setattr(store._remote, "push", loses)
    told.append(count(store))
    assert sorted(told) == [1, 2, 3], "applied once, though its commit is in no history any more"
    assert int(git(remote, "rev-list", "--count", REF)) == 1
    check(store, acknowledged=told)
    store.close()
    squasher.close()


class SlowClock(Host):
    """A machine whose clock is an hour behind."""

    def now(self) -> Instant:
        now = super().now()
        return now.replace(at_ms=now.at_ms - 3_600_000)


def test_a_machine_whose_clock_is_behind_is_not_forgotten_among_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the moments of clocks it was dropped at once, and what it did done twice after a lost answer."""
    monkeypatch.setattr(layout, "WRITERS_MAX", 2)
    remote = str(bare_remote(tmp_path))
    others = [a_machine(remote, str(tmp_path / name)) for name in ("one", "two")]
    told = [count(other) for other in others]
    late = GitStore(Address(url=remote, ref=REF), folder=str(tmp_path / "late"), host=SlowClock())
    push = late._remote.push

    def loses(oid: str, *, expected: str, deadline_s: float) -> Pushed:
        monkeypatch.setattr(late._remote, "push", push)
        assert push(oid, expected=expected, deadline_s=deadline_s).fate == "applied"
        told.append(count(others[0]))
        return Pushed(fate="unknown", why="planted")

    monkeypatch.setattr(late._remote, "push", loses)
    told.append(count(late))
    check(late, acknowledged=told)
    for store in (late, *others):
        store.close()


def test_a_ref_that_is_locked_at_the_remote_is_told_as_refused_and_not_asked_for_without_a_pause(
    tmp_path: Path, shim: Shim
) -> None:
    remote = bare_remote(tmp_path)
    store = a_machine(str(remote), str(tmp_path / "one"), deadline_ms="1500")
    told = [count(store)]
    lock = remote / f"{REF}.lock"
    lock.touch()
    shim.plan("none", 0)
    with pytest.raises(StoreUnavailable, match=r"refused.*failed to update ref") as caught:
        count(store)
    assert not isinstance(caught.value, OutcomeUnknown), "the remote has said that it did not take it"
    assert shim.calls("push") <= VAIN_MAX["beaten"]
    lock.unlink()
    told.append(count(store))
    check(store, acknowledged=told)
    store.close()


def test_a_refusal_settles_nothing_while_an_earlier_push_may_still_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = str(bare_remote(tmp_path))
    store = a_machine(remote, str(tmp_path / "one"))
    told = [count(store)]
    push, under_way = store._remote.push, list[str]()

    def no_answer_then_refused(oid: str, *, expected: str, deadline_s: float) -> Pushed:
        under_way.append(oid)
        return Pushed(fate="unknown" if len(under_way) == 1 else "refused", why="planted")

    monkeypatch.setattr(store._remote, "push", no_answer_then_refused)
    with pytest.raises(OutcomeUnknown):
        count(store)
    assert push(under_way[0], expected=git(remote, "rev-parse", REF), deadline_s=store._deadline_s()).fate == "applied"
    monkeypatch.setattr(store._remote, "push", push)
    told.append(count(store))
    assert told == [1, 3]
    check(store, acknowledged=told, unknown=1)
    store.close()


def test_a_beaten_push_is_decided_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = str(bare_remote(tmp_path))
    store, rival = a_machine(remote, str(tmp_path / "one")), a_machine(remote, str(tmp_path / "two"))
    told = [count(store)]
    push = store._remote.push

    def too_late(oid: str, *, expected: str, deadline_s: float) -> Pushed:
        monkeypatch.setattr(store._remote, "push", push)
        told.append(count(rival))
        return push(oid, expected=expected, deadline_s=deadline_s)

    monkeypatch.setattr(store._remote, "push", too_late)
    told.append(count(store))
    assert told == [1, 2, 3]
    check(rival, acknowledged=told)
    store.close()
    rival.close()


# Planted bugs: the check sees them


def test_planted_bugs_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = str(bare_remote(tmp_path))
    store, rival = a_machine(remote, str(tmp_path / "one")), a_machine(remote, str(tmp_path / "two"))
    told = [count(store), count(rival)]
    # A push that does not say what it expects: the other machine's commit is overwritten.
    push = store._remote.push
    monkeypatch.setattr(
        store._remote,
        "push",
        lambda oid, *, expected, deadline_s: push(
            oid, expected=git(remote, "rev-parse", REF) if expected else "", deadline_s=deadline_s
        ),
    )
    told.append(count(store))
    with pytest.raises(AssertionError):
        check(rival, acknowledged=told)
    store.close()
    rival.close()


def test_a_retry_without_asking_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = str(bare_remote(tmp_path))
    store, rival = a_machine(remote, str(tmp_path / "one")), a_machine(remote, str(tmp_path / "two"))
    told = [count(store)]
    push = store._remote.push

    def loses(oid: str, *, expected: str, deadline_s: float) -> Pushed:
        monkeypatch.setattr(store._remote, "push", push)
        assert push(oid, expected=expected, deadline_s=deadline_s).fate == "applied"
        told.append(count(rival))
        return Pushed(fate="unknown", why="planted")

    merged = store._chain._merged
    # The bug: what the state says of this machine is not looked at.
    monkeypatch.setattr(
        store._chain,
        "_merged",
        lambda memo, state: merged(memo, state.replace(head=state.head.replace(writers={}))),
    )
    monkeypatch.setattr(store._remote, "push", loses)
    told.append(count(store))
    with pytest.raises(AssertionError):
        check(store, acknowledged=told)
    store.close()
    rival.close()

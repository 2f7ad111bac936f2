"""Bugs planted in the git store: each must be found by the test that stands for its promise.

A push without an expected value, and a retry that does not ask, are planted in `test_faults.py`; the first also in the
history test of all stores.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sharedstate.errors import StoreUnavailable
from sharedstate.store import Decision, Snapshot
from sharedstate_adapters.git.beats import LocalBeats
from sharedstate_adapters.git.chain import Chain
from sharedstate_adapters.git.memo import LOST, REFUSED
from sharedstate_adapters.git.remote import Pushed, Remote
from sharedstate_adapters.git.store import GitStore
from sharedstate_adapters.git.writing import Writer
from tests.integration.git.ground import a_machine, bare_remote
from tests.integration.git.shim import Shim, shim
from tests.integration.git.test_faults import check, count
from tests.integration.git.test_faults import (
    test_a_push_that_arrived_and_a_remote_that_is_away_then_are_told_as_doubt as doubt_is_told,
)
from tests.integration.git.test_faults import (
    test_a_push_that_the_remote_refuses_is_not_done_later as not_done_later,
)
from tests.integration.git.test_machines import (
    test_a_state_that_vanished_or_went_back_stops_everybody as going_back_stops,
)
from tests.integration.git.test_machines import (
    test_beats_in_between_stay_on_this_machine_and_count_there as beats_count_here,
)

__all__ = ["shim"]  # the fixture
Patch = pytest.MonkeyPatch
Check = Callable[[Path, Patch, Shim], None]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def refusals_are_confirmed(tmp_path: Path, patch: Patch, shim: Shim) -> None:
    """What changes nothing is told from what the remote has now, not from what this machine saw last."""
    del patch, shim
    remote = str(bare_remote(tmp_path))
    store, other = a_machine(remote, str(tmp_path / "one")), a_machine(remote, str(tmp_path / "two"))
    told = [count(store), count(other)]
    seen: list[int] = []

    def refuses(snapshot: Snapshot) -> Decision[None]:
        seen.append(snapshot.revision)
        return Decision(result=None)

    store.transact("counters", "c", refuses)
    assert seen[-1] == 2, "a refusal from memory"
    check(store, acknowledged=told)


def events_have_no_gap(tmp_path: Path, patch: Patch, shim: Shim) -> None:
    """Sequences go on where the last ended, from whichever machine."""
    del patch, shim
    remote = str(bare_remote(tmp_path))
    store, other = a_machine(remote, str(tmp_path / "one")), a_machine(remote, str(tmp_path / "two"))
    check(store, acknowledged=[count(store), count(other), count(store)])


def late_is_not_done(tmp_path: Path, patch: Patch, shim: Shim) -> None:
    """A refused push stays undone."""
    del patch, shim
    not_done_later(tmp_path)


def backwards_is_stopped(tmp_path: Path, patch: Patch, shim: Shim) -> None:
    """The ref goes back, or away."""
    del patch, shim
    going_back_stops(tmp_path)


def doubts_are_told(tmp_path: Path, patch: Patch, shim: Shim) -> None:
    """An answer is lost, and then the remote."""
    del shim
    doubt_is_told(tmp_path, patch)


def beats_are_kept(tmp_path: Path, patch: Patch, shim: Shim) -> None:
    """Signs of life between two publications."""
    del patch
    beats_count_here(tmp_path, shim)


def _waits_on(patch: Patch) -> None:
    """A failed operation stays on its way, for whoever writes next."""
    end = Chain._end
    patch.setattr(Chain, "_end", lambda self, how, *, why="": None if how in (LOST, REFUSED) else end(self, how))
    refused = Remote.push

    def gives_up(self: Remote, oid: str, *, expected: str, deadline_s: float) -> Pushed:
        pushed = refused(self, oid, expected=expected, deadline_s=deadline_s)
        if pushed.fate == "refused":
            raise StoreUnavailable(f"refused: {pushed.why}")
        return pushed

    patch.setattr(Remote, "push", gives_up)


def _accepts_anything(patch: Patch) -> None:
    """A state that went back is as good as any."""
    patch.setattr(Chain, "_check_goes_on", lambda self, before, commit: None)


def _calls_doubt_failure(patch: Patch) -> None:
    """Whatever was not acknowledged counts as not done."""
    end = Chain._end
    patch.setattr(Chain, "_end", lambda self, how, *, why="": end(self, REFUSED, why=why))
    changed = Chain._change
    patch.setattr(Chain, "_change", lambda self, change: changed(self, lambda memo: change(memo).replace(doubt=False)))


def _answers_from_memory(patch: Patch) -> None:
    """What this machine saw last is good enough for a refusal."""
    stage = GitStore._attempted

    def attempted(self: GitStore, attempt: Any, same: Any, deadline_s: float) -> Any:
        return stage(self, attempt, lambda one, other: True, deadline_s)

    patch.setattr(GitStore, "_attempted", attempted)


def _numbers_by_itself(patch: Patch) -> None:
    """Each machine counts its own entries."""
    logged = Writer.logged
    known: dict[int, Any] = {}

    def by_itself(self: Writer, state: Any, journal: str, entries: Any) -> Any:
        first = known.setdefault(id(self), state)
        return logged(self, first, journal, entries)

    patch.setattr(Writer, "logged", by_itself)


def _forgets_beats(patch: Patch) -> None:
    """Beats that are not published are lost."""
    patch.setattr(LocalBeats, "latest", lambda self, collection, stored: stored.beat)


PLANTED: dict[str, tuple[Callable[[Patch], None], Check]] = {
    "failures stay on their way": (_waits_on, late_is_not_done),
    "a state may go back": (_accepts_anything, backwards_is_stopped),
    "doubt is told as failure": (_calls_doubt_failure, doubts_are_told),
    "refusals from memory": (_answers_from_memory, refusals_are_confirmed),
    "sequences by machine": (_numbers_by_itself, events_have_no_gap),
    "beats in between are lost": (_forgets_beats, beats_are_kept),
}


@pytest.mark.parametrize("bug", [False, True], ids=["sound", "planted"])
@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_bug_is_found(name: str, bug: bool, tmp_path: Path, monkeypatch: Patch, shim: Shim) -> None:
    plant, found_by = PLANTED[name]
    if not bug:
        return found_by(tmp_path, monkeypatch, shim)
    plant(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, StoreUnavailable)):
        found_by(tmp_path, monkeypatch, shim)
    return None

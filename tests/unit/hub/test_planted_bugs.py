"""Bugs planted in the hub: each must be found by the test that stands for its promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sharedstate.hub import events, following, joining, policy
from sharedstate.hub.kept import KeptHere
from sharedstate.hub.model import dump_context
from sharedstate.hub.waiting import Waiting
from sharedstate.store import DELETE, KEEP, Decision, Snapshot
from tests.unit.hub import test_contexts as promises
from tests.unit.hub import test_following as ways
from tests.unit.hub import test_joining as apart

Plant = Callable[[pytest.MonkeyPatch], None]


def status_by_patch(patch: pytest.MonkeyPatch) -> None:
    """A name `status` in a patch changes the field."""
    true = policy.decide_update

    def decide(snapshot: Snapshot, agent: str, update: policy.Update) -> Decision[Any]:
        if "status" in update.patch:
            update = update.replace(status=update.patch["status"])
        return true(snapshot, agent, update)

    patch.setattr(policy, "decide_update", decide)


def older_overwrites(patch: pytest.MonkeyPatch) -> None:
    """Taking another side's context without comparing."""

    def adopt(snapshot: Snapshot, other: Any, *, told: bool) -> Decision[bool]:
        del snapshot, told
        return Decision(result=True, write=dump_context(other), live=1)

    def rank(self: Any) -> tuple[int, int, str]:
        return -self.number, -self.at_ms, self.writer

    patch.setattr(policy, "decide_adopt", adopt)
    patch.setattr(joining, "_merged", lambda base, mine, theirs, *, wins: theirs if wins else mine)
    patch.setattr("sharedstate.hub.model.Version.rank", property(rank))


def unrecorded_forward(patch: pytest.MonkeyPatch) -> None:
    """Forwarding without saying how far it has come: bounded, or it would never end."""
    true = events._Forward.__call__

    def forward(self: Any, snapshot: Snapshot) -> Decision[int]:
        return true(self, snapshot).replace(write=KEEP)

    patch.setattr(events, "BATCHES_MAX", 4)
    patch.setattr(events._Forward, "__call__", forward)


def ignored_tombstone(patch: pytest.MonkeyPatch) -> None:
    """A deletion that removes the record: the other side's older copy brings the agent back."""
    true = policy.decide_delete

    def remove(snapshot: Snapshot, agent: str, *, writer: str, apart: bool = False) -> Decision[bool]:
        decision = true(snapshot, agent, writer=writer, apart=apart)
        return decision.replace(write=DELETE) if decision.result else decision

    patch.setattr(policy, "decide_delete", remove)


def unmarked(patch: pytest.MonkeyPatch) -> None:
    """Nothing says that something waits."""
    patch.setattr(Waiting, "kept", lambda self: None)


def believed_lost(patch: pytest.MonkeyPatch) -> None:
    """An event without an answer is not looked for."""
    patch.setattr(events, "_there", lambda shared, batch, *, all_of_them: set())


def whole_winner(patch: pytest.MonkeyPatch) -> None:
    """The later of two contexts, whole: what the other has changed is lost."""
    patch.setattr(joining, "_merged", lambda base, mine, theirs, *, wins: mine if wins else theirs)


def unmarked_entries(patch: pytest.MonkeyPatch) -> None:
    """An event is taken for another under the same number."""
    patch.setattr(following, "mark_of", lambda entry: "00000000")


def told_again(patch: pytest.MonkeyPatch) -> None:
    """What was told from this machine's spool is told once more when it is forwarded."""
    patch.setattr(KeptHere, "was_told", lambda self, entry: False)


def placeless(patch: pytest.MonkeyPatch) -> None:
    """What is forwarded does not say where it stood: a follower that is started again tells it once more."""
    patch.setattr(events, "from_spool", lambda name, entry: {})


@pytest.mark.parametrize(
    "plant, promise",
    [
        (status_by_patch, promises.test_status_is_changed_on_purpose_only),
        (older_overwrites, lambda: promises.test_newer_wins_on_either_side_and_nothing_older_ever_does("here")),
        (unrecorded_forward, promises.test_events_published_offline_arrive_once_whoever_dies_in_between),
        (ignored_tombstone, promises.test_a_deleted_agent_stays_deleted_until_somebody_writes_it_anew),
        (unmarked, promises.test_an_update_made_offline_survives_a_process_that_never_noticed),
        (believed_lost, promises.test_an_event_whose_answer_was_lost_is_not_told_twice),
        (whole_winner, apart.test_what_two_machines_change_while_they_do_not_see_each_other_is_brought_together),
        (
            unmarked_entries,
            lambda: ways.test_after_a_lost_end_a_follower_is_told_and_goes_on(3, 3),
        ),
        (told_again, lambda: ways.test_whatever_happens_each_follower_is_told_each_event_once(0)),
        (placeless, lambda: ways.test_whatever_happens_each_follower_is_told_each_event_once(0)),
    ],
    ids=[
        *("status", "older", "forward", "tombstone", "unmarked", "doubt"),
        *("whole", "entries", "told", "placeless"),
    ],
)
def test_a_planted_bug_is_found(plant: Plant, promise: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    promise()
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        promise()

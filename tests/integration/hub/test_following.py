"""What a follower is told on every store, and what a hub writes by itself: nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharedstate.hub.model import Gap, HubEvent
from tests.integration.hub.remotes import Remote, place_of
from tests.integration.stores.places import Place, new_place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_a_cursor_of_another_journal_is_told_as_a_gap_with_a_snapshot_to_go_on_from(
    place: Place, tmp_path: Path
) -> None:
    folder = tmp_path / f"other-{Path(place.folder).name}"
    folder.mkdir()
    other = new_place(place.name, folder).open().hub
    for number in range(3):
        other.publish({"type": "n", "n": number})
    cursor = [one.cursor for one in other.subscribe(timeout_s=0)][-1]
    hub = place.open().hub
    hub.update("ada", {"at": {"n": 1, "list": [1.5, None, True]}})
    for number in range(5):
        hub.publish({"type": "n", "n": number})
    gap = next(iter(hub.subscribe(cursor, timeout_s=0)))
    assert isinstance(gap, Gap)
    assert [one.context for one in gap.snapshot.contexts] == [{"at": {"n": 1, "list": [1.5, None, True]}}]
    hub.publish({"type": "later"})
    told = [one.body["type"] for one in hub.subscribe(gap.cursor, timeout_s=0) if isinstance(one, HubEvent)]
    assert told == ["later"]


def test_own_writes_cause_no_further_writes(remote: Remote, tmp_path: Path) -> None:
    place = place_of(remote, tmp_path)
    one, two = place.open("one"), place.open("two")
    for hub, agent in ((one.hub, "ada"), (two.hub, "bob")):
        hub.update(agent, {"n": 1}, status="working")
        hub.publish({"type": "hello"})
    for state in (one, two):
        state.hub.reconcile()
    entries = [(entry.sequence, entry.value) for entry in one.store.read("hub")]
    assert len(entries) == 4, "two updates, two events"
    before = remote.changes()
    for _ in range(3):
        for state in (one, two):
            done = state.hub.reconcile()
            assert (done.taken, done.given, done.forwarded) == (0, 0, 0)
            state.hub.unified()
            list(state.hub.subscribe(timeout_s=0))
    assert remote.changes() == before
    assert [(entry.sequence, entry.value) for entry in one.store.read("hub")] == entries

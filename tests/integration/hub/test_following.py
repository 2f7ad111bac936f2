"""What a follower is told on every store, and what a hub writes by itself: nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sharedstate.hub.model import Gap, HubEvent
from tests.integration.hub.crew import Worker, crew, wait_for
from tests.integration.hub.remotes import Remote, place_of, restore, save
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


def listened(follower: Worker, *numbers: int) -> list[Any]:
    """All that a follower says until it has told these."""
    said: list[Any] = []
    while not set(numbers) <= {one["n"] for one in said if "n" in one}:
        said.append(follower.hear())
        assert said[-1] is not None, follower.log
    return said


def test_a_follower_is_told_what_its_machine_does_while_the_shared_store_is_away_and_the_rest_after_it(
    remote: Remote, tmp_path: Path
) -> None:
    place = place_of(remote, tmp_path)
    hub, other = (place.open(name, lock_timeout_ms=4_000).hub for name in ("one", "two"))
    hub.publish({"type": "n", "by": "one", "n": 0})
    follower = Worker("attend", tmp_path / "one", place.url, "first")
    with crew(follower):
        listened(follower, 0)
        remote.kill()
        for number in (1, 2):
            hub.publish({"type": "n", "by": "one", "n": number})
        other.publish({"type": "n", "by": "two", "n": 10})
        said = listened(follower, 1, 2)
        assert said[0] == {"over": False}
        assert [one["local"] for one in said[1:]] == [True, True]
        remote.start()
        wait_for(lambda: other.reconcile().forwarded == 1)
        wait_for(lambda: hub.reconcile().forwarded == 2)
        hub.publish({"type": "n", "by": "one", "n": 3})
        said = listened(follower, 10, 3)
        assert said == [{"over": True}, {"n": 10, "local": False}, {"n": 3, "local": False}], "each once"


def test_a_follower_is_told_of_a_failover_that_lost_the_end_and_goes_on(remote: Remote, tmp_path: Path) -> None:
    """It is connected all the time and may not even notice that the server was another one."""
    place = place_of(remote, tmp_path)
    hub = place.open("one", lock_timeout_ms=4_000).hub
    for number in range(5):
        hub.publish({"type": "n", "by": "one", "n": number})
    follower = Worker("attend", tmp_path / "two", place.url, "first")
    with crew(follower):
        listened(follower, 4)
        save(remote, tmp_path / "backup")
        wait_for(lambda: not hub.unified().degraded)
        for number in range(5, 10):
            hub.publish({"type": "n", "by": "one", "n": number})
        listened(follower, *range(5, 10))
        restore(remote, tmp_path / "backup")
        if remote.name == "git":  # that store refuses a ref that went back: an outage, until somebody looks into it
            while (said_last := follower.hear()) != {"over": False}:
                assert said_last is not None
            return
        wait_for(lambda: not hub.unified().degraded)
        for number in range(100, 103):
            hub.publish({"type": "n", "by": "one", "n": number})
        said = [one for one in listened(follower, 100, 101, 102) if "over" not in one]
        assert ["gap" in said[0], *(one["n"] for one in said[1:])] == [True, 100, 101, 102]


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

"""What is forgotten after a month, and that nothing comes back by it, and nothing new goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharedstate.hub import retention
from sharedstate.hub.bridge import DONE, Bridge
from sharedstate.hub.model import CONTEXTS
from sharedstate.hub.retention import RETENTION_MS, forget_bridged, forget_done
from sharedstate.store import Unreadable
from tests.unit.hub.test_following import World

MONTH_S = RETENTION_MS / 1000
DAY_S = 86_400.0


def known(world: World, machine: str = "") -> set[str]:
    """Whose records stand in the shared store, or on a machine; tombstones, too."""
    store = world.locals[machine] if machine else world.shared
    return {one.key for one in store.scan(CONTEXTS) if not isinstance(one, Unreadable)}


def test_a_tombstone_is_removed_after_a_month_and_stays_away_whoever_comes_back() -> None:
    world = World()
    here, there, late = (world.hub(machine) for machine in ("here", "there", "late"))
    here.update("ada", {"n": 1})
    here.update("bob", {"n": 1})
    for hub in (there, late):
        hub.reconcile()
    assert here.delete("ada")
    there.reconcile()
    world.host.advance(MONTH_S - DAY_S)
    here.update("bob", {"n": 2})
    assert here.forget() == 0
    assert known(world) == {"ada", "bob"}
    world.host.advance(2 * DAY_S)
    assert here.forget() == 2, "on both ends"
    for hub in (there, late, here, there):
        hub.reconcile()
        assert known(world) == {"bob"}
    assert known(world, "there") == known(world, "late") == known(world, "here") == {"bob"}
    writes = world.shared.writes, [local.writes for local in world.locals.values()]
    for hub in (there, late, here):
        hub.forget()
        hub.reconcile()
    assert (world.shared.writes, [local.writes for local in world.locals.values()]) == writes


def test_an_agent_that_is_made_anew_is_not_replaced_by_an_old_copy_or_tombstone() -> None:
    world = World()
    here, there, late = (world.hub(machine) for machine in ("here", "there", "late"))
    for number in range(5):
        here.update("ada", {"n": number})
    late.reconcile()
    assert here.delete("ada")
    there.reconcile()
    world.host.advance(MONTH_S + DAY_S)
    here.forget()
    assert here.update("ada", {"new": True}).version.number == 1
    for hub in (there, late, there, late):
        hub.reconcile()
        found = hub.context("ada")
        assert found is not None
        assert found.context == {"new": True}
    world.leave()
    for hub in (there, late):
        found = hub.context("ada")
        assert found is not None
        assert found.context == {"new": True}


def test_what_was_changed_apart_is_given_however_long_ago_that_was() -> None:
    world = World()
    here = world.hub("here")
    world.leave()
    here.update("ada", {"n": 1})
    world.host.advance(2 * MONTH_S)
    world.back()
    here.reconcile()
    assert known(world) == {"ada"}


def test_a_copy_of_a_record_that_cannot_be_read_is_kept() -> None:
    world = World()
    here = world.hub("here")
    here.update("ada", {"n": 1})
    world.shared.plant(CONTEXTS, "ada", b"{torn")
    world.host.advance(2 * MONTH_S)
    here.reconcile()
    assert known(world, "here") == {"ada"}


def test_files_of_the_bridge_and_their_names_are_removed_after_a_month(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    bridge = Bridge(world.shared, str(tmp_path), host=world.host)
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text("{}")
        bridge.cross()
        world.host.advance(20 * DAY_S)
    (tmp_path / DONE / "mine.txt").write_text("somebody put this here")
    now_ms = world.host.now().at_ms
    assert (forget_bridged(world.shared), forget_done(str(tmp_path), now_ms=now_ms)) == (1, 1)
    left = sorted(path.name[0] for path in (tmp_path / DONE).iterdir())
    assert left == ["b", "m"]
    world.host.advance(20 * DAY_S)
    monkeypatch.setattr(retention, "FORGOTTEN_MAX", 0)
    assert forget_bridged(world.shared) == 0, "so many at one time"

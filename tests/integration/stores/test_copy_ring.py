"""A fleet moves from store to store and comes home; each copy is killed twice, and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from sharedstate import SharedState
from sharedstate.messages.model import Queued, Sent
from sharedstate.store import LOADED_ENTRIES_MAX, Entry, Portable
from sharedstate.tasks.outcomes import Claimed, Kept, Refused, Released
from sharedstate.testing.contracts.steps import writes
from sharedstate.transfer import copy_store
from tests.integration.cli.real import COMMAND, environment
from tests.integration.stores.places import Place, new_place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
# Where a fleet begins, and where it goes from there.
RING = ("files", "redis", "postgres", "git", "files")
ENTRIES = 4_000  # four calls of load_entries
RECORDS = 12
KILLS = 2
ANN, BOB = "one/ann", "two/bob"


class Fleet:
    """One machine, its ledger and its outbox, and what it knows of itself, wherever the shared state is."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "one"
        self.folder = folder
        self.fence = 0
        self.done_fence = 0
        self.letters = 0

    def open(self, place: Place) -> SharedState:
        """The state of this machine, on a place."""
        return SharedState.open(self.root, url=place.url, folder=self.folder, owner=ANN)

    def settle(self, place: Place) -> None:
        """What a fleet has after a while."""
        with self.open(place) as state:
            held = state.claims.claim("T-held", ttl_ms=3_600_000)
            assert isinstance(held, Claimed)
            self.fence = held.fence
            for _ in range(3):
                again = state.claims.claim("T-done", reopen=True)
                assert isinstance(again, Claimed)
                assert isinstance(state.claims.release("T-done", status="complete"), Released)
                self.done_fence = again.fence
            state.tasks.ignore("T-ignored", reason="not now", by="somebody")
            for number in range(4):
                self.write(state, f"letter {number}")
            assert isinstance(state.outbox.send(sender=ANN, to="*", body="to all"), Sent)
            state.inbox.ack(BOB, up_to=2)
            state.hub.update("ann", {"working_on": "T-held"})
            bulk(state)

    def write(self, state: SharedState, body: str) -> None:
        """A letter to bob."""
        assert isinstance(state.outbox.send(sender=ANN, to=BOB, body=body), Sent)
        self.letters += 1


def bulk(state: SharedState) -> None:
    """So much that a copy takes a while: by journal entries, as they came from an older store, and by records."""
    store = cast("Portable", state.store)
    for number in range(RECORDS):
        store.transact("bulk", f"item-{number}", writes({"n": number}))
    entries = [Entry(sequence=n, at_ms=n, value={"n": n}, record="") for n in range(1, ENTRIES + 1)]
    for first in range(0, ENTRIES, LOADED_ENTRIES_MAX):
        store.load_entries("long", entries[first : first + LOADED_ENTRIES_MAX])


def copied_with_kills(source: Place, target: Place, folder: Path) -> tuple[dict[str, Any], int]:
    """Copy by the real command: killed as soon as more has arrived, twice; then let it end.

    What it says, and how often it was killed in the middle: a copy may be faster than who watches it.
    """
    words = [*COMMAND, "store", "copy", "--json", source.url, target.url]
    last = killed = 0
    with target.open("watcher") as watcher:
        for _ in range(KILLS):
            with subprocess.Popen(words, env=environment(folder / "copier"), stdout=subprocess.PIPE) as running:
                while running.poll() is None and not any(watcher.store.read("long", after=last, limit=1)):
                    time.sleep(0.002)
                running.kill()
            killed += running.returncode == -signal.SIGKILL
            last = max((entry.sequence for entry in watcher.store.read("long", after=last)), default=last)
    done = subprocess.run(
        words, env=environment(folder / "copier"), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told, killed


def check_all_is_as_before(fleet: Fleet, place: Place) -> None:
    """The owner goes on, with the same fence; nobody else may; letters, watermarks and what was ended are the same."""
    with fleet.open(place) as state, place.open("stranger") as other:
        kept = state.claims.renew("T-held")
        assert isinstance(kept, Kept)
        assert kept.fence == fleet.fence
        refused = other.claims.claim("T-held")
        assert isinstance(refused, Refused)
        assert refused.reason == "existing_owner_active"
        assert isinstance(other.claims.claim("T-ignored"), Refused)
        assert isinstance(other.claims.claim("T-done"), Refused), "complete stays complete"
        again = state.claims.claim("T-done", reopen=True)
        assert isinstance(again, Claimed)
        assert again.fence > fleet.done_fence, "fences only grow"
        fleet.done_fence = again.fence
        assert isinstance(state.claims.release("T-done", status="complete"), Released)
        assert state.inbox.watermark(BOB).up_to == 2
        letters = other.inbox.list(BOB)
        assert [letter.sequence for letter in letters] == list(range(1, fleet.letters + 2)), "the one to all among them"
        assert [letter.sequence for letter in other.inbox.unread(BOB).letters] == list(range(3, fleet.letters + 2))
        assert "ann" in [one.agent for one in state.hub.unified().contexts]
        fleet.write(other, f"from {place.name}")
        assert other.inbox.unread(BOB).letters[-1].sequence == fleet.letters + 1, "sequences go on where they were"


def test_a_fleet_goes_round_all_stores_and_every_copy_survives_two_kills(tmp_path: Path) -> None:
    fleet, places = Fleet(tmp_path), []
    for number, name in enumerate(RING):
        folder = tmp_path / f"{name}-{number}-{uuid4().hex[:8]}"
        folder.mkdir()
        places.append(new_place(name, folder))
    fleet.settle(places[0])
    kills = 0
    with fleet.open(places[0]) as state:  # what waits in the machine's own outbox travels with the machine
        queued = state.outbox.send(sender=ANN, to="two/late", body="waits", deliver=False)
        assert isinstance(queued, Queued)
    for source, target in pairwise(places):
        told, killed = copied_with_kills(source, target, tmp_path)
        kills += killed
        assert told["verified"] is True
        assert told["same"] > 0, "what had arrived before the kills was not copied again"
        check_all_is_as_before(fleet, target)
    assert kills >= len(RING) - 1, "nothing was proved: most copies had ended before they were killed"
    with fleet.open(places[-1]) as state:
        assert state.outbox.flush().sent == 1
        [letter] = state.inbox.unread("two/late").letters[-1:]
        assert letter.id == queued.envelope.id


def test_a_ledger_with_its_outbox_is_a_store_that_can_be_copied(tmp_path: Path) -> None:
    with SharedState.open(tmp_path / "old", owner=ANN, folder=tmp_path) as state:
        for body in ("first", "second"):
            assert isinstance(state.outbox.send(sender=ANN, to=BOB, body=body, deliver=False), Queued)
        source = state.store_at(f"file://{tmp_path}/old/local/ledger")
        target = state.store_at(f"file://{tmp_path}/new/local/ledger")
        assert copy_store(cast("Portable", source), cast("Portable", target)).verified
        source.close()
        target.close()
        waiting = [spooled.envelope.id for spooled in state.outbox.list()]
    with SharedState.open(tmp_path / "new", owner=ANN, folder=tmp_path) as state:
        assert [spooled.envelope.id for spooled in state.outbox.list()] == waiting
        assert state.outbox.flush().sent == 2
        assert [letter.envelope.body for letter in state.inbox.unread(BOB).letters if letter.envelope] == [
            "first",
            "second",
        ]

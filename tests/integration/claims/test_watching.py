"""`claims watch` follows the journal of other processes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from sharedstate.files import journal
from sharedstate.files.store import FileStore
from sharedstate.store import Store
from sharedstate.testing.memory import MemoryStore
from sharedstate_cli.verbs.watch import newest
from tests.integration.claims.arena import Arena, command, heard


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    return Arena(tmp_path)


def test_events_appear_as_they_happen_and_ctrl_c_ends_it(arena: Arena) -> None:
    with arena.running(command("watch", "--json", "--after", "0")) as watching, arena.open() as other:
        for number in range(3):
            other.claims.claim(f"T{number}")
            event = heard(watching)
            assert (event["schema"], event["ok"], event["sequence"], event["type"]) == (1, True, number + 1, "claimed")
            assert event["task"] == f"T{number}"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130


def test_only_what_is_new_of_one_task_is_shown_by_default(arena: Arena) -> None:
    with arena.open() as other:
        other.claims.claim("T")
        known = newest(other.store)
        with arena.running(command("watch", "--json", "--task", "T", "--count", "1")) as watching:
            while watching.poll() is None:  # an event before it watches is old to it, so there is always another one
                other.claims.claim("U", reopen=True)
                other.claims.release("U")
                other.tasks.ignore("T", reason="to be seen", by="a person")
                other.tasks.unignore("T", by="a person")
                time.sleep(0.05)
            event = heard(watching)
            assert watching.returncode == 0
        assert event["sequence"] > known
        assert event["task"] == "T"
        assert event["type"] in ("ignored", "unignored")


def test_lines_for_people_obey_nothing_that_an_event_says(arena: Arena) -> None:
    with arena.open() as other:
        other.claims.claim("T")
        other.claims.release("T", status="failed", error="broke\x1b[2J\nagain")
    shown = arena.claims("watch", "--after", "1", "--count", "1")
    assert shown.returncode == 0
    assert shown.stdout.count("\n") == 1
    assert "error=broke\\x1b[2J\\nagain" in shown.stdout


def test_a_count_that_is_not_reached_in_time_is_told_by_the_exit_code(arena: Arena) -> None:
    assert arena.claims("watch", "--timeout", "50ms").returncode == 0
    assert arena.claims("watch", "--timeout", "50ms", "--count", "1").returncode == 75
    assert arena.claims("watch", "--count", "0").returncode == 2
    assert arena.claims("watch", "--after", "-1").returncode == 2
    assert not arena.root.exists()


def test_it_goes_on_across_segments_of_the_journal(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES_MAX", 300)
    with arena.running(command("watch", "--json", "--after", "0", "--count", "30")) as watching, arena.open() as other:
        for number in range(30):
            other.claims.claim(f"T{number}")
        assert [heard(watching)["sequence"] for _ in range(30)] == list(range(1, 31))
        assert watching.wait(30) == 0


@pytest.mark.parametrize("kind", ["files", "memory"])
def test_the_newest_entry_is_found_in_journals_of_any_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES_MAX", 300)
    store: Store = MemoryStore() if kind == "memory" else FileStore(str(tmp_path / "store"))
    for length in range(40):
        assert newest(store) == length
        store.append("events", {"type": "claimed", "task": "T"})

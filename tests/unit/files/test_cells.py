"""Beat cells on a simulated disk: two slots, torn writes, clocks that step."""

from __future__ import annotations

import pytest

from sharedstate.clock import Instant
from sharedstate.files.cells import UNKNOWN, make_cell, open_cell, read_beat, remove_cell
from sharedstate.files.roots import Root
from sharedstate.store import Beat
from sharedstate.testing.disk import SimDisk

PATH = "/state/local/beats/tasks/T-1"
NOW = Instant(at_ms=1_772_323_200_000, boot_ms=1_000_000, boot_id="00000000-0000-4000-8000-000000000001")
LATER = NOW.replace(at_ms=NOW.at_ms + 60_000, boot_ms=NOW.boot_ms + 60_000)


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(seed=1)


@pytest.fixture
def root(disk: SimDisk) -> Root:
    return Root("/state", host=disk.host(), allow_network=False)


def beat(root: Root, fence: int, seen: Instant) -> None:
    cell = make_cell(root, "tasks", "T-1")
    cell.write(fence, seen)
    cell.close()


def test_no_cell_is_no_beat(root: Root) -> None:
    assert read_beat(root, "tasks", "T-1") is None
    assert open_cell(root, "tasks", "T-1") is None
    remove_cell(root, "tasks", "T-1")


def test_the_last_beat_is_read_back(root: Root) -> None:
    for number in range(1, 6):
        seen = NOW.replace(at_ms=NOW.at_ms + number)
        beat(root, 7, seen)
        assert read_beat(root, "tasks", "T-1") == Beat(fence=7, seen=seen)


def test_a_beat_without_boot_id_is_read_back(root: Root) -> None:
    seen = NOW.replace(boot_id="")
    beat(root, 7, seen)
    assert read_beat(root, "tasks", "T-1") == Beat(fence=7, seen=seen)


def test_a_cell_takes_two_slots_however_often_it_is_written(root: Root, disk: SimDisk) -> None:
    for number in range(10):
        beat(root, number, NOW)
    assert len(disk.read(PATH)) == 256


def test_the_newer_slot_counts_when_the_wall_clock_stepped_back(root: Root) -> None:
    beat(root, 1, LATER)
    stepped = NOW.replace(boot_ms=LATER.boot_ms + 1)
    beat(root, 1, stepped)
    assert read_beat(root, "tasks", "T-1") == Beat(fence=1, seen=stepped)


def test_a_torn_slot_never_hides_the_other(root: Root, disk: SimDisk) -> None:
    beat(root, 1, NOW)
    beat(root, 1, LATER)
    whole = disk.read(PATH)
    for torn in range(128, 256):
        disk.write(PATH, whole[:torn])
        assert read_beat(root, "tasks", "T-1") == Beat(fence=1, seen=NOW)
        disk.write(PATH, whole[:torn] + b"\0" * (256 - torn))
        found = read_beat(root, "tasks", "T-1")
        assert found is not None
        assert found.seen in (NOW, LATER)


@pytest.mark.parametrize("raw", [b"", b"\0" * 256, b"x" * 256, b"1 2 3", b" " * 256, b"\xff" * 300])
def test_a_cell_that_says_nothing_is_no_beat_and_can_be_written(root: Root, disk: SimDisk, raw: bytes) -> None:
    beat(root, 1, NOW)
    disk.write(PATH, raw)
    assert read_beat(root, "tasks", "T-1") is None
    beat(root, 2, LATER)
    assert read_beat(root, "tasks", "T-1") == Beat(fence=2, seen=LATER)


def test_an_unknown_beat_names_the_fence_and_no_moment(root: Root) -> None:
    beat(root, 5, UNKNOWN)
    assert read_beat(root, "tasks", "T-1") is None
    cell = open_cell(root, "tasks", "T-1")
    assert cell is not None
    assert (cell.fence, cell.beat) == (5, None)
    cell.close()


def test_a_removed_cell_is_no_beat(root: Root) -> None:
    beat(root, 1, NOW)
    remove_cell(root, "tasks", "T-1")
    assert read_beat(root, "tasks", "T-1") is None

"""Journals on a simulated disk: torn tails, damage, segments, several writers."""

from __future__ import annotations

import random

import pytest

from sharedstate.files import FileStore
from sharedstate.files import journal as journals
from sharedstate.testing.disk import SimDisk
from sharedstate.testing.faults import FaultHost

FIRST = "/state/journal/events/0000000000000001.jsonl"


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(seed=1)


def opened(disk: SimDisk) -> FileStore:
    return FileStore("/state", host=disk.host())


def sequences(store: FileStore, *, after: int = 0) -> list[int]:
    return [entry.sequence for entry in store.read("events", after=after)]


def test_a_line_is_what_the_format_says(disk: SimDisk) -> None:
    opened(disk).append("events", {"type": "claimed", "task": "é"})
    assert disk.read(FIRST).decode() == (
        '{"seq":1,"at":"2026-03-01T00:00:00.000Z","record":"","task":"é","type":"claimed"}\n'
    )


def test_an_empty_entry_is_an_entry(disk: SimDisk) -> None:
    store = opened(disk)
    assert store.append("events", {}) == 1
    assert [entry.value for entry in store.read("events")] == [{}]


@pytest.mark.parametrize("tail", [b'{"seq":3,"at":"2026', b"\0\0\0\0", b"\xff", b"{}", b'{"seq":"x"}', b"}{"])
def test_a_torn_tail_is_ended_and_passed_over_and_the_sequence_goes_on(disk: SimDisk, tail: bytes) -> None:
    store = opened(disk)
    for number in (1, 2):
        assert store.append("events", {"n": number}) == number
    disk.write(FIRST, disk.read(FIRST) + tail)
    assert sequences(store) == [1, 2], "readers stop before it"
    assert opened(disk).append("events", {"n": 3}) == 3
    assert store.append("events", {"n": 4}) == 4
    assert sequences(store) == [1, 2, 3, 4]
    assert store.journal_damage("events") == 1


def test_a_whole_line_that_lacks_only_its_end_is_an_entry(disk: SimDisk) -> None:
    store = opened(disk)
    store.append("events", {"n": 1})
    store.append("events", {"n": 2})
    disk.write(FIRST, disk.read(FIRST)[:-1])
    assert sequences(store) == [1], "its writer was not told that it is there"
    assert opened(disk).append("events", {"n": 3}) == 3
    assert sequences(store) == [1, 2, 3]


def test_damage_in_the_middle_costs_only_itself(disk: SimDisk) -> None:
    store = opened(disk)
    for number in range(5):
        store.append("events", {"n": number})
    lines = disk.read(FIRST).splitlines(keepends=True)
    lines[2] = b"\0" * (len(lines[2]) - 1) + b"\n"
    disk.write(FIRST, b"".join(lines))
    assert sequences(store) == [1, 2, 4, 5]
    assert store.journal_damage("events") == 1
    assert opened(disk).append("events", {"n": 5}) == 6


def test_a_long_torn_tail_is_looked_behind(disk: SimDisk) -> None:
    store = opened(disk)
    store.append("events", {"n": 1})
    disk.write(FIRST, disk.read(FIRST) + b"x" * 300_000)
    assert opened(disk).append("events", {"n": 2}) == 2
    assert sequences(store) == [1, 2]


def test_segments_follow_each_other(disk: SimDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES_MAX", 500)
    stores = [opened(disk) for _ in range(3)]
    for number in range(1, 61):
        assert stores[number % 3].append("events", {"n": number}) == number
    segments = [path for path in disk.tree() if path.startswith("/state/journal/events/")]
    assert len(segments) > 5
    for after in range(62):
        assert sequences(stores[0], after=after) == list(range(after + 1, 61))
    assert opened(disk).append("events", {"n": 61}) == 61


def test_a_full_segment_with_a_torn_tail_is_ended_before_the_next_begins(
    disk: SimDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES_MAX", 100)
    store = opened(disk)
    store.append("events", {"n": 1})
    disk.write(FIRST, disk.read(FIRST) + b"x" * 100)
    for number in (2, 3, 4):
        assert opened(disk).append("events", {"n": number}) == number
    assert sequences(store) == [1, 2, 3, 4]


def test_an_entry_longer_than_a_piece_is_read_whole(disk: SimDisk) -> None:
    store = opened(disk)
    for size in (10, 200_000, 70_000, 900_000, 10):
        store.append("events", {"pad": "x" * size})
    assert [len(entry.value["pad"]) for entry in store.read("events")] == [10, 200_000, 70_000, 900_000, 10]


def test_a_watch_sees_what_another_appends_meanwhile(disk: SimDisk) -> None:
    writer = opened(disk)
    writer.append("events", {"n": 1})

    class Sleeper(type(disk.host())):  # type: ignore[misc]  # reason: a host whose sleep lets another process work
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            writer.append("events", {"n": 2})

    reader = FileStore("/state", host=Sleeper(disk))
    assert reader.watch("events", after=1, timeout_s=60.0) is True
    assert reader.watch("events", after=10_000, timeout_s=1.0) is False


@pytest.mark.parametrize("seed", range(20))
def test_reading_after_a_sequence_finds_what_reading_all_finds_also_between_damage(
    disk: SimDisk, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(journals, "_PIECE_BYTES", 512)
    monkeypatch.setattr(journals, "_TAIL_BYTES", 64)
    chance = random.Random(seed)
    store = opened(disk)
    for _ in range(400):
        store.append("events", {"pad": "x" * chance.choice((0, 10, 300))})
        if chance.random() < 0.03:
            last = disk.read(FIRST).splitlines()[-1]
            disk.write(FIRST, disk.read(FIRST) + last[: chance.randrange(1, len(last))])  # a torn tail
            store = opened(disk)
    lines = disk.read(FIRST).splitlines(keepends=True)
    for index in chance.sample(range(len(lines)), 5):
        if chance.random() < 0.5:
            lines[index] = b"\0" * (len(lines[index]) - 1) + b"\n"
        else:  # a number that has become small
            lines[index] = b'{"seq":1,' + lines[index].partition(b",")[2]
    disk.write(FIRST, b"".join(lines))
    everything = sequences(store)
    assert len(everything) >= 380
    for after in (0, *chance.sample(range(401), 60), 400, 401):
        assert sequences(store, after=after) == [sequence for sequence in everything if sequence > after]


def test_reading_after_nearly_all_of_a_segment_looks_at_little_of_it(disk: SimDisk) -> None:
    opened(disk).append("events", {})
    first = disk.read(FIRST).decode()
    disk.write(FIRST, "".join(first.replace('"seq":1', f'"seq":{number}', 1) for number in range(1, 50_001)).encode())
    host = FaultHost(disk.host())
    assert sequences(FileStore("/state", host=host), after=49_995) == list(range(49_996, 50_001))
    assert sum(call.operation == "pread" for call in host.calls) < 12

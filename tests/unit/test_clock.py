"""Moments, ages over boots and hosts, durations."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sharedstate.clock import DURATION_MS_MAX, Age, Instant, age_between, iso_of_ms, ms_of_iso, parse_duration_ms

NOON = 1_772_366_400_000
SKEW = 5_000


def at(wall_ms: int, boot_ms: int = 0, boot: str = "") -> Instant:
    return Instant(at_ms=NOON + wall_ms, boot_ms=boot_ms, boot_id=boot)


@pytest.mark.parametrize(
    "since, now, age",
    [
        (at(0, 1_000, "a"), at(60_000, 61_000, "a"), Age(ms=60_000)),
        (at(0, 1_000, "a"), at(9_999_999, 61_000, "a"), Age(ms=60_000)),  # the wall clock leapt ahead
        (at(0, 1_000, "a"), at(-9_999_999, 61_000, "a"), Age(ms=60_000)),  # the wall clock fell back
        (at(0, 500_000, "a"), at(60_000, 1_000, "b"), Age(ms=60_000)),  # another boot: only the wall counts
        (at(0), at(60_000), Age(ms=60_000)),  # boots cannot be told apart
        (at(0, 500_000), at(60_000, 1_000), Age(ms=60_000)),  # no boot id means no common boot
        (at(0), at(0), Age(ms=0)),
        (at(SKEW), at(0), Age(ms=0)),  # exactly the allowed skew is no future
        (at(SKEW + 1), at(0), Age(ms=0, future=True)),
        (at(10**9, 1, "a"), at(0, 1, "b"), Age(ms=0, future=True)),
    ],
)
def test_age_by_boot_time_on_one_boot_else_by_wall_time(since: Instant, now: Instant, age: Age) -> None:
    assert age_between(since=since, now=now, skew_ms=SKEW) == age


def test_a_moment_later_than_now_on_the_same_boot_is_in_the_future_too() -> None:
    """Else a damaged record, or a container with a clock namespace of its own, would make a claim immortal."""
    age = age_between(since=at(0, 10**12, "a"), now=at(0, 1_000, "a"), skew_ms=SKEW)
    assert age == Age(ms=0, future=True)
    assert age_between(since=at(0, 6_000, "a"), now=at(0, 1_000, "a"), skew_ms=SKEW) == Age(ms=0)


@pytest.mark.parametrize(
    "ms, text",
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (NOON + 30_250, "2026-03-01T12:00:30.250Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
    ],
)
def test_moments_are_written_and_read_as_rfc_3339(ms: int, text: str) -> None:
    assert iso_of_ms(ms) == text
    assert ms_of_iso(text) == ms


def test_an_instant_knows_its_aware_wall_time() -> None:
    assert at(0).at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert at(250).iso() == "2026-03-01T12:00:00.250Z"


def test_offsets_are_understood_and_naive_moments_refused() -> None:
    assert ms_of_iso("2026-03-01T13:00:30.250+01:00") == ms_of_iso("2026-03-01T12:00:30.250Z")
    for text in ("2026-03-01T12:00:30", "2026-03-01", "soon", "", "12:00Z"):
        with pytest.raises(ValueError, match=r"."):
            ms_of_iso(text)


@pytest.mark.parametrize(
    "text, ms",
    [
        ("300s", 300_000),
        ("300", 300_000),
        ("1.5", 1_500),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
        ("250ms", 250),
        ("1s500ms", 1_500),
        ("1.5s", 1_500),
        (" 10S\n", 10_000),
        ("0", 0),
        ("3650d", DURATION_MS_MAX),
    ],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "s", "-5s", "+5s", "5 s", "1m30", "30m1h", "1s1s", "1x", "1.2.3s", ".", "1e3s"),
        *("3651d", "9" * 400 + "s", "\u0663s", "5sm", "0x10s", "1,5s", "1\u00a0s", "inf", "nan", "1_0s"),
    ],
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a duration.*300s"):
        parse_duration_ms(text)

"""Moments and ages: wall time for people, boot time for decisions.

On one boot of one kernel, ages are differences of `CLOCK_BOOTTIME` (it runs on through suspend), so a step of the
wall clock neither kills nor immortalises a claim. Across boots and hosts only wall time is comparable, within an
allowed skew.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from sharedstate.values import Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_MIN = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
_MS_MAX = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


class Instant(Value):
    """One reading of a clock: `at_ms` Unix milliseconds, `boot_ms` milliseconds since boot, `boot_id` which boot.

    An empty `boot_id` means that boots cannot be told apart (not Linux); then only wall time is compared.
    """

    at_ms: int
    boot_ms: int
    boot_id: str

    @property
    def at(self) -> datetime:
        """Wall time as an aware UTC `datetime` with millisecond resolution."""
        return _EPOCH + timedelta(milliseconds=self.at_ms)

    def iso(self) -> str:
        """Wall time as RFC 3339 with milliseconds and `Z`."""
        return iso_of_ms(self.at_ms)


class Age(Value):
    """How old a moment is: `ms` (>= 0), and whether it lies in the future by more than the allowed skew."""

    ms: int
    future: bool = False


def age_between(*, since: Instant, now: Instant, skew_ms: int) -> Age:
    """Age of `since` at `now`: by boot time on the same boot, else by wall time.

    A moment in the future within `skew_ms` has age 0; beyond it the age is 0 and `future` is set, and the caller
    decides (docs/claims.md: such a moment counts from when it was first seen).
    """
    same_boot = since.boot_id != "" and since.boot_id == now.boot_id
    passed_ms = now.boot_ms - since.boot_ms if same_boot else now.at_ms - since.at_ms
    return Age(ms=max(0, passed_ms), future=passed_ms < -skew_ms)


@lru_cache(maxsize=256)  # one transition names the same moment up to six times
def iso_of_ms(at_ms: int) -> str:
    """Unix milliseconds as RFC 3339 UTC, for example `2026-03-01T12:00:30.250Z`."""
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


@lru_cache(maxsize=256)  # a record mostly names the same moment several times, and is read several times
def ms_of_iso(text: str) -> int:
    """Unix milliseconds of an RFC 3339 moment; raises `ValueError` when it is not one or has no UTC offset.

    Only moments in the years 1 to 9999 of UTC are, so that whatever was read can be written again.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no UTC offset: {text!r}")
    ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not _MS_MIN <= ms <= _MS_MAX:  # its offset takes it out of the calendar
        raise ValueError(f"outside of the years 1 to 9999: {text!r}")
    return ms


_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION_MS_MAX = 3650 * _UNITS_MS["d"]


def parse_duration_ms(text: str) -> int:
    """Milliseconds of a duration: `300s`, `1h30m`, `250ms`, `2d`; a bare number means seconds. Raises `ValueError`.

    Range 0 to 3650 days; units ms, s, m, h, d, each at most once, largest first; fractions are allowed (`1.5s`).
    """
    rest = text.strip().lower()
    if not rest.isascii():
        raise ValueError(_not_a_duration(text))
    total, last_ms, bare = 0.0, DURATION_MS_MAX + 1, rest.replace(".", "", 1).isdigit()
    rest = rest + "s" if bare else rest
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit_text = rest[digits:]
        letters = len(unit_text) - len(unit_text.lstrip("dhms"))
        unit_ms = _UNITS_MS.get(unit_text[:letters], 0)
        if not digits or not 0 < unit_ms < last_ms:
            raise ValueError(_not_a_duration(text))
        try:
            total += float(rest[:digits]) * unit_ms
        except ValueError:
            raise ValueError(_not_a_duration(text)) from None
        last_ms, rest = unit_ms, unit_text[letters:]
    if not text.strip() or total > DURATION_MS_MAX:
        raise ValueError(_not_a_duration(text))
    return round(total)


def _not_a_duration(text: str) -> str:
    return f"not a duration: {text[:40]!r} (examples: 300s, 5m, 1h30m, 250ms; at most 3650d)"

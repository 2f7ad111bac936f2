"""Ages and moments as people read them."""

from __future__ import annotations

from sharedstate.clock import iso_of_ms

_STEPS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"))


def span(ms: int) -> str:
    """A length of time: `250 ms`, `12 s`, `5 m`, `1 h 30 m`, `3 d 4 h`; rounded down to two units at most."""
    if ms < 1000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms // 1000} s"
    for index, (unit_ms, unit) in enumerate(_STEPS):
        if ms >= unit_ms:
            whole, rest = divmod(ms, unit_ms)
            lower_ms, lower = _STEPS[index + 1] if index + 1 < len(_STEPS) else (1000, "s")
            below = rest // lower_ms
            return f"{whole} {unit} {below} {lower}" if below else f"{whole} {unit}"
    return f"{ms} ms"


def ago(ms: int) -> str:
    """How long ago: `12 s ago`."""
    return f"{span(ms)} ago"


def moment(at_ms: int) -> str:
    """Wall time: `2026-03-01 12:00:30 UTC`."""
    return f"{iso_of_ms(at_ms)[:19].replace('T', ' ')} UTC"


def moment_of_iso(text: object) -> str:
    """The same of an RFC 3339 text as the ledgers hold it; anything else is shown as it is."""
    if isinstance(text, str) and len(text) >= 20 and text.endswith("Z"):
        return f"{text[:19].replace('T', ' ')} UTC"
    return str(text)

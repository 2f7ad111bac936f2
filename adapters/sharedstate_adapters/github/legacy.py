"""State comments of older tools, `codex-monitor-state` and `bosun-state`: for people's information, never acted on.

They carry no signature and cannot be told from a stranger's, so nothing in them frees, steals or raises a claim.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sharedstate.clock import ms_of_iso
from sharedstate.errors import Corrupt
from sharedstate.jsonio import decode
from sharedstate.values import Value

MARKERS: Final = ("codex-monitor-state", "bosun-state")
BODY_CHARACTERS_MAX: Final = 65_536
_COMMENT: Final = re.compile(r"<!--\s*(codex-monitor-state|bosun-state)\s*(\{.*?\})\s*-->", re.DOTALL)
# Both spellings of each field, `ownerId` and `owner_id`, fold to one.
_SPELLINGS: Final = {
    "owner": ("ownerid", "owner"),
    "status": ("status", "attemptstatus"),
    "started": ("attemptstarted", "startedat", "started"),
    "heartbeat": ("heartbeat", "ownerheartbeat", "lastheartbeat"),
    "retries": ("retrycount", "retries"),
}


class LegacyState(Value):
    """What an older tool said: moments in Unix milliseconds, None where unknown. Tokens in it are not read."""

    tool: str
    owner: str | None = None
    status: str | None = None
    started_ms: int | None = None
    heartbeat_ms: int | None = None
    retries: int | None = None


def is_legacy(body: str) -> bool:
    """Whether a comment begins like one of an older tool."""
    return body[:200].lstrip().startswith(tuple(f"<!-- {marker}" for marker in MARKERS))


def read_legacy(body: str) -> LegacyState | None:
    """What an older tool's comment says; None when it is none, or cannot be read."""
    if len(body) > BODY_CHARACTERS_MAX or not is_legacy(body):
        return None
    found = _COMMENT.match(body.lstrip())
    if found is None:
        return None
    try:
        document = decode(found[2].encode("utf-8", "replace"), what=found[1])
    except Corrupt:
        return None
    folded = {name.replace("_", "").replace("-", "").lower(): value for name, value in document.items()}
    known = {
        name: next((folded[spelling] for spelling in spellings if folded.get(spelling) is not None), None)
        for name, spellings in _SPELLINGS.items()
    }
    retries = known["retries"]
    return LegacyState(
        tool=found[1],
        owner=_text(known["owner"]),
        status=_text(known["status"]),
        started_ms=_moment(known["started"]),
        heartbeat_ms=_moment(known["heartbeat"]),
        retries=retries if isinstance(retries, int) and not isinstance(retries, bool) and retries >= 0 else None,
    )


def _text(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


def _moment(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return value
    try:
        return ms_of_iso(value) if isinstance(value, str) else None
    except ValueError:
        return None

"""What an answer of GitHub means, decided once and purely: `Ok | NotModified | Parked | Failed`.

A moment that GitHub names is taken relative to GitHub's own clock (the `Date` header), so that a wrong clock here, or a
manual one in a test, neither shortens nor stretches a wait.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

from sharedstate.sync.board import Failed, Fault, Parked
from sharedstate.values import Value

WAIT_MS_DEFAULT: Final = 60_000  # what GitHub's documentation asks for where no header says more
WAIT_MS_MIN: Final = 1_000
WAIT_MS_MAX: Final = 6 * 3_600_000
DETAIL_CHARACTERS_MAX: Final = 300
_READS: Final = ("GET", "HEAD")
_SECONDARY: Final = re.compile(
    r"secondary rate limit|abuse detection|wait a few minutes|retry your request again later"
)
_LOCKED: Final = re.compile(r"\blocked\b", re.IGNORECASE)
_PHRASES: Final = {one.value: one.phrase for one in HTTPStatus}
_KINDS: Final[dict[int, Fault]] = {
    301: "moved",
    302: "moved",
    307: "moved",
    308: "moved",
    401: "forbidden",
    403: "forbidden",
    404: "gone",
    408: "transient",
    410: "gone",
    423: "locked",
    425: "transient",
    451: "forbidden",
}


class Ok(Value):
    """A good answer: status 200 to 299, headers by lower-case name, and the JSON document (None for an empty body)."""

    status: int
    headers: Mapping[str, str]
    document: Any

    @property
    def date_ms(self) -> int | None:
        """GitHub's own clock, Unix milliseconds; None when it did not say."""
        return _date_ms(self.headers)

    @property
    def next_url(self) -> str | None:
        """Where the next page is, None on the last one."""
        found = re.search(r'<([^<>]+)>;\s*rel="next"', self.headers.get("link", ""))
        return None if found is None else found[1]


class NotModified(Value):
    """304: what we have is what there is. Costs nothing of the primary limit."""


Answer = Ok | NotModified | Parked | Failed


def classify(*, method: str, status: int, headers: Mapping[str, str], text: str, now_ms: int) -> Answer:
    """The meaning of one answer. `headers` by lower-case name; `now_ms` is our clock when it arrived."""
    if status == 304:
        return NotModified()
    if 200 <= status < 300:
        return _good(method, status, headers, text)
    message = message_of(text) or _PHRASES.get(status, "")
    if status in (403, 429):
        parked = _limit(status, headers, message, now_ms)
        if parked is not None:
            return parked
    if status == 503 and "retry-after" in headers and method != "POST":  # a post may have been carried out
        return _parked(now_ms, _retry_after_ms(headers["retry-after"], headers, now_ms), "service unavailable")
    if status == 403 and _LOCKED.search(message):
        return Failed(kind="locked", detail=message)
    detail = f"{status} {message}".strip()
    if status in (301, 302, 307, 308) and (target := headers.get("location") or headers.get("x-moved-to")):
        detail = tame(f"{detail} to {target}")
    if status >= 500 or status < 200:
        return Failed(kind="transient", detail=detail, applied=method not in _READS)
    return Failed(kind=_KINDS.get(status, "conflict"), detail=detail)


def message_of(text: str) -> str:
    """What an error says, as one line of at most 300 characters; empty when it says nothing in JSON."""
    try:
        document = json.loads(text) if text[:1] == "{" else {}
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    parts = [str(document.get("message") or "")]
    errors = document.get("errors")
    for error in errors[:5] if isinstance(errors, list) else ():
        told = {name: str(value) for name, value in error.items()} if isinstance(error, dict) else {"": str(error)}
        parts.append(told.get("message") or " ".join(told.get(name, "") for name in ("field", "code", "")).strip())
    return tame(": ".join(part for part in parts if part))


def tame(text: str) -> str:
    """Foreign text as one printable line, cut to size."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:DETAIL_CHARACTERS_MAX]


def _good(method: str, status: int, headers: Mapping[str, str], text: str) -> Answer:
    if not text.strip():
        return Ok(status=status, headers=headers, document=None)
    try:
        return Ok(status=status, headers=headers, document=_whole(json.loads(text), text))
    except (ValueError, RecursionError):
        return Failed(kind="transient", detail=f"{status} with a body that is no JSON", applied=method not in _READS)


def _whole(document: Any, text: str) -> Any:
    """The document without half characters (`\\ud800` alone), which no file and no request of ours could carry on."""
    if "\\ud" not in text.lower():
        return document
    return json.loads(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))


def _limit(status: int, headers: Mapping[str, str], message: str, now_ms: int) -> Parked | None:
    """How long to wait, when the answer is a limit; None when it is a plain refusal."""
    after = headers.get("retry-after")
    if after is not None:
        return _parked(now_ms, _retry_after_ms(after, headers, now_ms), "secondary rate limit")
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and re.fullmatch(r"[0-9]{1,12}", reset):
        there_ms = _date_ms(headers)
        # One second more: the window ends within the second that is named.
        wait_ms = int(reset) * 1000 - (now_ms if there_ms is None else there_ms) + 1000
        return _parked(now_ms, wait_ms, "primary rate limit")
    if status == 429 or _SECONDARY.search(message.lower()):
        return _parked(now_ms, WAIT_MS_DEFAULT, "secondary rate limit")
    if message.lower().startswith("api rate limit exceeded"):
        return _parked(now_ms, WAIT_MS_DEFAULT, "primary rate limit")
    return None


def _retry_after_ms(text: str, headers: Mapping[str, str], now_ms: int) -> int:
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return int(text) * 1000
    try:
        until_ms = _moment_ms(text)
    except (ValueError, OverflowError):
        return WAIT_MS_DEFAULT
    return until_ms - (_date_ms(headers) or now_ms)


def _parked(now_ms: int, wait_ms: int, reason: str) -> Parked:
    return Parked(until_ms=now_ms + min(max(wait_ms, WAIT_MS_MIN), WAIT_MS_MAX), reason=reason)


def _date_ms(headers: Mapping[str, str]) -> int | None:
    try:
        return _moment_ms(headers["date"])
    except (KeyError, ValueError, OverflowError):
        return None


def _moment_ms(text: str) -> int:
    """An HTTP date, Unix milliseconds; one that names no zone is UTC and not the time of this place."""
    moment = parsedate_to_datetime(text)
    return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() * 1000)

"""What a claim's arguments may be: every bound in one place, each refused with name and range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sharedstate.claims.model import (
    META_CHARACTERS_MAX,
    META_ENTRIES_MAX,
    TOKEN_CHARACTERS_MAX,
    TTL_MS_MAX,
    TTL_MS_MIN,
)
from sharedstate.errors import EXIT_CORRUPT, EXIT_EXHAUSTED, EXIT_REFUSED, Corrupt, InvalidInput, NewerFormat
from sharedstate.ids import check_id
from sharedstate.tasks import outcomes as why
from sharedstate.tasks.model import ABANDONED, COMPLETE, FAILED
from sharedstate.tasks.service import TaskView, check_reason

PRIORITY_MAX = 1_000_000
_EXIT_CODES: Final = {
    why.TASK_IGNORED: EXIT_EXHAUSTED,
    why.MAX_RETRIES_EXCEEDED: EXIT_EXHAUSTED,
    Corrupt.code: EXIT_CORRUPT,
    NewerFormat.code: EXIT_CORRUPT,
}


def owner_of(owner: str | None, *, default: str, host: str) -> str:
    """The canonical owner: `workstation/agent`; an owner without a slash gets this workstation in front."""
    return default if owner is None else _on_host(check_id(owner, what="owner"), host)


def _on_host(owner: str, host: str) -> str:
    return owner if "/" in owner else check_id(f"{host}/{owner}", what="owner")


def check_ttl(ttl_ms: Any, *, default: int) -> int:
    """The ttl in milliseconds, within 10 ms to 30 days."""
    chosen: Any = default if ttl_ms is None else ttl_ms
    if isinstance(chosen, bool) or not isinstance(chosen, int) or not TTL_MS_MIN <= chosen <= TTL_MS_MAX:
        raise InvalidInput(f"ttl must be from {TTL_MS_MIN} ms to {TTL_MS_MAX // 86_400_000} days, not {chosen!r} ms")
    return int(chosen)


def check_token(token: str | None) -> str | None:
    """A token given by the caller: 8 to 200 printable ASCII characters without spaces."""
    if token is None:
        return None
    if not 8 <= len(token) <= TOKEN_CHARACTERS_MAX or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInput(f"a token has 8 to {TOKEN_CHARACTERS_MAX} printable ASCII characters without spaces")
    return token


def check_priority(priority: Any) -> int:
    """0 (most urgent) to 1,000,000."""
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= PRIORITY_MAX:
        raise InvalidInput(f"priority must be from 0 to {PRIORITY_MAX}, not {priority!r}")
    return int(priority)


def check_force_reason(reason: str | None) -> str | None:
    """The audited reason of a forced takeover: 1 to 500 characters that are not blank."""
    return None if reason is None else check_reason(reason)


def check_meta(meta: Mapping[str, Any] | None) -> dict[str, str]:
    """Up to 50 texts of up to 1,000 characters under names of up to 200."""
    if meta is None:
        return {}
    if not isinstance(meta, Mapping):
        raise InvalidInput(f"meta is a mapping of texts, not {type(meta).__name__}")
    if len(meta) > META_ENTRIES_MAX:
        raise InvalidInput(f"meta has at most {META_ENTRIES_MAX} entries, not {len(meta)}")
    for name, text in meta.items():
        check_id(name, what="meta name")
        if not isinstance(text, str) or len(text) > META_CHARACTERS_MAX:
            raise InvalidInput(f"meta {name!r} must be text of at most {META_CHARACTERS_MAX} characters")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidInput(f"meta {name!r} contains a lone surrogate") from None
    return dict(meta)


def is_coordinator(owner: str, patterns: Sequence[str], *, host: str) -> bool:
    """Whether a configured pattern names this owner; a trailing `*` matches any ending, `*` alone everybody.

    As with owners, a pattern without a slash means one on this workstation.
    """
    for pattern in patterns:
        whole = pattern if pattern == "*" or "/" in pattern else f"{host}/{pattern}"
        if owner == whole or (whole.endswith("*") and owner.startswith(whole[:-1])):
            return True
    return False


def ineligible(view: TaskView, *, owner: str, retries_max: int, options: Mapping[str, Any]) -> str | None:
    """Why a look without a lock tells that this owner cannot begin the task now, or None.

    Its own live claims count too: they are no work to begin.
    """
    state = view.state
    if state.ignored is not None:
        return why.TASK_IGNORED
    if state.owner == owner and not view.stale:
        return why.TASK_ALREADY_CLAIMED
    if options.get("reopen") or options.get("force_reason") or options.get("priority") is not None:
        return None
    if state.owner is not None and not view.stale:
        return why.EXISTING_OWNER_ACTIVE
    if state.status == COMPLETE:
        return why.TASK_ALREADY_COMPLETE
    if state.status in (FAILED, ABANDONED) and state.retries >= retries_max:
        return why.MAX_RETRIES_EXCEEDED
    return None


def exit_code_of(reason: str) -> int:
    """The exit code for a refusal: 6 when retries are exhausted or the task is ignored, 7 when the record cannot be
    read, else 3.
    """
    return _EXIT_CODES.get(reason, EXIT_REFUSED)

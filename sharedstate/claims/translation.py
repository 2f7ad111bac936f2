"""One entry of an older tool's ledger in our words. Every change on the way is noted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sharedstate import jsonio
from sharedstate.claims.legacy import RETRIES_MAX, Fields, LegacyClaim, LegacyTask, RawEntry
from sharedstate.claims.model import META_CHARACTERS_MAX, META_ENTRIES_MAX, TTL_MS_MAX, TTL_MS_MIN
from sharedstate.claims.requests import PRIORITY_MAX, check_token
from sharedstate.clock import iso_of_ms, ms_of_iso
from sharedstate.errors import InvalidInput
from sharedstate.ids import check_id, digest_of
from sharedstate.tasks.model import (
    ABANDONED,
    CLAIMED,
    COMPLETE,
    ERROR_CHARACTERS_MAX,
    FAILED,
    HISTORY_ENTRIES_MAX,
    HISTORY_TEXT_CHARACTERS_MAX,
    NEW,
    PRIORITY_DEFAULT,
    Document,
)
from sharedstate.tasks.policy_import import Foreign
from sharedstate.tasks.service import REASON_CHARACTERS_MAX
from sharedstate.values import Value

_STATUSES: Final[Mapping[str, str]] = {
    "claimed": CLAIMED,
    "working": CLAIMED,
    "complete": COMPLETE,
    "completed": COMPLETE,
    "done": COMPLETE,
    "failed": FAILED,
    "abandoned": ABANDONED,
    "new": NEW,
}
_SECRET_NAME: Final = re.compile(r"token|secret|passw|credential|api_?key|authorization|private_?key", re.IGNORECASE)
_MASK: Final = "…"
_MASKED_CHARACTERS_MIN: Final = 4
_DETAIL_CHARACTERS_MAX: Final = 500
_KEPT_CHARACTERS_MAX: Final = 16 * 1024
_MS_MAX: Final = 253_402_300_799_999  # the end of the year 9999
_SECONDS_BELOW: Final = 100_000_000_000  # as seconds the year 5138, as milliseconds 1973
_MS_BELOW: Final = 100_000_000_000_000
_EVENT_NAMES: Final = ("event", "type", "action", "name")
_EVENT_MOMENTS: Final = ("at", "timestamp", "time", "ts", "date", "createdAt", "created_at")
_EVENT_OWNERS: Final = ("ownerId", "owner_id", "owner", "instanceId", "instance_id", "agentId", "agent")
_EVENT_DETAILS: Final = ("detail", "details", "message", "reason", "error")


class Translation(Value, hidden=("token",)):
    """A foreign entry in our words, its secret token (for the local ledger only), what was changed and why."""

    foreign: Foreign
    token: str | None
    notes: tuple[str, ...]


def task_of(entry: RawEntry, fields: Fields) -> str:
    """The canonical task id, from the entry or its key in the map.

    Raises `InvalidInput` when there is none or they differ.
    """
    named, key = fields.entry.task, entry.key or None
    if named is None and key is None:
        raise InvalidInput("no task id")
    task = check_id(named if named is not None else key)
    if key is not None and check_id(key) != task:
        raise InvalidInput(f"stands under the key {key[:60]!a}, but names the task {task[:60]!a}")
    return task


def translate(entry: RawEntry, fields: Fields, *, host: str, ttl_ms_default: int) -> Translation:
    """The entry as a `Foreign`. `host` goes in front of an owner that names none.

    Raises `InvalidInput` for what cannot be taken.
    """
    work = _Translator(entry, fields, host=host, ttl_ms_default=ttl_ms_default)
    foreign = work.task(fields.entry) if isinstance(fields.entry, LegacyTask) else work.claim(fields.entry)
    return Translation(foreign=foreign, token=work.token, notes=tuple(work.notes))


class _Translator:
    """The translation of one entry: collects notes, hides the token wherever it turns up in a text."""

    def __init__(self, entry: RawEntry, fields: Fields, *, host: str, ttl_ms_default: int) -> None:
        self._entry = entry
        self._fields = fields
        self._host = host
        self._ttl_ms_default = ttl_ms_default
        self._task = task_of(entry, fields)
        self.token = fields.entry.token or None
        self.notes = list(fields.notes)
        if self.token is not None:
            _refuse_surrogates(self.token)

    def task(self, entry: LegacyTask) -> Foreign:
        started_ms = self._moment(entry.started, "attempt start")
        seen_ms = self._moment(entry.heartbeat, "heartbeat")
        owner = self._owner(entry.owner, self._host)
        status, kept = self._status(entry.status, owner)
        retries = self._bounded(entry.retries or 0, 0, RETRIES_MAX, "retry count")
        history = self._history(entry.log or [], default_ms=started_ms or seen_ms)
        if status == CLAIMED and not seen_ms:
            self.notes.append("no heartbeat: the claim counts as stale")
        begun = status != NEW or started_ms > 0 or owner is not None
        moments = [started_ms, seen_ms, *(ms_of_iso(item["at"]) for item in history)]
        return Foreign(
            task=self._task,
            ledger=self._entry.ledger,
            fingerprint=self._fields.fingerprint,
            moment_ms=max(moments),
            status=status,
            owner=owner,
            digest="" if self.token is None else digest_of(self.token),
            seen_ms=seen_ms,
            created_ms=min((moment for moment in moments if moment), default=0),
            ttl_ms=self._ttl(entry.ttl_s, 1000),
            attempts=retries + (1 if begun else 0),
            retries=retries,
            last_error=self._text(entry.last_error, ERROR_CHARACTERS_MAX, "last error"),
            ignore_reason=self._ignore_reason(entry.ignore_reason),
            history=history,
            kept={**kept, **self._unknown()},
        )

    def claim(self, entry: LegacyClaim) -> Foreign:
        metadata = dict(entry.metadata or {})
        host = metadata.get("host")
        host = host.strip() if isinstance(host, str) else ""
        claimed_ms = self._moment(entry.claimed_at, "claim time")
        seen_ms = self._moment(entry.renewed_at, "renewal time") or claimed_ms
        expires_ms = self._moment(entry.expires_at, "expiry")
        owner = self._owner(entry.owner, host or self._host)
        status, kept = self._status(entry.status or CLAIMED, owner)
        priority = PRIORITY_DEFAULT if entry.priority is None else entry.priority
        return Foreign(
            task=self._task,
            ledger=self._entry.ledger,
            fingerprint=self._fields.fingerprint,
            moment_ms=max(claimed_ms, seen_ms),
            status=status,
            owner=owner,
            digest="" if self.token is None else digest_of(self.token),
            seen_ms=seen_ms,
            created_ms=claimed_ms or seen_ms,
            ttl_ms=self._claim_ttl(entry.ttl_minutes, seen_ms=seen_ms, expires_ms=expires_ms),
            host=host[:META_CHARACTERS_MAX],
            priority=self._bounded(priority, 0, PRIORITY_MAX, "coordinator priority"),
            meta=self._meta(metadata),
            attempts=0 if status == NEW else 1,
            kept={**kept, **self._unknown()},
        )

    # Fields

    def _moment(self, value: Any, what: str) -> int:
        """Unix milliseconds, 0 for none or for what cannot be read (noted)."""
        try:
            moment_ms, naive = moment_of(value)
        except ValueError:
            self.notes.append(f"{what} {self._shown(value)} cannot be read: counts as missing")
            return 0
        if naive:
            self.notes.append(f"{what} names no time zone: taken as UTC")
        return moment_ms

    def _owner(self, owner: str | None, host: str) -> str | None:
        if owner is None or not owner.strip():
            return None
        text = owner.strip()
        canonical = check_id(text if "/" in text else f"{host}/{text}", what="owner")
        if canonical != owner:
            self.notes.append(f"owner {owner[:60]!r} became {canonical[:120]!r}")
        return canonical

    def _status(self, raw: str | None, owner: str | None) -> tuple[str, dict[str, Any]]:
        status = _STATUSES.get((raw or NEW).strip().lower())
        if status is None:
            self.notes.append(f"unknown status {self._shown(raw)}: taken as new, kept as it was")
            return NEW, {"status": self._masked(raw or "")[:_DETAIL_CHARACTERS_MAX]}
        if status == CLAIMED and owner is None:
            self.notes.append("claimed, but by nobody: taken as new")
            return NEW, {}
        return status, {}

    def _ttl(self, amount: float | None, unit_ms: int) -> int:
        if amount is None:
            self.notes.append(f"no ttl: {self._ttl_ms_default / 1000:g} s taken")
            return self._ttl_ms_default
        return self._bounded(round(max(-1.0, min(amount * unit_ms, 1e15))), TTL_MS_MIN, TTL_MS_MAX, "ttl in ms")

    def _claim_ttl(self, minutes: float | None, *, seen_ms: int, expires_ms: int) -> int:
        """The longer of ttl and expiry: the foreign owner may believe either, and must not be overtaken."""
        until_expiry_ms = expires_ms - seen_ms if seen_ms and expires_ms > seen_ms else 0
        if minutes is None and until_expiry_ms:
            return self._bounded(until_expiry_ms, TTL_MS_MIN, TTL_MS_MAX, "ttl in ms")
        ttl_ms = self._ttl(minutes, 60_000)
        if until_expiry_ms > ttl_ms:
            self.notes.append("the expiry is later than the ttl says: the expiry taken")
            return self._bounded(until_expiry_ms, TTL_MS_MIN, TTL_MS_MAX, "ttl in ms")
        return ttl_ms

    def _bounded(self, number: int, low: int, high: int, what: str) -> int:
        inside = max(low, min(number, high))
        if inside != number:
            self.notes.append(f"{what} {number} is outside {low} to {high}: {inside} taken")
        return inside

    def _ignore_reason(self, value: Any) -> str | None:
        if value is None or value is False or value == "":
            return None
        text = None if value is True else self._text(value, REASON_CHARACTERS_MAX, "ignore reason")
        return (text or "").strip() or "ignored by the older tool"

    def _text(self, value: Any, limit: int, what: str) -> str | None:
        if value is None:
            return None
        text = self._masked(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        if len(text) > limit:
            self.notes.append(f"{what} cut from {len(text)} to {limit} characters")
        return text[:limit]

    # Parts

    def _history(self, log: list[Any], *, default_ms: int) -> tuple[Document, ...]:
        room = HISTORY_ENTRIES_MAX - 1  # the import itself is an entry too
        if len(log) > room:
            self.notes.append(f"the latest {room} of {len(log)} log entries taken")
        entries: list[Document] = []
        at_ms = default_ms
        for item in log[-room:]:
            told: dict[str, Any] = item if isinstance(item, dict) else {"event": item}
            try:
                at_ms = moment_of(_first(told, _EVENT_MOMENTS))[0] or at_ms
            except ValueError:
                pass  # keeps the moment of its neighbour: the order of the log is what matters
            entries.append(self._log_entry(told, at_ms))
        return tuple(entries)

    def _log_entry(self, told: dict[str, Any], at_ms: int) -> Document:
        entry: Document = {"at": iso_of_ms(at_ms), "source": self._entry.ledger}
        named = (("event", _EVENT_NAMES), ("owner", _EVENT_OWNERS), ("status", ("status",)), ("detail", _EVENT_DETAILS))
        for field, names in named:
            value = _first(told, names)
            if value is not None:
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                entry[field] = self._masked(text)[:HISTORY_TEXT_CHARACTERS_MAX]
        entry.setdefault("event", "note")
        return entry

    def _meta(self, metadata: Mapping[str, Any]) -> dict[str, str]:
        meta: dict[str, str] = {}
        for name, value in metadata.items():
            if _SECRET_NAME.search(name):
                self.notes.append(f"metadata {name[:60]!r} left out: it may hold a secret")
                continue
            if len(meta) >= META_ENTRIES_MAX:
                self.notes.append(f"more than {META_ENTRIES_MAX} metadata entries: the first ones taken")
                break
            try:
                text = self._text(_without_secrets(value), META_CHARACTERS_MAX, f"metadata {name[:60]!r}")
                meta[check_id(name, what="metadata name")] = text or ""
            except InvalidInput as error:
                self.notes.append(f"metadata left out: {error}")
        return meta

    def _unknown(self) -> dict[str, Any]:
        fields = {name: value for name, value in self._fields.unknown.items() if not _SECRET_NAME.search(name)}
        hidden = sorted(set(self._fields.unknown) - set(fields))
        if hidden:
            self.notes.append(f"left out, may hold secrets: {', '.join(hidden)[:_DETAIL_CHARACTERS_MAX]}")
        if not fields:
            return {}
        text = self._masked(jsonio.text_of(_without_secrets(fields)))
        if len(text) > _KEPT_CHARACTERS_MAX:
            self.notes.append(f"unknown fields left out: {len(text)} characters, {_KEPT_CHARACTERS_MAX} at most")
            return {}
        self.notes.append(f"unknown fields kept: {', '.join(sorted(fields))[:_DETAIL_CHARACTERS_MAX]}")
        kept: dict[str, Any] = json.loads(text)
        return {"fields": kept}

    def _masked(self, text: str) -> str:
        if self.token is None or len(self.token) < _MASKED_CHARACTERS_MIN:
            return text
        return text.replace(self.token, _MASK)

    def _shown(self, value: Any) -> str:
        return ascii(self._masked(value if isinstance(value, str) else repr(value))[:60])


def usable_token(token: str | None) -> bool:
    """Whether a foreign token can renew and release here (8 to 200 printable ASCII characters)."""
    try:
        return check_token(token) is not None
    except InvalidInput:
        return False


def moment_of(value: Any) -> tuple[int, bool]:
    """Unix milliseconds of a foreign moment (0 for none), and whether it named no time zone.

    Numbers, also as text, are seconds, milliseconds or microseconds by their size; texts are ISO 8601. Raises
    `ValueError`.
    """
    if value is None or value in ("", 0):
        return 0, False
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a moment")
    if isinstance(value, str):
        text = value.strip()
        try:
            value = float(text) if "." in text else int(text)
        except ValueError:
            return _moment_of_text(text)
    if not 0 < value < _MS_BELOW * 1000:
        raise ValueError("not a moment")
    unit = 1000 if value < _SECONDS_BELOW else 1 if value < _MS_BELOW else 0.001
    return _in_range(round(value * unit)), False


def _moment_of_text(text: str) -> tuple[int, bool]:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not a moment") from None
    naive = moment.tzinfo is None
    aware = moment.replace(tzinfo=UTC) if naive else moment
    return _in_range(ms_of_iso(aware.isoformat())), naive


def _in_range(moment_ms: int) -> int:
    if not 0 <= moment_ms <= _MS_MAX:
        raise ValueError("not a moment of the years 1970 to 9999")
    return moment_ms


def _first(told: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((told[name] for name in names if told.get(name) is not None), None)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_secrets(item) for name, item in value.items() if not _SECRET_NAME.search(name)}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def _refuse_surrogates(token: str) -> None:
    try:
        token.encode()
    except UnicodeEncodeError:
        raise InvalidInput("the token contains a lone surrogate") from None

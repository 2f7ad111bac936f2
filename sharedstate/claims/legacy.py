"""The ledgers of older tools: what their entries may look like, and one entry in our words.

Field names are compared without case and underscores, so `taskId` and `task_id` are one. Shapes are checked by
pydantic; what a value means (a moment in seconds, milliseconds or ISO text) is decided here, and every change on the
way is noted. Imported late: pydantic costs 0.15 s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sharedstate import jsonio
from sharedstate.errors import Corrupt, InvalidInput
from sharedstate.tasks.policy_import import CLAIMS, SHARED
from sharedstate.values import Value

ENTRIES_MAX: Final = 100_000
RETRIES_MAX: Final = 1_000_000


def _text_of_id(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str | None, BeforeValidator(_text_of_id)]
Number = Annotated[float | None, Field(allow_inf_nan=False)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LegacyTask(_Entry):
    """One task of `shared-task-states.json`. Moments stay as they came."""

    task: Text = None
    owner: Text = None
    heartbeat: Any = None
    token: Text = None
    started: Any = None
    status: str | None = None
    retries: int | None = None
    ttl_s: Number = None
    last_error: Any = None
    ignore_reason: Any = None
    log: list[Any] | None = None


class LegacyClaim(_Entry):
    """One claim of `task-claims.json`. Moments stay as they came."""

    task: Text = None
    owner: Text = None
    token: Text = None
    status: str | None = None
    claimed_at: Any = None
    renewed_at: Any = None
    expires_at: Any = None
    ttl_minutes: Number = None
    priority: int | None = None
    metadata: dict[str, Any] | None = None


# Spellings of each field, without case and underscores; the first that is present and not null is taken.
_TASK_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "task": ("taskid", "id", "task"),
    "owner": ("ownerid", "owner", "instanceid"),
    "heartbeat": ("ownerheartbeat", "heartbeat", "lastheartbeat", "heartbeatat"),
    "token": ("attempttoken", "token", "claimtoken"),
    "started": ("attemptstarted", "startedat", "started", "claimedat"),
    "status": ("attemptstatus", "status", "state"),
    "retries": ("retrycount", "retries"),
    "ttl_s": ("ttlseconds", "ttl"),
    "last_error": ("lasterror", "error"),
    "ignore_reason": ("ignorereason", "ignored"),
    "log": ("eventlog", "events", "history", "log"),
}
_CLAIM_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "task": ("taskid", "id", "task"),
    "owner": ("instanceid", "ownerid", "owner"),
    "token": ("claimtoken", "token", "attempttoken"),
    "status": ("status", "claimstatus", "attemptstatus", "state"),
    "claimed_at": ("claimedat", "createdat"),
    "renewed_at": ("renewedat", "lastrenewed", "heartbeat", "lastheartbeat", "ownerheartbeat"),
    "expires_at": ("expiresat", "expires"),
    "ttl_minutes": ("ttlminutes",),
    "priority": ("coordinatorpriority", "priority"),
    "metadata": ("metadata", "meta"),
}
_NAMES: Final = {SHARED: _TASK_NAMES, CLAIMS: _CLAIM_NAMES}
_ONLY_IN: Final = {
    SHARED: frozenset(
        ("ownerheartbeat", "attempttoken", "attemptstarted", "attemptstatus", "retrycount", "ttlseconds", "eventlog",
         "ignorereason", "lasterror")
    ),
    CLAIMS: frozenset(
        ("instanceid", "claimtoken", "claimedat", "expiresat", "renewedat", "ttlminutes", "coordinatorpriority")
    ),
}  # fmt: skip
_CONTAINERS: Final = {"tasks": SHARED, "taskstates": SHARED, "states": SHARED, "claims": CLAIMS}
_ABOUT_THE_FILE: Final = frozenset(
    (
        "version",
        "schema",
        "schemaversion",
        "updatedat",
        "lastupdated",
        "createdat",
        "generatedat",
        "lastmodified",
        "kind",
    )
)


class RawEntry(Value, hidden=("raw",)):
    """One entry as it stands in a file: its ledger, its key in a map ("" in a list), and the value itself."""

    ledger: str
    key: str
    raw: Any


class Fields(Value, hidden=("entry", "unknown")):
    """An entry by field: checked values, what was not known, and what had to be decided between two spellings."""

    entry: LegacyTask | LegacyClaim
    unknown: Mapping[str, Any]
    fingerprint: str
    notes: tuple[str, ...]


def entries_of(document: Mapping[str, Any], *, name: str) -> Iterator[RawEntry]:
    """The entries of a file: under `tasks` or `claims` (map or list), or the whole document as a map by task id.

    `name` is the file's name: it decides where an entry itself does not tell its ledger. Raises `Corrupt` when there
    is no place where entries could be, or more than 100,000 of them.
    """
    hint = CLAIMS if "claim" in name.lower() else SHARED
    containers = [key for key in document if _plain(key) in _CONTAINERS and _may_hold_entries(document[key])]
    if containers:
        pairs = [
            (_CONTAINERS[_plain(key)], *pair)
            for key in containers
            for pair in _pairs(document[key], what=f"{name}: {key}")
        ]
    elif _is_entry(document):
        pairs = [(hint, "", dict(document))]
    else:
        rest = {
            key: value
            for key, value in document.items()
            if _plain(key) not in _ABOUT_THE_FILE or isinstance(value, dict)
        }
        pairs = [(hint, key, value) for key, value in rest.items()]
    if len(pairs) > ENTRIES_MAX:
        raise Corrupt(f"{name}: {len(pairs)} entries, at most {ENTRIES_MAX} are taken at once")
    for ledger, key, raw in pairs:
        yield RawEntry(ledger=_ledger_of(raw, hint=ledger), key=key, raw=raw)


def fields_of(entry: RawEntry) -> Fields:
    """The entry by field, or `InvalidInput` with what is wrong with it."""
    if not isinstance(entry.raw, dict):
        raise InvalidInput("not an object")
    picked, unknown, notes = _picked(entry.raw, _NAMES[entry.ledger])
    if not set(picked) - {"task"}:
        raise InvalidInput("no field of a task or a claim in it")
    model = LegacyTask if entry.ledger == SHARED else LegacyClaim
    try:
        checked = model.model_validate(picked)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{where}: {first['msg']}") from None
    raw = jsonio.encode_line({"key": entry.key, "ledger": entry.ledger, "entry": entry.raw})
    fingerprint = blake2b(raw, digest_size=16, person=b"sharedstate-imp").hexdigest()
    return Fields(entry=checked, unknown=unknown, fingerprint=fingerprint, notes=tuple(notes))


def _picked(
    raw: Mapping[str, Any], names: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    by_plain: dict[str, list[str]] = {}
    for key in raw:
        by_plain.setdefault(_plain(key), []).append(key)
    picked: dict[str, Any] = {}
    notes: list[str] = []
    used: set[str] = set()
    for field, spellings in names.items():
        spelled = [key for spelling in spellings for key in by_plain.get(spelling, ()) if key not in used]
        used.update(spelled)
        present = [key for key in spelled if raw[key] is not None]
        if not present:
            continue
        picked[field] = raw[present[0]]
        differing = [key for key in present[1:] if raw[key] != raw[present[0]]]
        if differing:
            notes.append(f"{present[0]} taken, which differs from {', '.join(differing)}")
    return picked, {key: value for key, value in raw.items() if key not in used}, notes


def _pairs(container: Any, *, what: str) -> list[tuple[str, Any]]:
    if isinstance(container, dict):
        return list(container.items())
    if isinstance(container, list):
        return [("", item) for item in container]
    if container is None:
        return []
    raise Corrupt(f"{what} is neither a map nor a list")


def _may_hold_entries(value: Any) -> bool:
    """A task may be called `claims`: an entry under that name is no container."""
    return not (isinstance(value, dict) and _is_entry(value))


def _is_entry(value: Mapping[str, Any]) -> bool:
    plain = {
        _plain(key) for key, item in value.items() if not isinstance(item, dict) or _plain(key) in ("metadata", "meta")
    }
    return any(plain & names for names in _ONLY_IN.values()) or {"taskid", "status"} <= plain


def _ledger_of(raw: Any, *, hint: str) -> str:
    if not isinstance(raw, dict):
        return hint
    plain = {_plain(key) for key in raw}
    shared, claims = len(plain & _ONLY_IN[SHARED]), len(plain & _ONLY_IN[CLAIMS])
    if shared == claims:
        return hint
    return SHARED if shared > claims else CLAIMS


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()

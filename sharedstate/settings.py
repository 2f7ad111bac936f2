"""Settings with their origins: argument > environment > `sharedstate.toml` / `[tool.sharedstate]` > default.

Units stand in the name. A value out of range, an unknown key in our own file, or a contradiction is refused with
name and range.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from sharedstate.configuration import nearest
from sharedstate.errors import BadSettings
from sharedstate.values import Value

_TRUE: Final = frozenset(("1", "true", "yes", "on"))
_FALSE: Final = frozenset(("0", "false", "no", "off"))


class Setting(Value):
    """One setting: `name` in files and arguments, `env` variable, default, allowed range (inclusive), what it does.

    The value of a `secret` one is never shown: not by `claims config show`, not in an error, not in a `repr`.
    """

    name: str
    env: str
    default: Any
    about: str
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()
    secret: bool = False

    @property
    def kind(self) -> str:
        """`flag`, `number`, `list`, or `text`, told by the default."""
        if isinstance(self.default, bool):
            return "flag"
        if isinstance(self.default, int):
            return "number"
        return "list" if isinstance(self.default, tuple) else "text"


def _named(name: str, default: Any, about: str, **more: Any) -> Setting:
    """A setting whose variable is its name with the common prefix, unless `env` says otherwise."""
    env: str = more.pop("env", "SHARED_STATE_" + name.upper())
    return Setting(name=name, env=env, default=default, about=about, **more)


_DAY_MS: Final = 86_400_000
SYNC_POLICIES: Final = ("board-primary", "internal-primary", "mirror-only")
SETTINGS: Final = (
    _named("dir", "", "state root; default: beside the common git directory"),
    _named("url", "", "shared store; default: files under the state root"),
    _named("owner", "", "who claims; default: workstation/user.worktree"),
    _named("enabled", default=True, about="use the shared ledger; false: local claims"),
    _named(
        "required",
        default=False,
        about="refuse to claim while the shared store is away, instead of a degraded local claim",
    ),
    _named(
        "heartbeat_interval_ms",
        60_000,
        "how often a held claim is renewed; at most a third of the stale threshold",
        low=10,
        high=_DAY_MS,
    ),
    _named(
        "stale_threshold_ms",
        300_000,
        "default ttl: a claim without a sign of life for longer may be taken over",
        low=30,
        high=30 * _DAY_MS,
    ),
    _named(
        "max_retries", 3, "attempts allowed after one that ended failed, abandoned or by takeover", low=0, high=1000
    ),
    _named(
        "owner_stale_ttl_ms",
        600_000,
        "ttl of claims made by the local ledger alone",
        low=30,
        high=30 * _DAY_MS,
        env="TASK_CLAIM_OWNER_STALE_TTL_MS",
    ),
    _named(
        "coordinators", (), "owners who may take over from a higher priority number; a trailing * matches any ending"
    ),
    _named("clock_skew_ms", 5_000, "how far another host's clock may run ahead", low=0, high=3_600_000),
    _named("lock_timeout_ms", 10_000, "longest wait for a lock before `store_busy`", low=1, high=600_000),
    _named(
        "durability",
        "full",
        "full: acknowledged changes survive a power cut; relaxed: a crash of the process only",
        choices=("full", "relaxed"),
    ),
    _named("allow_network_fs", default=False, about="write to NFS, SMB and the like, where locks may not hold"),
    _named(
        "archive_after_ms",
        30 * _DAY_MS,
        "a sweep archives ended tasks that were unchanged for longer",
        low=0,
        high=3650 * _DAY_MS,
    ),
    _named(
        "message_retention_ms",
        30 * _DAY_MS,
        "a sweep removes messages that are older and read; older ones that arrive are rejected",
        low=_DAY_MS,
        high=3650 * _DAY_MS,
    ),
    _named(
        "guidance",
        ("GUIDANCE.md", "docs/GUIDANCE.md", "GUIDANCE.{phase}.md", "docs/guidance/{phase}.md"),
        "guidance files in the working copy; {phase} is the phase, * and ? match within one name",
    ),
    _named("outbox_messages_max", 10_000, "how many messages may wait in the outbox", low=1, high=1_000_000),
    _named("outbox_bytes_max", 64 << 20, "how many bytes may wait in the outbox", low=1_000, high=1 << 40),
    _named(
        "outbox_age_max_ms",
        7 * _DAY_MS,
        "a message that fails when older goes to the dead letters",
        low=1_000,
        high=365 * _DAY_MS,
    ),
    _named("outbox_attempts_max", 1_000, "a message is tried at most so often", low=1, high=1_000_000),
    _named("outbox_lease_ms", 60_000, "how long one delivery keeps others away at most", low=100, high=_DAY_MS),
    _named("outbox_autoflush", default=False, about="each send also tries a few waiting messages that are due"),
    _named("repository", (), "repositories on GitHub, owner/name; the first is home"),
    _named("sync_policy", "board-primary", "who wins when board and fleet both changed", choices=SYNC_POLICIES),
    _named(
        "heartbeat_publish_ms",
        600_000,
        "how often a mere heartbeat is worth an edit of the state comment",
        high=_DAY_MS,
    ),
    _named("label_prefix", "sharedstate:", "what our labels on issues begin with"),
    _named("task_pattern", "GH-{number}", "task of an issue at home; {number} is its number"),
    _named("trusted_authors", (), "numeric ids of accounts whose state comments count"),
    _named("signing_key", "", "id:secret that signs state comments", secret=True),
    _named("signing_keys_old", (), "keys that still verify", secret=True),
    _named("project", "", "owner/number of a project whose status field follows"),
    _named("details_url", "", "page linked from state comments; {task} is the task"),
    _named("assign", default=False, about="assign the token's own user to issues of claimed tasks"),
    _named("github_api_url", "https://api.github.com", "base URL of the API", env="GITHUB_API_URL"),
    _named("github_token_file", "", "file with a token, instead of GITHUB_TOKEN or GH_TOKEN"),
    _named("github_app_id", "", "sign in as this GitHub App"),
    _named("github_installation_id", 0, "the installation of the App", high=10**18 - 1),
    _named("github_private_key_file", "", "private key of the App (PEM)"),
    _named("github_spacing_ms", 3_000, "least time between two writes that notify people", high=60_000),
    _named("github_deadline_ms", 30_000, "longest time for one request", low=1_000, high=600_000),
    _named("lane", "", "which of the [lanes.NAME] tables is ours"),
    _named("endpoints", (), "where messages go, in this order; a lane's own come first"),
    _named("endpoint_primary", "", "where messages go, where no list says otherwise"),
    _named("endpoint_fallback", "", "where they go when the primary endpoint does not take them"),
    _named("http_token", "", "bearer token of HTTP endpoints and of our gateway", secret=True),
    _named("git_deadline_ms", 30_000, "longest time for one operation of the git store", low=1_000, high=600_000),
    _named("git_beat_publish_ms", 60_000, "how often a mere heartbeat is pushed by the git store", high=3_600_000),
    _named("git_history_max", 1_000, "commits of the git store before its history begins anew", low=1, high=10**9),
    _named("git_poll_ms", 1_000, "how often the git store asks while it waits for events", low=50, high=3_600_000),
)
BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
LANES: Final = "lanes"  # the one table among the settings; `sharedstate.messages.lanes` reads it
_SECRETS: Final = ("signing_key", "signing_keys_old", "http_token")
_HIDDEN: Final = (*_SECRETS, "url", "endpoints", "endpoint_primary", "endpoint_fallback", LANES)  # URLs may hold some


class Settings(Value, hidden=_HIDDEN):
    """Resolved settings; `origins` says for each name where its value came from.

    `lanes` holds the tables `[lanes.NAME]` of the configuration file as they stand there, unchecked.
    """

    dir: str
    url: str
    owner: str
    enabled: bool
    required: bool
    heartbeat_interval_ms: int
    stale_threshold_ms: int
    max_retries: int
    owner_stale_ttl_ms: int
    coordinators: tuple[str, ...]
    clock_skew_ms: int
    lock_timeout_ms: int
    durability: str
    allow_network_fs: bool
    archive_after_ms: int
    message_retention_ms: int
    guidance: tuple[str, ...]
    outbox_messages_max: int
    outbox_bytes_max: int
    outbox_age_max_ms: int
    outbox_attempts_max: int
    outbox_lease_ms: int
    outbox_autoflush: bool
    repository: tuple[str, ...]
    sync_policy: str
    heartbeat_publish_ms: int
    label_prefix: str
    task_pattern: str
    trusted_authors: tuple[str, ...]
    signing_key: str
    signing_keys_old: tuple[str, ...]
    project: str
    details_url: str
    assign: bool
    github_api_url: str
    github_token_file: str
    github_app_id: str
    github_installation_id: int
    github_private_key_file: str
    github_spacing_ms: int
    github_deadline_ms: int
    lane: str
    endpoints: tuple[str, ...]
    endpoint_primary: str
    endpoint_fallback: str
    http_token: str
    git_deadline_ms: int
    git_beat_publish_ms: int
    git_history_max: int
    git_poll_ms: int
    lanes: Mapping[str, Any] = {}
    origins: Mapping[str, str] = {}


def resolve(
    arguments: Mapping[str, Any] | None = None, *, env: Mapping[str, str] | None = None, folder: str | None = None
) -> Settings:
    """All settings for a caller in `folder` (default: the working directory). Raises `BadSettings`.

    `arguments` that are None count as not given; an unknown name among them is refused.
    """
    given = {name: value for name, value in (arguments or {}).items() if value is not None}
    _refuse_unknown(given, where="argument")
    environment = os.environ if env is None else env
    path, table = nearest(os.getcwd() if folder is None else folder)
    _refuse_unknown(table, where=path, tables=(LANES,))
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        raw, origin = setting.default, "default"
        if setting.name in given:
            raw, origin = given[setting.name], "argument"
        elif environment.get(setting.env, "") != "":
            raw, origin = environment[setting.env], f"environment {setting.env}"
        elif setting.name in table:
            raw, origin = table[setting.name], path
        values[setting.name] = raw if origin == "default" else _parse(setting, raw, origin)
        if setting.name == "dir" and origin == path:  # seen from every folder below, it is the same place
            values["dir"] = os.path.join(os.path.dirname(path), values["dir"])
        origins[setting.name] = origin
    settings = Settings(**values, origins=origins, lanes=_lanes(table.get(LANES, {}), path))
    _refuse_contradictions(settings)
    return settings


def _refuse_contradictions(settings: Settings) -> None:
    beat, stale = settings.heartbeat_interval_ms, settings.stale_threshold_ms
    if beat * 3 > stale:
        raise BadSettings(
            f"SHARED_STATE_HEARTBEAT_INTERVAL_MS={beat} is more than a third of"
            f" SHARED_STATE_STALE_THRESHOLD_MS={stale} (at most {stale // 3}), or one lost heartbeat would cost a claim"
        )
    waits, kept = settings.outbox_age_max_ms, settings.message_retention_ms
    if waits >= kept:
        raise BadSettings(
            f"SHARED_STATE_OUTBOX_AGE_MAX_MS={waits} is not below SHARED_STATE_MESSAGE_RETENTION_MS={kept}: a message"
            " could wait longer than its receivers remember it"
        )


def _lanes(tables: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(tables, dict):
        raise BadSettings(f"{LANES} ({path}): expected tables [{LANES}.NAME]")
    return tables


def _refuse_unknown(table: Mapping[str, Any], *, where: str, tables: tuple[str, ...] = ()) -> None:
    for name in table:
        if name in BY_NAME or name in tables:
            continue
        from difflib import get_close_matches

        meant = tables if tables and isinstance(table[name], dict) else BY_NAME
        close = get_close_matches(name, meant, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(BY_NAME)}"
        raise BadSettings(f"unknown setting {name!r} ({where}); {hint}")


def _parse(setting: Setting, raw: Any, origin: str) -> Any:
    parser: Callable[[Setting, Any], Any] = _PARSERS[setting.kind]
    try:
        return parser(setting, raw)
    except (TypeError, ValueError) as error:
        from sharedstate.addresses import masked

        name = setting.env if origin.startswith("environment") else setting.name
        shown = "…" if setting.secret else masked(repr(raw))
        raise BadSettings(f"{name}={shown} ({origin}): {error}") from None


def _flag(setting: Setting, raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    text = str(raw).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError("expected true or false")


def _number(setting: Setting, raw: Any) -> int:
    if isinstance(raw, bool | float):
        raise ValueError("expected a whole number")
    text = str(raw).strip()
    if not text.lstrip("-").isascii() or not text.lstrip("-").isdigit() or len(text) > 18:
        raise ValueError(f"expected a whole number from {setting.low} to {setting.high}")
    number = int(text)
    if not setting.low <= number <= setting.high:
        raise ValueError(f"must be from {setting.low} to {setting.high}")
    return number


def _list(setting: Setting, raw: Any) -> tuple[str, ...]:
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError("expected a list of texts")
    return tuple(item.strip() for item in items if item.strip())


def _text(setting: Setting, raw: Any) -> str:
    if isinstance(raw, os.PathLike):
        raw = os.fspath(raw)
    if not isinstance(raw, str) or "\0" in raw:
        raise ValueError("expected text")
    if setting.choices and raw not in setting.choices:
        raise ValueError(f"expected one of {', '.join(setting.choices)}")
    return raw


_PARSERS: Final[dict[str, Callable[[Setting, Any], Any]]] = {
    "flag": _flag,
    "number": _number,
    "list": _list,
    "text": _text,
}

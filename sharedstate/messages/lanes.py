"""Lanes: who works where in a fleet, with which rights, reached by which endpoints. `[lanes.NAME]` in our own file.

A lane is what the people who run a fleet agree upon, written where everybody sees it. Rights keep lanes from mistakes,
not from malice: who may edit the configuration may change them. Without a lane there is nothing to be held to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

from sharedstate.addresses import masked
from sharedstate.errors import BadSettings, InvalidInput
from sharedstate.messages.wire import check_word
from sharedstate.settings import LANES, Settings
from sharedstate.values import Value

RIGHTS: Final[Mapping[str, str]] = {
    "read": "read messages: inboxes, threads, what is unread or overdue; and acknowledge them",
    "send": "send messages",
    "claim": "take a claim; to renew and release what one holds is allowed to every lane",
    "start": "start a service and become its owner; to start one whose owner is dead is allowed to every lane",
    "stop": "stop and restart services that this lane owns",
    "force": "with a reason, overrule an owner: take over a claim, stop or restart another lane's service",
}
RIGHTS_DEFAULT: Final = ("read", "send", "claim", "start", "stop")
ENDPOINTS_MAX: Final = 8
LANES_MAX: Final = 200
ROLE_CHARACTERS_MAX: Final = 120
URL_CHARACTERS_MAX: Final = 2_000
OWN_STORE: Final = "own store"  # how the matrix calls what is used where no endpoint is named
_KEYS: Final = ("role", "rights", "endpoints", "primary", "fallback")


class Lane(Value, hidden=("endpoints", "primary", "fallback")):
    """One lane: its `name`, what it is for (`role`, free text), its rights, and where its messages go.

    `endpoints` is its list; `primary` and `fallback` are used where the list is empty. Their URLs may hold
    credentials: show them through `masked`.
    """

    name: str
    role: str = ""
    rights: tuple[str, ...] = RIGHTS_DEFAULT
    endpoints: tuple[str, ...] = ()
    primary: str = ""
    fallback: str = ""


class Row(Value):
    """One line of the lane matrix; `endpoints` are masked, `source` names the level of the order they come from."""

    lane: str
    role: str
    rights: tuple[str, ...]
    endpoints: tuple[str, ...]
    source: str


def lanes_of(settings: Settings) -> dict[str, Lane]:
    """Every lane of the configuration by name, in its order. Raises `BadSettings`, with a suggestion for a typo."""
    if len(settings.lanes) > LANES_MAX:
        raise BadSettings(f"{len(settings.lanes)} lanes; at most {LANES_MAX} are allowed")
    return {name: _lane(name, table) for name, table in settings.lanes.items()}


def lane_of(settings: Settings, name: str | None = None) -> Lane | None:
    """The lane called `name` (default: the setting `lane`), None when neither says one. Raises `BadSettings`."""
    wanted = settings.lane if name is None else name
    if not wanted:
        return None
    lanes = lanes_of(settings)
    if wanted not in lanes:
        origin = settings.origins.get("lane", "argument") if name is None else "argument"
        _unknown("lane", wanted, lanes, where=origin)
    return lanes[wanted]


def check_lanes(settings: Settings) -> None:
    """Refuse a configuration with a lane, key, right or endpoint that cannot be meant. Raises `BadSettings`."""
    lane_of(settings)
    for lane in lanes_of(settings).values():
        endpoints_of(settings, lane)


def may(lane: Lane | None, right: str) -> bool:
    """Whether the lane has this right; whoever has chosen no lane has all of them. Raises `InvalidInput`.

    `SharedState` holds the chosen lane to its rights; this is for programs that want to ask before.
    """
    if right not in RIGHTS:
        raise InvalidInput(f"no such right: {right[:40]!r}; known: {', '.join(RIGHTS)}")
    return lane is None or right in lane.rights


def endpoints_of(settings: Settings, lane: Lane | None, explicit: Sequence[str] = ()) -> tuple[str, ...]:
    """Where messages go, in order: at most 8 distinct URLs, none for one's own store.

    The first level that names any decides alone: `explicit` > the lane's list > its primary and fallback > the global
    list > the global primary and fallback. Raises `BadSettings`.
    """
    return _level(settings, lane, explicit)[1]


def matrix(settings: Settings) -> tuple[Row, ...]:
    """The lane matrix, in the order of the configuration."""
    rows: list[Row] = []
    for lane in lanes_of(settings).values():
        source, endpoints = _level(settings, lane, ())
        shown = tuple(masked(url) for url in endpoints)
        rows.append(Row(lane=lane.name, role=lane.role, rights=lane.rights, endpoints=shown, source=source))
    return tuple(rows)


def markdown(rows: Iterable[Row]) -> str:
    """The lane matrix as a table in Markdown, for a README: one column for each right, endpoints in their order."""
    head = ("Lane", "Role", *RIGHTS, "Endpoints")
    lines = [_line(head), _line(["---"] * len(head))]
    for row in rows:
        rights = ("yes" if right in row.rights else "-" for right in RIGHTS)
        endpoints = ", ".join(f"`{url}`" for url in row.endpoints) or OWN_STORE
        lines.append(_line((row.lane, _plain(row.role), *rights, endpoints.replace("|", "%7C"))))
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text as Markdown shows it, whatever signs it holds."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#|~" else sign for sign in text)


# Reading the tables


def _lane(name: str, table: Any) -> Lane:
    where = f"{LANES}.{name}"
    if not isinstance(table, dict):
        raise BadSettings(f"{where}: expected a table [{where}]")
    try:
        check_word(name, what="lane")
    except InvalidInput as error:
        raise BadSettings(str(error)) from None
    for key in table:
        if key not in _KEYS:
            _unknown("key", key, _KEYS, where=where)
    role = _text(table.get("role", ""), f"{where}.role", ROLE_CHARACTERS_MAX)
    lane = Lane(
        name=name,
        role=role,
        rights=_rights(table.get("rights", RIGHTS_DEFAULT), f"{where}.rights"),
        endpoints=_list(table.get("endpoints", ()), f"{where}.endpoints", URL_CHARACTERS_MAX),
        primary=_text(table.get("primary", ""), f"{where}.primary", URL_CHARACTERS_MAX),
        fallback=_text(table.get("fallback", ""), f"{where}.fallback", URL_CHARACTERS_MAX),
    )
    if lane.endpoints and (lane.primary or lane.fallback):
        raise BadSettings(f"{where}: either endpoints, or primary and fallback: the list would hide the other two")
    return lane


def _rights(raw: Any, where: str) -> tuple[str, ...]:
    given = _list(raw, where, ROLE_CHARACTERS_MAX)
    for right in given:
        if right not in RIGHTS:
            _unknown("right", right, RIGHTS, where=where)
    return tuple(right for right in RIGHTS if right in given)


def _list(raw: Any, where: str, characters_max: int) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple):
        raise BadSettings(f"{where}: expected a list of texts")
    return tuple(_text(item, where, characters_max) for item in raw)


def _text(raw: Any, where: str, characters_max: int) -> str:
    if not isinstance(raw, str) or len(raw) > characters_max or not raw.isprintable():
        raise BadSettings(f"{where}: expected one line of text, at most {characters_max} characters")
    return raw.strip()


def _level(settings: Settings, lane: Lane | None, explicit: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Which level of the order names endpoints, and which."""
    levels: list[tuple[str, Sequence[str]]] = [("argument", explicit)]
    if lane is not None:
        levels += [
            ("lane list", lane.endpoints),
            ("lane primary/fallback", _pair(lane.primary, lane.fallback, f"{LANES}.{lane.name}")),
        ]
    levels += [
        ("global list", settings.endpoints),
        ("global primary/fallback", _pair(settings.endpoint_primary, settings.endpoint_fallback, "endpoint")),
    ]
    for source, urls in levels:
        if urls:
            return source, _distinct(urls, source)
    return OWN_STORE, ()


def _pair(primary: str, fallback: str, where: str) -> tuple[str, ...]:
    if fallback and not primary:
        raise BadSettings(f"{where}: a fallback without a primary", hint="name the primary, or use a list of one")
    return tuple(url for url in (primary, fallback) if url)


def _distinct(urls: Sequence[str], source: str) -> tuple[str, ...]:
    distinct = tuple(dict.fromkeys(url.strip() for url in urls if url.strip()))
    if len(distinct) > ENDPOINTS_MAX:
        raise BadSettings(f"{len(distinct)} endpoints ({source}); at most {ENDPOINTS_MAX} are allowed")
    return distinct


def _unknown(what: str, name: str, known: Iterable[str], *, where: str) -> NoReturn:
    from difflib import get_close_matches

    names = list(known)
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
    raise BadSettings(f"unknown {what} {name[:60]!r} ({where}); {hint}")

"""What a handler of the gateway gets and gives: a call as plain values, an answer as status and document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from sharedstate.errors import InvalidInput
from sharedstate.values import Value

if TYPE_CHECKING:
    from sharedstate.connect import SharedState

SCHEMA: Final = 1
Kind = Literal["number", "flag", "text"]


class Query(Value):
    """One parameter of a query string; numbers have a range, inclusive."""

    name: str
    about: str
    kind: Kind = "text"
    default: Any = None
    low: int = 0
    high: int = 0


class Answer(Value):
    """What goes back: an HTTP status and a JSON object, to which `schema` is added."""

    status: int
    document: Mapping[str, Any]
    headers: Mapping[str, str] = {}


class Call(Value):
    """One request whose form has been checked: path and query parameters, the JSON object of the body ({} without).

    `store_id` is the id of the store behind this gateway, empty when it cannot be told.
    """

    state: SharedState
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    idempotency_key: str
    store_id: str


Handler = Callable[[Call], Answer]


class Route(Value):
    """One operation: where it is, what it takes, who carries it out. `writes`: refused while the gateway only reads.

    `body` and `answer` are names of JSON Schemas in `schema.py`; `errors` are the statuses besides the common ones.
    """

    method: Literal["GET", "POST"]
    path: str
    name: str
    about: str
    handler: Handler
    query: tuple[Query, ...] = ()
    body: str = ""
    answer: str = ""
    statuses: tuple[int, ...] = (200,)
    errors: tuple[int, ...] = ()
    writes: bool = False
    open: bool = False


def read_query(route: Route, given: list[tuple[str, str]]) -> dict[str, Any]:
    """The query parameters of a call as values, defaults included. Raises `InvalidInput` for anything else."""
    known = {query.name: query for query in route.query}
    values = {query.name: query.default for query in route.query}
    seen: set[str] = set()
    for name, text in given:
        if name not in known:
            raise InvalidInput(f"unknown parameter {name[:60]!a}; known: {', '.join(known) or 'none'}")
        if name in seen:
            raise InvalidInput(f"the parameter {name} is given twice")
        seen.add(name)
        values[name] = _value(known[name], text)
    return values


def _value(query: Query, text: str) -> Any:
    if query.kind == "text":
        return text
    if query.kind == "flag":
        if text not in ("0", "1", "false", "true"):
            raise InvalidInput(f"{query.name}: 0, 1, false or true")
        return text in ("1", "true")
    if not text.isascii() or not text.isdigit() or len(text) > 16 or not query.low <= int(text) <= query.high:
        raise InvalidInput(f"{query.name}: a whole number from {query.low} to {query.high}")
    return int(text)


def failure(status: int, *, code: str, message: str, hint: str = "", retryable: bool = False) -> Answer:
    """An error as every program can read it."""
    error = {"code": code, "message": message, "hint": hint, "retryable": retryable}
    return Answer(status=status, document={"ok": False, "error": error})

"""The gateway described in OpenAPI 3.1, made from the same table that it answers by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sharedstate.messages.model import (
    BODY_BYTES_MAX,
    PRIORITY_MAX,
    PRIORITY_MIN,
    RECIPIENTS_MAX,
    WORD_CHARACTERS_MAX,
)
from sharedstate_adapters.http.bodies import MODELS
from sharedstate_adapters.http.calls import Query, Route

_COMMON_ERRORS: Final = (400, 401, 403, 404, 408, 413, 415, 421, 500, 503)
_MEANINGS: Final = {
    200: "Done.",
    201: "Taken in.",
    400: "Not a request of this gateway; says why.",
    401: "No valid bearer token.",
    403: "Not allowed: the gateway only reads, or the request came from a web page.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    409: "Refused: held by another, lost, or the same id with other content.",
    410: "Older than mail is kept.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    421: "The Host header names somebody else.",
    422: "Made more than a day from now: a clock is wrong.",
    500: "Unexpected, or a damaged record; the request id stands in the log.",
    503: "The store could not be asked; try again.",
}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_ID: Final = {"type": "string", "minLength": 1, "maxLength": 200}
_MESSAGE_ID: Final = {"type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}
_WORD: Final = {"type": "string", "maxLength": WORD_CHARACTERS_MAX, "pattern": "^[A-Za-z0-9_./:-]*$"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_NEXT: Final = {"type": ["integer", "null"], "description": "Give it as `after` for the next page; null: no more."}
_STORE: Final = {"type": "string", "maxLength": 100, "description": "Same for every gateway over one store."}


def openapi(routes: Sequence[Route], *, version: str) -> dict[str, Any]:
    """The whole description as a JSON object."""
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(_plain_path(route.path), {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "sharedstate gateway", "version": version},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {**_ANSWERS, "Message": _MESSAGE, **_bodies()},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    answer = {"$ref": f"#/components/schemas/{route.answer}"}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.about,
        "parameters": [*_path_parameters(route.path), *(_query_parameter(query) for query in route.query)],
        "responses": {
            **{str(status): _response(status, answer) for status in route.statuses},
            **{str(status): _response(status, _error_of(route, status)) for status in _errors(route)},
        },
    }
    if route.open:
        operation["security"] = []
    if route.body:
        schema = {"$ref": f"#/components/schemas/{route.body}"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _errors(route: Route) -> list[int]:
    return sorted({*_COMMON_ERRORS, *route.errors} - set(route.statuses))


def _error_of(route: Route, status: int) -> Mapping[str, Any]:
    refusal = {"$ref": "#/components/schemas/Refusal"}
    error = {"$ref": "#/components/schemas/Error"}
    return {"anyOf": [refusal, error]} if status in (404, 409, 503) else error


def _response(status: int, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": _MEANINGS[status], "content": {"application/json": {"schema": schema}}}


def _plain_path(path: str) -> str:
    return path.replace(":path}", "}")


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _MESSAGE_ID if name == "id" else _ID,
            "description": "Percent-encoded as one segment.",
        }
        for name in re.findall(r"{(\w+)", path)
    ]


def _query_parameter(query: Query) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "maxLength": 200}
    if query.kind == "number":
        schema = {"type": "integer", "minimum": query.low, "maximum": query.high}
    elif query.kind == "flag":
        schema = {"type": "string", "enum": ["0", "1", "false", "true"]}
    if query.kind != "flag" and query.default not in ("", None):
        schema["default"] = query.default
    return {"name": query.name, "in": "query", "required": False, "schema": schema, "description": query.about}


def _bodies() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, model in MODELS.items():
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        found.update(schema.pop("$defs", {}))
        found[name] = schema
    return found


def _object(required: Sequence[str], **properties: Any) -> dict[str, Any]:
    whole = {"schema": {"type": "integer", "minimum": 1}, **properties}
    return {"type": "object", "required": ["schema", *required], "properties": whole}


_MESSAGE: Final = {
    "type": "object",
    "description": "An envelope; unknown fields are kept, up to 8 KiB of them.",
    "required": ["message_id", "from", "to", "body", "created_at"],
    "properties": {
        "message_schema": {"type": "integer", "const": 1},
        "message_id": _MESSAGE_ID,
        "from": _ID,
        "to": {"type": "array", "items": _ID, "minItems": 1, "maxItems": RECIPIENTS_MAX},
        "kind": _WORD,
        "body": {"type": "string", "description": f"At most {BODY_BYTES_MAX} bytes in UTF-8, no NUL."},
        "created_at": _MOMENT,
        "sequence": _COUNT,
        "lane": _WORD,
        "phase": _WORD,
        "correlation_id": _MESSAGE_ID,
        "reply_to": _MESSAGE_ID,
        "ack_due": _MOMENT,
        "priority": {"type": "integer", "minimum": PRIORITY_MIN, "maximum": PRIORITY_MAX},
        "replayed_at": _MOMENT,
        "attempts": _COUNT,
    },
}
_LETTER: Final = {
    "type": "object",
    "required": ["sequence", "id", "received_at", "unread", "message"],
    "properties": {
        "sequence": _COUNT,
        "id": _MESSAGE_ID,
        "received_at": _MOMENT,
        "unread": {"type": "boolean"},
        "acknowledged_at": _MOMENT,
        "message": {"anyOf": [{"$ref": "#/components/schemas/Message"}, {"type": "null"}]},
        "gist": {"type": "object", "description": "Without a message: what is still known of it."},
        "problem": {"type": "string", "description": "Why its record cannot be read."},
    },
}
_LETTERS: Final = {"type": "array", "items": _LETTER}
_TASK: Final = {
    "task": _ID,
    "status": {"type": "string"},
    "fence": _COUNT,
    "attempts": _COUNT,
    "retries": _COUNT,
    "stale": {"type": "boolean"},
}
_TASK_REQUIRED: Final = ("task", "status", "fence")
_OK: Final = {"type": "boolean", "const": True}
_CLAIM: Final = {"ok": _OK, "task": _ID, "owner": _ID, "fence": _COUNT}
_ANSWERS: Final[dict[str, Any]] = {
    "Received": _object(
        ["id", "duplicate", "recipients", "store"],
        id=_MESSAGE_ID,
        duplicate={"type": "boolean"},
        recipients={"type": "array", "items": _ID},
        store=_STORE,
    ),
    "Letters": _object(
        ["agent", "store", "letters", "next_after"], agent=_ID, store=_STORE, letters=_LETTERS, next_after=_NEXT
    ),
    "Unread": _object(
        ["agent", "store", "count", "up_to", "letters", "next_after", "guidance", "unknown"],
        agent=_ID,
        store=_STORE,
        count=_COUNT,
        up_to=_COUNT,
        letters=_LETTERS,
        next_after=_NEXT,
        guidance={"type": "array"},
        unknown={"type": "string"},
    ),
    "Watermark": _object(
        ["agent", "store", "up_to", "above"],
        agent=_ID,
        store=_STORE,
        up_to=_COUNT,
        above={"type": "array", "items": _COUNT},
    ),
    "Thread": _object(
        ["id", "store", "messages", "next_after"],
        id=_MESSAGE_ID,
        store=_STORE,
        messages={"type": "array", "items": {"$ref": "#/components/schemas/Message"}},
        next_after=_NEXT,
    ),
    "Task": _object(_TASK_REQUIRED, **_TASK),
    "Tasks": _object(
        ["tasks", "next_after", "unreadable"],
        tasks={"type": "array", "items": {"type": "object", "required": list(_TASK_REQUIRED), "properties": _TASK}},
        next_after={"type": ["string", "null"]},
        unreadable={"type": "array"},
    ),
    "Claimed": _object(
        ["ok", "task", "owner", "fence", "token", "outcome"],
        **_CLAIM,
        token={"type": "string"},
        outcome={"enum": ["claimed", "reclaimed", "taken_over", "already_owned"]},
    ),
    "Kept": _object(["ok", "task", "owner", "fence", "expires_at"], **_CLAIM, expires_at=_MOMENT),
    "Released": _object(["ok", "task", "owner", "fence", "status"], **_CLAIM, status={"type": "string"}),
    "Health": _object(["ok"], ok={"type": "boolean"}, checks={"type": "object"}),
    "Description": {"type": "object", "required": ["openapi"]},
    "Refusal": _object(["ok", "reason"], ok={"type": "boolean", "const": False}, reason={"type": "string"}),
    "Error": _object(
        ["ok", "error"],
        ok={"type": "boolean", "const": False},
        error={
            "type": "object",
            "required": ["code", "message", "hint", "retryable"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "hint": {"type": "string"},
                "retryable": {"type": "boolean"},
                "request_id": {"type": "string"},
            },
        },
    ),
}

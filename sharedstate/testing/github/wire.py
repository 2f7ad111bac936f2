"""What goes over the wire, as values: one request, one response, and how the response is delivered."""

from __future__ import annotations

import json
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from sharedstate.values import Value

How = Literal["whole", "held", "reset", "truncated", "trickled"]
BODY_BYTES_MAX: Final = 4 * 1024 * 1024
REASONS: Final = {
    200: "OK",
    201: "Created",
    204: "No Content",
    301: "Moved Permanently",
    304: "Not Modified",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    410: "Gone",
    411: "Length Required",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class Request(Value):
    """One HTTP request: `path` without the query and still percent-encoded, `headers` with lower-case names."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Value of a header, by its lower-case name."""
        for known, value in self.headers:
            if known == name:
                return value
        return None

    def parameter(self, name: str) -> str | None:
        """The last value of a query parameter."""
        found = None
        for known, value in self.query:
            if known == name:
                found = value
        return found

    def segments(self) -> tuple[str, ...]:
        """The decoded parts of the path."""
        return tuple(unquote(part) for part in self.path.strip("/").split("/"))


class Response(Value):
    """One HTTP response.

    `how` says what reaches the client: all of it, nothing before its time-out (`held`), a reset connection, the first
    half of the body (`truncated`), or all of it a few bytes at a time (`trickled`).
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    how: How = "whole"

    def header(self, name: str) -> str | None:
        """Value of a header, by its name in any case."""
        wanted = name.lower()
        for known, value in self.headers:
            if known.lower() == wanted:
                return value
        return None

    def json(self) -> Any:
        """The body read as JSON; None when it is empty."""
        return json.loads(self.body) if self.body else None


def request_of(
    method: str,
    target: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes | str | None = None,
) -> Request:
    """A request from what HTTP libraries have at hand: method, path with query (or whole URL), headers, body."""
    parts = urlsplit(target)
    lowered = {name.lower(): str(value) for name, value in (headers or {}).items()}
    if parts.netloc:
        lowered.setdefault("host", parts.netloc)
    return Request(
        method=method.upper(),
        path=parts.path or "/",
        query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
        headers=tuple(lowered.items()),
        body=body.encode() if isinstance(body, str) else body or b"",
    )

"""The gateway: the library's messages, claims and task state over HTTP, as a Starlette application.

Requests are checked from the outside in: whom they are meant for (Host), where they come from (Origin), who asks
(bearer token), what may be done (read-only unless allowed), how large and what form the body has. Then the ordinary
services decide. Every answer is JSON with `schema` and carries the request's id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from sharedstate import jsonio
from sharedstate.errors import Corrupt, InvalidInput, SharedStateError, StoreError
from sharedstate.ids import digest_of, same_digest
from sharedstate_adapters.http import mail_routes, task_routes
from sharedstate_adapters.http.calls import SCHEMA, Answer, Call, Route, failure, read_query
from sharedstate_adapters.http.health import Health, identity_of
from sharedstate_adapters.http.schema import openapi

if TYPE_CHECKING:
    from sharedstate.connect import SharedState

BODY_BYTES_MAX: Final = 1024 * 1024  # a body of 64 KiB may be six times as long in JSON
BODY_S_MAX: Final = 15.0
TOKEN_CHARACTERS_MIN: Final = 16
_REQUEST_ID_MAX: Final = 64
_LOOPBACK: Final = frozenset(("127.0.0.1", "localhost", "::1"))
_CODES: Final = {404: "not_found", 405: "method_not_allowed"}
_log = logging.getLogger("sharedstate.gateway")


class Gateway:
    """The application `app` over one shared state.

    `token` (at least 16 characters) is asked for as a bearer token on everything but `/health`, which without one only
    says whether all is well. `hosts` are the names under which it may be addressed besides those of loopback. With
    `writes` off every operation that changes anything is refused.
    """

    def __init__(self, state: SharedState, *, token: str, writes: bool, hosts: Sequence[str] = ()) -> None:
        if len(token) < TOKEN_CHARACTERS_MIN or not token.isascii() or not token.isprintable() or " " in token:
            raise InvalidInput(
                f"the token of a gateway has at least {TOKEN_CHARACTERS_MIN} printable ASCII characters without spaces",
                hint="set SHARED_STATE_HTTP_TOKEN, for example to the output of `openssl rand -hex 24`",
            )
        self._state = state = state.unbound  # it acts for its clients: rights are those of their lanes, held there
        self._digest = digest_of(token)
        self._writes = writes
        self._hosts = _LOOPBACK | {host.lower() for host in hosts}
        self._health = Health(state, writes=writes)
        self._looking: asyncio.Future[tuple[bool, dict[str, Any]]] | None = None
        self._store_id = ""
        self.routes = (*mail_routes.ROUTES, *task_routes.ROUTES, *self._own_routes())
        self.app = Starlette(
            routes=[self._starlette(route) for route in self.routes],
            exception_handlers={HTTPException: self._no_route, Exception: self._unexpected},
        )

    def _own_routes(self) -> tuple[Route, ...]:
        def schema(_: Call) -> Answer:
            from sharedstate import __version__

            return Answer(status=200, document=openapi(self.routes, version=__version__))

        return (
            Route(
                method="GET",
                path="/health",
                name="health",
                about="Whether the stores answer: real round trips, at most one a second.",
                handler=lambda _: _health_of(self._health.look(), detailed=True),
                answer="Health",
                open=True,
            ),
            Route(
                method="GET",
                path="/v1/schema",
                name="describe",
                about="This description.",
                handler=schema,
                answer="Description",
            ),
        )

    async def _healthy(self, route: Route, request: Request) -> Answer:
        """Everybody may ask, also without the token: all who ask share one look, in one thread."""
        known = self._is_known(request)
        if known:
            read_query(route, request.query_params.multi_items())
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(run_in_threadpool(self._health.look))
        return _health_of(await asyncio.shield(self._looking), detailed=known)

    # From a request to a call

    def _starlette(self, route: Route) -> StarletteRoute:
        async def endpoint(request: Request) -> Response:
            return await self._answered(route, request)

        return StarletteRoute(route.path, endpoint, methods=[route.method], name=route.name)

    async def _answered(self, route: Route, request: Request) -> Response:
        identity = _request_id(request, self._state)
        try:
            answer = self._turned_away(route, request)
            if answer is None and route.open:
                answer = await self._healthy(route, request)
            elif answer is None:
                answer = await self._handled(route, request)
        except SharedStateError as error:
            answer = _of_error(error)
            if answer.status == 500:
                _log.error("request %s: %s", identity, error)
        except ClientDisconnect:
            answer = failure(400, code="disconnected", message="the client went away")
        except Exception:  # noqa: BLE001 - reason: whatever it is, the client gets an answer and the log the trace
            _log.exception("request %s failed", identity)
            answer = failure(500, code="unexpected", message="unexpected; the gateway's log has this request id")
        return _response(answer, identity)

    def _turned_away(self, route: Route, request: Request) -> Answer | None:
        """Why a request is not looked at any further, or None."""
        if "content-length" in request.headers and "transfer-encoding" in request.headers:
            answer = failure(400, code="two_lengths", message="a body with both Content-Length and Transfer-Encoding")
            return answer.replace(headers={"Connection": "close"})  # what follows is nobody's request
        if _host_of(request.headers.get("host", "")) not in self._hosts:
            return failure(421, code="wrong_host", message="this gateway is not addressed by that name")
        origin = request.headers.get("origin")
        if origin is not None and _host_of(urlsplit(origin).netloc) not in self._hosts:
            return failure(403, code="wrong_origin", message="requests of other web pages are refused")
        if not self._is_known(request):
            if route.open:
                return None
            hint = "send the token of the gateway as `Authorization: Bearer …`"
            return failure(401, code="unauthorized", message="no valid bearer token", hint=hint)
        if route.writes and not self._writes:
            hint = "start the gateway with --allow-write"
            return failure(403, code="read_only", message="this gateway only reads", hint=hint)
        return None

    def _is_known(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and same_digest(digest_of(given.strip()), self._digest)

    async def _handled(self, route: Route, request: Request) -> Answer:
        query = read_query(route, request.query_params.multi_items())
        if not _is_text(request.scope.get("raw_path", b"")):
            return failure(400, code="invalid_input", message="the path is not UTF-8")
        if route.body and _media_type(request) != "application/json":
            return failure(415, code="not_json", message="the body must be application/json")
        try:
            raw = await asyncio.wait_for(_body(request), BODY_S_MAX)
        except TimeoutError:
            return failure(408, code="too_slow", message=f"the body took more than {BODY_S_MAX:.0f} s", retryable=True)
        if raw is None:
            return failure(413, code="too_large", message=f"a body has at most {BODY_BYTES_MAX} bytes")
        return await run_in_threadpool(self._carried_out, route, request, query, raw)

    def _carried_out(self, route: Route, request: Request, query: Mapping[str, Any], raw: bytes) -> Answer:
        call = Call(
            state=self._state,
            path={name: str(value) for name, value in request.path_params.items()},
            query=query,
            body=_json(raw) if route.body else {},
            idempotency_key=request.headers.get("idempotency-key", ""),
            store_id=self._identity(),
        )
        return route.handler(call)

    def _identity(self) -> str:
        if not self._store_id:
            self._store_id = identity_of(self._state, make=self._writes)
        return self._store_id

    # What no route takes

    async def _no_route(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        code = _CODES.get(status, "http_error")
        headers = error.headers if isinstance(error, HTTPException) and error.headers else {}
        answer = failure(status, code=code, message="this gateway has nothing there; see /v1/schema")
        return _response(answer.replace(headers=dict(headers)), _request_id(request, self._state))

    async def _unexpected(self, request: Request, error: Exception) -> Response:
        answer = failure(500, code="unexpected", message="unexpected; the gateway's log has this request id")
        return _response(answer, _request_id(request, self._state))


def _health_of(seen: tuple[bool, dict[str, Any]], *, detailed: bool) -> Answer:
    ok, checks = seen
    document: dict[str, Any] = {"ok": ok, "checks": checks} if detailed else {"ok": ok}
    if not ok:
        error = {"code": "unhealthy", "message": "a store does not answer", "hint": "", "retryable": True}
        document["error"] = error
    return Answer(status=200 if ok else 503, document=document)


async def _body(request: Request) -> bytes | None:
    """The whole body, or None as soon as it is too large."""
    told = request.headers.get("content-length", "0")
    if told.isdigit() and int(told) > BODY_BYTES_MAX:
        return None
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > BODY_BYTES_MAX:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _json(raw: bytes) -> Mapping[str, Any]:
    try:
        return jsonio.decode(raw, what="the body")
    except Corrupt as error:
        raise InvalidInput(str(error)) from None


def _of_error(error: SharedStateError) -> Answer:
    status, headers = 500, {}
    if isinstance(error, InvalidInput):
        status = 400
    elif isinstance(error, StoreError) and error.retryable:
        status, headers = 503, {"Retry-After": "1"}
    answer = failure(status, code=error.code, message=str(error)[:1000], hint=error.hint, retryable=error.retryable)
    return answer.replace(headers=headers)


def _response(answer: Answer, identity: str) -> Response:
    document: dict[str, Any] = {"schema": SCHEMA, **answer.document}
    if "error" in document:
        document["error"] = {**document["error"], "request_id": identity}
    headers = {"X-Request-Id": identity, "Cache-Control": "no-store", **answer.headers}
    return Response(jsonio.encode_line(document), answer.status, headers, media_type="application/json")


def _request_id(request: Request, state: SharedState) -> str:
    """The id that the client gave, when it is harmless, or a new one."""
    given = request.headers.get("x-request-id", "")
    plain = given.isascii() and given.replace("-", "").replace("_", "").isalnum()
    return given if plain and len(given) <= _REQUEST_ID_MAX else state.host.entropy(8).hex()


def _is_text(raw_path: bytes) -> bool:
    """Whether the path is UTF-8: the server would read any other bytes as one and the same name."""
    try:
        unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError:
        return False
    return True


def _host_of(netloc: str) -> str:
    """The name in `name:port`, in lower case, without the brackets of an IPv6 address."""
    name = netloc.lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()

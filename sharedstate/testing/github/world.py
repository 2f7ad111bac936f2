"""The whole of the fake without sockets and threads: a request goes in, a response comes out, the state moves on.

Everything is a function of the state, the requests and the clock, so a test that makes the same calls sees the same
ids, dates, faults and entity tags. Not safe for threads: whoever shares a world takes turns (the server does).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

from sharedstate.clock import Instant
from sharedstate.testing.github import accounts, comments, issues, labels, projects
from sharedstate.testing.github.call import Call, Handler, Refusal, Route, not_found
from sharedstate.testing.github.faults import Fault, Faults
from sharedstate.testing.github.gate import SECONDARY_WAIT_S, Turn, exhausted, gateway, limited, with_limits
from sharedstate.testing.github.limits import Budget, Limits
from sharedstate.testing.github.log import Entry, RequestLog
from sharedstate.testing.github.render import View, http_date
from sharedstate.testing.github.state import Identity, State
from sharedstate.testing.github.wire import Request, Response

API_VERSION: Final = "2022-11-28"
DEFAULT_HOST: Final = "127.0.0.1"
_ENTERPRISE = "/api/v3"  # where GitHub Enterprise has its API
_MEDIA = re.compile(r"application/vnd\.github(?:\.(?:v3|[a-z-]+-preview))*(?:\.(raw|text|html|full))?(?:\+json)?$")

_HOW: Final = {"timeout": "held", "reset": "reset", "truncated": "truncated", "trickled": "trickled"}

ROUTES: tuple[Route, ...] = (
    *issues.ROUTES,
    *comments.ROUTES,
    *labels.ROUTES,
    *accounts.ROUTES,
    *projects.ROUTES,
)


class Clock(Protocol):
    """Where the time comes from: `sharedstate.testing.clock.FakeMachine`, for one."""

    def now(self) -> Instant:
        """The present moment."""
        ...


class World:
    """GitHub as one object: `handle` answers a request."""

    def __init__(self, *, clock: Clock, limits: Limits) -> None:
        self.state = State()
        self.clock = clock
        self.limits = limits
        self.faults = Faults()
        self.requests = RequestLog()
        self._budgets: dict[str, Budget] = {}
        self._routes = _index(ROUTES)

    def now_s(self) -> int:
        """Unix seconds."""
        return self.clock.now().at_ms // 1000

    def handle(self, request: Request) -> Response:
        """Answer one request. `Response.how` tells the transport what of it the client shall see."""
        number, now_ms = self.requests.next_number(), self.clock.now().at_ms
        token = _token(request)
        identity = self._identity(token, now_ms // 1000)
        user = None if identity is None else identity.account.login
        budget = self._budget(identity, now_ms // 1000)
        fault = self.faults.pick(request, user)
        early = now_ms < budget.wait_until_ms
        points = 1 if request.method in ("GET", "HEAD") else 5
        turn = Turn(request=request, identity=identity, token=token, budget=budget, now_s=now_ms // 1000, points=points)
        response, cost = self._with_fault(turn, fault)
        response = self._finished(response, number=number, now_s=now_ms // 1000)
        self.requests.add(
            Entry(
                number=number,
                at_ms=now_ms,
                method=request.method,
                path=request.path,
                query=request.query,
                user=user,
                status=response.status,
                cost=cost,
                points=points,
                fault=None if fault is None else fault.kind,
                early=early,
                body=request.body,
            )
        )
        return response

    # Faults

    def _with_fault(self, turn: Turn, fault: Fault | None) -> tuple[Response, int]:
        """The answer, and what it takes from the primary limit."""
        if fault is None:
            return self._metered(turn)
        if fault.kind in ("secondary", "too-many"):
            status = 403 if fault.kind == "secondary" else 429
            return limited(turn, status=status, retry_after_s=fault.retry_after_s), 1
        if fault.kind == "primary":
            turn.budget.exhaust(reset_s=turn.now_s + fault.reset_in_s)
            return exhausted(turn, status=fault.status), 0
        response, cost = Response(status=502), 0
        if fault.applied:
            response, cost = self._metered(turn)
        if fault.kind in ("bad-gateway", "unavailable"):
            return gateway(502 if fault.kind == "bad-gateway" else 503), cost
        if fault.kind == "lagging":
            self._lag(response, fault.lags)
            return response, cost
        return response.replace(how=_HOW[fault.kind]), cost

    def _lag(self, response: Response, lags: int) -> None:
        found = re.search(r"/issues/comments/([0-9]+)$", response.header("Location") or "")
        if found:
            self.state.comments[int(found[1])].lags = lags

    # Limits

    def _budget(self, identity: Identity | None, now_s: int) -> Budget:
        key = "" if identity is None else identity.key
        budget = self._budgets.get(key)
        if budget is None:
            limit = self.limits.anonymous_per_hour if identity is None else self.limits.per_hour
            budget = self._budgets[key] = Budget(limit=limit, limits=self.limits)
        budget.roll(now_s)
        return budget

    def _metered(self, turn: Turn) -> tuple[Response, int]:
        """The answer within the limits, with the headers that show them."""
        if turn.request.path.removeprefix(_ENTERPRISE) == "/rate_limit":
            return with_limits(self._conditional(turn), turn.budget), 0
        budget = turn.budget
        creates = turn.request.method == "POST"
        verdict = budget.verdict(turn.now_s, points=turn.points, creates=creates)
        if verdict == "primary":
            return exhausted(turn), 0
        if verdict is not None:
            return limited(turn, status=403, retry_after_s=SECONDARY_WAIT_S), 1
        response = self._conditional(turn)
        cost = 0 if response.status == 304 else 1
        budget.used += cost
        return with_limits(response, budget), cost

    # Answers

    def _conditional(self, turn: Turn) -> Response:
        """The answer with its entity tag, or 304 when the client has it already."""
        response = self._refused_or_answered(turn)
        if turn.request.method not in ("GET", "HEAD") or response.status != 200:
            return response
        if turn.request.path.removeprefix(_ENTERPRISE) == "/rate_limit":
            return response
        tag = f'W/"{hashlib.sha256(response.body).hexdigest()}"'
        tagged = (
            ("ETag", tag),
            ("Cache-Control", "private, max-age=60, s-maxage=60"),
            ("Vary", "Accept, Authorization"),
        )
        response = response.replace(headers=(*response.headers, *tagged))
        if _is_unchanged(turn.request, response, tag):
            kept = tuple(header for header in response.headers if header[0] != "Content-Type")
            return Response(status=304, headers=kept)
        return response.replace(body=b"") if turn.request.method == "HEAD" else response

    def _refused_or_answered(self, turn: Turn) -> Response:
        try:
            return self._answered(turn)
        except Refusal as refusal:
            return refusal.response()

    def _answered(self, turn: Turn) -> Response:
        request = turn.request
        if not request.header("user-agent"):
            message = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header"
            raise Refusal(403, message)
        version = request.header("x-github-api-version") or API_VERSION
        if version != API_VERSION:
            raise Refusal(400, f"The API version {version} is not supported by this fake; it speaks {API_VERSION}.")
        media = _media(request)
        if turn.token is not None and turn.identity is None and turn.token.count(".") != 2:
            raise Refusal(401, "Bad credentials")
        html = f"http://{request.header('host') or DEFAULT_HOST}"
        prefix = _ENTERPRISE if request.path.startswith(_ENTERPRISE + "/") else ""
        view = View(state=self.state, api=html + prefix, html=html, media=media)
        request = self._by_name(request.replace(path=request.path.removeprefix(prefix)))
        handler, arguments = self._routed(request)
        call = Call(
            state=self.state,
            request=request,
            identity=turn.identity,
            now_s=turn.now_s,
            view=view,
            arguments=arguments,
            budget=turn.budget,
        )
        return handler(call)

    def _by_name(self, request: Request) -> Request:
        """The same request, with `/repositories/ID` replaced by the present name of that repository."""
        parts = request.path.split("/", 3)
        if len(parts) < 3 or parts[1] != "repositories":
            return request
        for repo in self.state.repos.values():
            if str(repo.id) == parts[2]:
                return request.replace(path="/".join(("/repos", repo.full_name, *parts[3:])))
        raise not_found()

    def _routed(self, request: Request) -> tuple[Handler, dict[str, str]]:
        segments = request.segments()
        method = "GET" if request.method == "HEAD" else request.method
        for template, handler in self._routes.get((method, len(segments)), ()):
            arguments = _matched(template, segments)
            if arguments is not None:
                return handler, arguments
        raise not_found()

    def _identity(self, token: str | None, now_s: int) -> Identity | None:
        found = self.state.identities.get(token or "")
        if found is None or (found.expires_s is not None and now_s >= found.expires_s):
            return None
        return found

    def _finished(self, response: Response, *, number: int, now_s: int) -> Response:
        common = (
            ("Server", "github.com"),
            ("Date", http_date(now_s)),
            ("X-GitHub-Request-Id", f"FA4E:{number:06X}"),
            ("X-GitHub-Media-Type", "github.v3; format=json"),
            ("X-GitHub-Api-Version-Selected", API_VERSION),
        )
        return response.replace(headers=(*common, *response.headers))


def _index(routes: tuple[Route, ...]) -> dict[tuple[str, int], list[tuple[tuple[str, ...], Handler]]]:
    """Routes by method and length, those with fewer placeholders first: `comments` goes before `{issue_number}`."""
    index: dict[tuple[str, int], list[tuple[tuple[str, ...], Handler]]] = {}
    for method, path, handler in sorted(routes, key=lambda route: route[1].count("{")):
        template = tuple(path.strip("/").split("/"))
        index.setdefault((method, len(template)), []).append((template, handler))
    return index


def _matched(template: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    arguments: dict[str, str] = {}
    for wanted, given in zip(template, segments, strict=True):
        if wanted.startswith("{"):
            arguments[wanted[1:-1]] = given
        elif wanted != given:
            return None
    return arguments


def _token(request: Request) -> str | None:
    """The token of the request: `Bearer`, `token`, or the password of `Basic`."""
    scheme, _, rest = (request.header("authorization") or "").partition(" ")
    if scheme.lower() in ("bearer", "token"):
        return rest.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(rest).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _media(request: Request) -> str:
    """Which form of bodies the client accepts; 415 when it accepts nothing that GitHub has."""
    accepted = request.header("accept") or "*/*"
    for part in accepted.split(","):
        media = part.partition(";")[0].strip()
        if found := _MEDIA.match(media):
            return found[1] or "raw"
        if media in ("*/*", "application/*", "application/json"):
            return "raw"
    raise Refusal(415, f"Unsupported 'Accept' header: {accepted!r}. Must accept 'application/json'.")


def _is_unchanged(request: Request, response: Response, tag: str) -> bool:
    if known := request.header("if-none-match"):
        return known.strip() == "*" or tag.removeprefix("W/") in {
            part.strip().removeprefix("W/") for part in known.split(",")
        }
    since, modified = request.header("if-modified-since"), response.header("Last-Modified")
    if not since or not modified:
        return False
    try:
        return parsedate_to_datetime(modified) <= parsedate_to_datetime(since)
    except ValueError:
        return False

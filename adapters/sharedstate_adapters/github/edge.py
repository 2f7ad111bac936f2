"""The one place that talks to GitHub, through PyGithub with its own retries and throttle off.

Every answer is classified once (`answers.classify`); nothing sleeps; every call returns by its deadline. What can be
repeated without a second effect (GET, PATCH, PUT, DELETE) is tried once more at once when it fails in passing; a POST
never is: after a lost answer the caller looks for what it may have left behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlencode, urlsplit

from sharedstate.errors import BadSettings
from sharedstate.host import Host
from sharedstate.sync.board import Failed, Parked
from sharedstate_adapters.github.answers import Answer, Ok, classify
from sharedstate_adapters.github.budget import Budget, Kind
from sharedstate_adapters.github.credentials import Credential
from sharedstate_adapters.github.losses import loss_of

if TYPE_CHECKING:
    from github import Requester

    from sharedstate_adapters.github.wire import Connection, Tamed

API_VERSION: Final = "2022-11-28"
USER_AGENT: Final = "sharedstate"
PER_PAGE: Final = 100
_REPEATABLE: Final = ("GET", "PATCH", "PUT", "DELETE")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_REFRESH_MS: Final = 120_000  # an installation token is replaced when it has less than this left
Raw = tuple[int, Mapping[str, str], str]


def check_base_url(url: str) -> str:
    """The base URL of the API without a slash at the end, or `BadSettings`: https, or http on this machine."""
    parts = urlsplit(url.strip())
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not safe or not parts.hostname or parts.username or parts.password or parts.query or parts.fragment:
        raise BadSettings("GITHUB_API_URL: expected https://host/path (http only on this machine), without credentials")
    return url.strip().rstrip("/")


class Edge:
    """Calls to one GitHub with one credential. Not for use by two threads at once.

    `deadline_s` bounds a call in all, `connection` replaces the sockets (then calls run in this thread, unbounded).
    """

    def __init__(
        self,
        *,
        base_url: str,
        credential: Credential,
        budget: Budget,
        host: Host,
        deadline_s: float = 30.0,
        connection: Callable[[], Connection] | None = None,
    ) -> None:
        self.base_url = check_base_url(base_url)
        self.credential = credential
        self.requests = 0
        self._budget = budget
        self._host = host
        self._deadline_s = deadline_s
        self._connect = connection
        self._line: Tamed | None = None
        self._requester: Requester.Requester | None = None
        self._token = credential.token
        self._expires_ms: int | None = None

    def __repr__(self) -> str:
        return f"Edge({self.base_url})"

    def now_ms(self) -> int:
        """Our clock, Unix milliseconds."""
        return self._host.now().at_ms

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        etag: str = "",
        notifies: bool = False,
    ) -> Answer:
        """One request and what its answer means. `path` begins with a slash, or is a URL that GitHub has named.

        `etag` asks for the document only when it has changed. `notifies`: people are told of what this makes, so it
        keeps its distance to the last such one.
        """
        started_s = self._host.monotonic_s()
        kind: Kind = "read" if method in ("GET", "HEAD") else "write" if method != "POST" else "create"
        held = self._token
        answer = self._once(method, path, query, body, etag, "notify" if notifies else kind, self._deadline_s)
        left_s = self._deadline_s - (self._host.monotonic_s() - started_s)
        if self._is_taken_away(answer, held) and left_s > 1:
            self._token = ""
            return self._once(method, path, query, body, etag, kind, left_s)
        if isinstance(answer, Failed) and answer.kind == "transient" and method in _REPEATABLE and left_s > 1:
            again = self._once(method, path, query, body, etag, kind, left_s)
            return again.replace(applied=answer.applied or again.applied) if isinstance(again, Failed) else again
        return answer

    def wait_to_notify(self) -> Parked | None:
        """How long something that people are told of would have to wait now. Sends and spends nothing."""
        return self._budget.wait("notify", now_ms=self.now_ms())

    def as_app(self, path: str) -> Answer:
        """Read something as the App itself, not as its installation."""
        return self._direct("GET", path, self._deadline_s)

    def close(self) -> None:
        """Give the connection back; a later call opens another."""
        if self._line is not None:
            self._line.close()
            self._line = None

    # One request

    def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None,
        body: Mapping[str, Any] | None,
        etag: str,
        kind: Kind,
        deadline_s: float,
    ) -> Answer:
        started_s = self._host.monotonic_s()
        refused = self._signed_in(deadline_s) or self._budget.take(kind, now_ms=self.now_ms())
        if refused is not None:
            return refused
        left_s = deadline_s - (self._host.monotonic_s() - started_s)
        requester = self._get_requester()
        url = f"{path}{'&' if '?' in path else '?'}{urlencode(query)}" if query else path
        headers = {"If-None-Match": etag} if etag else {}

        def send() -> Raw:
            line = cast("Any", self._get_line())
            return requester.requestJson(method, url, None, headers, body, line)

        return self._understood(method, send, left_s)

    def _is_taken_away(self, answer: Answer, held: str) -> bool:
        """Whether the token of an App that was good a moment ago is refused: nothing was carried out with it."""
        refused = isinstance(answer, Failed) and answer.detail.startswith("401")
        return refused and self.credential.is_app and bool(held) and held == self._token

    def _understood(self, method: str, send: Callable[[], Raw], deadline_s: float) -> Answer:
        self.requests += 1
        outcome = send_by(send, deadline_s=None if self._connect is not None else deadline_s)
        if isinstance(outcome, BaseException):
            self._line = None  # whatever is still under way on it, nobody listens any more
            return self._lost(method, outcome)
        status, headers, text = outcome
        answer = classify(method=method, status=status, headers=headers, text=text, now_ms=self.now_ms())
        if isinstance(answer, Parked):
            self._budget.note(answer)
        if isinstance(answer, Failed):
            return answer.replace(detail=self._masked(answer.detail))
        return answer

    def _lost(self, method: str, error: BaseException) -> Failed:
        """No whole answer arrived. What never reached GitHub was not carried out."""
        loss = loss_of(error, host=urlsplit(self.base_url).netloc)
        return Failed(kind="transient", detail=self._masked(loss.text), applied=method != "GET" and loss.reached)

    def _masked(self, text: str) -> str:
        text = self.credential.without_secrets(text)
        return text.replace(self._token, "…") if self._token else text

    def _get_line(self) -> Tamed:
        if self._line is None:
            from sharedstate_adapters.github.wire import Tamed, Wire

            inner = self._connect() if self._connect is not None else Wire(self.base_url, read_s=self._deadline_s)
            self._line = Tamed(inner)
        return self._line

    def _get_requester(self) -> Requester.Requester:
        if self._requester is None:
            from github import Auth, Github  # 0.6 s of start-up: only where GitHub is really asked

            self._requester = Github(
                base_url=self.base_url,
                auth=Auth.Token(self._token),
                timeout=max(1, int(self._deadline_s)),
                user_agent=USER_AGENT,
                per_page=PER_PAGE,
                retry=None,
                seconds_between_requests=None,
                seconds_between_writes=None,
                lazy=True,
                api_version=API_VERSION,
            ).requester
        return self._requester

    # Apps

    def _signed_in(self, deadline_s: float) -> Parked | Failed | None:
        """Make sure there is a token; for an App, fetch one of its installation when the last has run out."""
        if not self.credential.is_app:
            return None
        if self._token and self._expires_ms is not None and self.now_ms() < self._expires_ms - _REFRESH_MS:
            return None
        path = f"/app/installations/{self.credential.installation_id}/access_tokens"
        answer = self._direct("POST", path, deadline_s)
        if isinstance(answer, Parked | Failed):
            return answer
        token = answer.document.get("token") if isinstance(answer, Ok) and isinstance(answer.document, dict) else None
        if not isinstance(token, str) or not token:
            return Failed(kind="forbidden", detail="no token for the installation of the App")
        # An hour by GitHub's clock, counted on ours from now: the two need not agree.
        self._token, self._expires_ms, self._requester = token, self.now_ms() + 3_600_000, None
        return None

    def _direct(self, method: str, path: str, deadline_s: float) -> Answer:
        """A request signed by the App itself. Not through PyGithub, whose debug log would show the fetched token."""
        parked = self._budget.take("read" if method == "GET" else "write", now_ms=self.now_ms())
        if parked is not None:
            return parked
        try:
            from github import Auth

            signed = Auth.AppAuth(self.credential.app_id, self.credential.private_key).create_jwt()
        except Exception as error:  # noqa: BLE001 - reason: PyJWT and cryptography raise whatever they like on a bad key
            return Failed(kind="forbidden", detail=f"the App's private key cannot sign: {type(error).__name__}")
        headers = {
            "Authorization": f"Bearer {signed}",
            "Accept": "application/vnd.github+json",
            "User-Agent": USER_AGENT,
            "X-GitHub-Api-Version": API_VERSION,
        }

        def send() -> Raw:
            line = self._get_line()
            line.request(method, urlsplit(self.base_url).path + path, None, headers)
            answer = line.getresponse()
            return answer.status, answer.headers, answer.read()

        return self._understood(method, send, deadline_s)


def send_by(send: Callable[[], Raw], *, deadline_s: float | None) -> Raw | BaseException:
    """The result of `send`, or what it raised, by the deadline.

    Time-outs of a socket bound each wait, not their sum, and not a name lookup: so the sum is bounded from outside. A
    thread left behind ends with its own time-outs and holds no lock of ours.
    """
    box: list[Raw | BaseException] = []

    def run() -> None:
        try:
            box.append(send())
        except Exception as error:  # noqa: BLE001 - reason: handed to the caller, who tells faults of the network apart
            box.append(error)

    if deadline_s is None:
        run()
        return box[0]
    thread = threading.Thread(target=run, name="sharedstate-github", daemon=True)
    thread.start()
    thread.join(max(0.0, deadline_s))
    return box[0] if box else TimeoutError(f"no whole answer within {deadline_s:g} s")

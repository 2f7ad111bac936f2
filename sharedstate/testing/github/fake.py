"""A GitHub of one's own: repositories, users with rights, a clock, faults, and a server on this machine only.

    with FakeGitHub(repos=("acme/app",), users={"bot": "push", "eve": "read"}) as fake:
        number = fake.open_issue("Build the thing")
        github = Github(base_url=fake.url, auth=Auth.Token(fake.token("bot")))
        fake.faults.plan("secondary", method="POST")
        fake.clock.advance(60)

Without `with` there is no server and no thread; `fake.send` and `fake.connection_class()` reach the same world
directly, which is faster and repeats exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final, Self

from sharedstate.testing.clock import FakeMachine
from sharedstate.testing.github.control import control
from sharedstate.testing.github.faults import Faults
from sharedstate.testing.github.inprocess import Connection, connection_class
from sharedstate.testing.github.limits import Limits
from sharedstate.testing.github.log import RequestLog
from sharedstate.testing.github.people import People
from sharedstate.testing.github.render import View
from sharedstate.testing.github.server import Server
from sharedstate.testing.github.state import App, Field, Identity, Option, Project, level_of
from sharedstate.testing.github.wire import Response, request_of
from sharedstate.testing.github.world import World

STATUSES: Final = ("Todo", "In Progress", "In Review", "Blocked", "Done", "Cancelled")
APP_ID: Final = 4711
INSTALLATION_ID: Final = 65_432_101
_BUILT_IN_FIELDS: Final = (
    ("Title", "title"),
    ("Assignees", "assignees"),
    ("Labels", "labels"),
    ("Repository", "repository"),
)


class FakeGitHub(People):
    """A stateful fake of GitHub's REST API.

    `repos`: `owner/name`, public unless also in `private`; an owner that is one of `users` is a user, any other an
    organization. `users`: login -> right in all repositories (`none read triage push maintain admin`), or
    -> right by repository; their tokens are `token-LOGIN`. `members` are members of the organizations; `associations`
    says for a login what `author_association` shall read instead of what follows from the rights. `projects`:
    `owner/number`, each with a `Status` field of `statuses`. `app` is the slug of an App that is installed everywhere.
    `clock` stands still until its `advance`; give the machine of a `FakeHost` to let both share one time.
    `hold_s` bounds how long a time-out holds a connection of the server, in real seconds.
    """

    def __init__(
        self,
        repos: Iterable[str] = ("acme/app",),
        users: Mapping[str, str | Mapping[str, str]] | None = None,
        *,
        private: Iterable[str] = (),
        members: Iterable[str] = (),
        associations: Mapping[str, str] | None = None,
        projects: Iterable[str] = (),
        statuses: Iterable[str] = STATUSES,
        app: str | None = "fleet",
        clock: FakeMachine | None = None,
        limits: Limits | None = None,
        port: int = 0,
        hold_s: float = 5.0,
    ) -> None:
        self.clock = FakeMachine() if clock is None else clock
        self.world = World(clock=self.clock, limits=limits or Limits())
        self._server = Server(self.world, port=port, hold_s=hold_s, control=self._control)
        self.turn = self._server.turn
        state, now_s = self.world.state, self.world.now_s()
        state.members = {login.lower() for login in members}
        state.associations = {login.lower(): word for login, word in (associations or {}).items()}
        for login in (*(users or {}), self.maintainer):
            state.account(login, now_s=now_s)
        hidden = {name.lower() for name in private}
        for name in repos:
            self.add_repo(name, private=name.lower() in hidden)
        self.grant(self.maintainer, "admin")
        for login, rights in ({"bot": "push"} if users is None else users).items():
            self.grant(login, rights)
        for name in projects:
            self._add_project(name, tuple(statuses))
        if app is not None:
            bot = state.account(f"{app}[bot]", now_s=now_s, kind="Bot")
            state.app = App(id=APP_ID, slug=app, installation_id=INSTALLATION_ID, bot=bot, created_s=now_s)
            self._set_rights(bot.login, "push")

    # The server

    def start(self) -> Self:
        """Listen on a free port of the loopback interface (or the one asked for)."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection; what is stored stays."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL of the API, without a slash at the end. Without a server it only names the world."""
        return self._server.url

    # Without the server

    def send(
        self,
        method: str,
        target: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
    ) -> Response:
        """Answer one request directly: path with query, or a whole URL. Look at `Response.how` for lost answers."""
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        known = {"Host": self.url.partition("//")[2], "User-Agent": "sharedstate-tests", **authorization}
        with self.turn:
            return self.world.handle(request_of(method, target, headers={**known, **(headers or {})}, body=body))

    def connection_class(self) -> type[Connection]:
        """A class for `github.Requester.Requester.injectConnectionClasses` that reaches this world without sockets."""
        return connection_class(self.world, turn=self.turn)

    # Users

    def token(self, user: str) -> str:
        """The token of a user; one without rights when nobody has that name."""
        login = self.world.state.account(user, now_s=self.world.now_s()).login
        token = f"token-{login}"
        if token not in self.world.state.identities:
            self._identify(login)
        return token

    def grant(self, user: str, rights: str | Mapping[str, str]) -> None:
        """Give a user a right in all repositories, or one by repository; the token is good from now on."""
        self._set_rights(user, rights)
        self._identify(user)

    def user_id(self, user: str) -> int:
        """The numeric id of a user."""
        return self.world.state.account(user, now_s=self.world.now_s()).id

    # What is planned and what has happened

    @property
    def faults(self) -> Faults:
        """The plan of faults."""
        return self.world.faults

    @property
    def requests(self) -> RequestLog:
        """The log of requests."""
        return self.world.requests

    def _set_rights(self, user: str, rights: str | Mapping[str, str]) -> None:
        state = self.world.state
        account = state.account(user, now_s=self.world.now_s())
        given = dict.fromkeys(state.repos, rights) if isinstance(rights, str) else rights
        for name, right in given.items():
            self._repo(name).rights[account.login.lower()] = level_of(right)

    def _identify(self, user: str) -> None:
        account = self.world.state.account(user, now_s=self.world.now_s())
        self.world.state.identities[f"token-{account.login}"] = Identity(account=account, key=f"user-{account.id}")

    def _add_project(self, name: str, statuses: tuple[str, ...]) -> None:
        state, now_s = self.world.state, self.world.now_s()
        login, _, number = name.partition("/")
        if not login or not (number.isascii() and number.isdigit()):
            raise ValueError(f"a project is named owner/number: {name!r}")
        owner = state.account(login, now_s=now_s, kind="Organization")
        project = Project(id=state.next_id("project"), number=int(number), owner=owner, title="Board", created_s=now_s)
        for title, kind in _BUILT_IN_FIELDS:
            project.fields.append(Field(id=state.next_id("field"), name=title, kind=kind, created_s=now_s))
        options = [Option(id=f"{0x47FC9EE4 + index:08x}", name=status) for index, status in enumerate(statuses)]
        status = Field(id=state.next_id("field"), name="Status", kind="single_select", created_s=now_s, options=options)
        project.fields.insert(2, status)
        state.projects[login.lower(), int(number)] = project

    def _control(self, method: str, act: str, body: bytes) -> Response:
        return control(self, method=method, act=act, body=body)

    def _view(self) -> View:
        return View(state=self.world.state, api=self.url, html=self.url)

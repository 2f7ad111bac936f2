"""Where the command meets the adapters: the only module that knows them. Each is imported when it is needed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sharedstate.errors import BadSettings
from sharedstate.sync.board import Board, Failed, Parked
from sharedstate.sync.model import RemoteRecord
from sharedstate.values import Value
from sharedstate_cli.hot import Usage

if TYPE_CHECKING:
    from sharedstate_adapters.github.board import GitHubBoard
    from sharedstate_adapters.github.survey import StateComment
    from sharedstate_adapters.http.serving import Serving
    from sharedstate_cli.session import Session


class Judged(Value):
    """One state comment of the board: where and whose it is, why it does not count (None: it counts), what it says.

    `says` is one line for people about a record that no machine reads (an older tool's).
    """

    task: str
    where: str
    author: str
    author_id: int
    association: str
    reason: str | None
    record: RemoteRecord | None = None
    says: str = ""


def board_name(session: Session) -> str:
    """What the configured board is called; asks nobody. Raises `BadSettings` when none is configured."""
    if session.console.board is not None:
        return session.console.board.name
    names = session.state.settings.repository
    if not names:
        raise BadSettings(
            "no repository is configured",
            hint="name it: --repo OWNER/NAME, SHARED_STATE_REPOSITORY, or `repository` in sharedstate.toml",
        )
    return names[0]


def choose_repository(session: Session, repo: str | None) -> None:
    """`--repo`: the repository of this run, whatever is configured. Raises `Usage` for what can be none."""
    if repo is None:
        return
    from sharedstate_adapters.github.keys import check_repository

    try:
        session.choose(repository=(check_repository(repo),))
    except BadSettings:
        raise Usage(f"--repo: expected OWNER/NAME, as in acme/app, not {repo[:120]!r}") from None


@contextmanager
def opened_board(session: Session, *, read_only: bool) -> Generator[Board]:
    """The board that the settings describe. Raises `BadSettings` when there is none, or no credential for it."""
    board_name(session)
    if session.console.board is not None:
        yield session.console.board
        return
    with _github(session, read_only=read_only) as board:
        yield board


def judged_comments(board: Board, *, task: str | None) -> tuple[Judged, ...] | Parked | Failed:
    """Every comment of a board (or of one task) that is a state comment, or looks like one; nothing is written.

    None of a board that is not GitHub: its records have no authors.
    """
    from sharedstate_adapters.github.board import GitHubBoard
    from sharedstate_adapters.github.survey import survey

    if not isinstance(board, GitHubBoard):
        return ()
    found = survey(board, task=task)
    if isinstance(found, Parked | Failed):
        return found
    return tuple(map(_judged, found))


def gateway(session: Session, *, host: str, ports: tuple[int, ...], writes: bool, hosts: tuple[str, ...]) -> Serving:
    """The gateway over the session's state, listening, not yet answering. Raises `BadSettings`, `PortTaken`."""
    try:
        from sharedstate_adapters.http.gateway import Gateway
        from sharedstate_adapters.http.serving import Serving, bound
    except ImportError as error:
        raise BadSettings(
            f"the gateway needs {error.name}, which is not installed", hint="pip install 'sharedstate[serve]'"
        ) from error
    made = Gateway(session.state, token=session.state.settings.http_token, writes=writes, hosts=hosts)
    return Serving(made.app, bound(host, ports))


@contextmanager
def _github(session: Session, *, read_only: bool) -> Generator[GitHubBoard]:
    from sharedstate_adapters.github.opening import github_board

    state = session.state
    board = github_board(state.settings, state.local_store, state.host, read_only=read_only)
    try:
        yield board
    finally:
        board.close()


def _judged(one: StateComment) -> Judged:
    legacy = one.legacy
    said = () if legacy is None else (legacy.tool, legacy.status, legacy.owner)
    return Judged(
        task=one.task,
        where=one.url or f"comment {one.comment_id}",
        author=one.author,
        author_id=one.author_id,
        association=one.association,
        reason=one.reason,
        record=one.record,
        says=" ".join(word for word in said if word),
    )

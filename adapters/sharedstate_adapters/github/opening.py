"""A board from settings: the one function that a front end needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sharedstate.errors import BadSettings
from sharedstate.host import Host
from sharedstate.settings import Settings
from sharedstate.store import Store
from sharedstate_adapters.github.board import GitHubBoard, Look
from sharedstate_adapters.github.budget import Budget, Limits
from sharedstate_adapters.github.credentials import find_credential
from sharedstate_adapters.github.edge import Edge, check_base_url
from sharedstate_adapters.github.keys import check_repository
from sharedstate_adapters.github.labels import check_prefix
from sharedstate_adapters.github.trust import Rules, read_authors, read_keys

if TYPE_CHECKING:
    from sharedstate_adapters.github.wire import Connection  # it needs `requests`, which PyGithub brings


def github_board(
    settings: Settings,
    local_store: Store,
    host: Host,
    *,
    env: Mapping[str, str] | None = None,
    connection: Callable[[], Connection] | None = None,
    limits: Limits | None = None,
    read_only: bool = False,
) -> GitHubBoard:
    """The board that the settings describe. Nothing is sent before its first call.

    `env` is where a token is looked for (default: the environment); `connection` makes what replaces the sockets in
    tests; with `read_only` nothing is ever written (for a dry run). Raises `BadSettings` when no repository or no
    credential is configured, when a setting makes no sense, and when PyGithub is not installed.
    """
    edge = github_edge(settings, local_store, host, env=env, connection=connection, limits=limits)
    if not settings.repository:
        raise BadSettings("SHARED_STATE_REPOSITORY is not set", hint="name the repository on GitHub: owner/name")
    names = tuple(dict.fromkeys(check_repository(name) for name in settings.repository))
    rules = Rules(
        authors=read_authors(settings.trusted_authors),
        keys=read_keys(settings.signing_key, settings.signing_keys_old),
        skew_ms=settings.clock_skew_ms,
    )
    look = Look(
        repositories=names,
        pattern=settings.task_pattern,
        prefix=check_prefix(settings.label_prefix),
        rules=rules,
        project=settings.project,
        details_url=settings.details_url,
        assign=settings.assign,
        read_only=read_only,
    )
    return GitHubBoard(edge, local_store, look)


def github_edge(
    settings: Settings,
    local_store: Store,
    host: Host,
    *,
    env: Mapping[str, str] | None = None,
    connection: Callable[[], Connection] | None = None,
    limits: Limits | None = None,
) -> Edge:
    """The edge that the settings describe, with the budget that all processes of this machine share."""
    _need_pygithub()
    credential = find_credential(settings, env=os.environ if env is None else env)
    base_url = check_base_url(settings.github_api_url)
    allowed = limits or Limits(spacing_ms=settings.github_spacing_ms)
    return Edge(
        base_url=base_url,
        credential=credential,
        budget=Budget(local_store, credential=f"{base_url.partition('://')[2]} {credential.key}", limits=allowed),
        host=host,
        deadline_s=settings.github_deadline_ms / 1000,
        connection=connection,
    )


def _need_pygithub() -> None:
    from importlib.util import find_spec

    if find_spec("github") is None:
        raise BadSettings("the GitHub board needs PyGithub", hint="pip install 'sharedstate[github]'")

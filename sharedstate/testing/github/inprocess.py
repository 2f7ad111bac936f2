"""A world behind the face of PyGithub's connections: real client code, no sockets, no threads, exact repeats.

    Requester.injectConnectionClasses(fake.connection_class(), fake.connection_class())
    …
    Requester.resetConnectionClasses()

Injected classes are global to PyGithub, so undo it when the test ends. Lost answers raise what `requests` would raise.
"""

from __future__ import annotations

import importlib
from collections.abc import ItemsView
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from sharedstate.testing.github.wire import Response, request_of
from sharedstate.testing.github.world import World

_ERRORS = {"held": "ReadTimeout", "reset": "ConnectionError", "truncated": "ChunkedEncodingError"}


class Answer:
    """A response as PyGithub reads it."""

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.headers = dict(response.headers)
        self._body = response.body

    def getheaders(self) -> ItemsView[str, str]:
        """The headers."""
        return self.headers.items()

    def read(self) -> str:
        """The body."""
        return self._body.decode("utf-8", "replace")


class Connection:
    """A connection as PyGithub uses it; made by `connection_class`, which ties it to a world."""

    world: World
    turn: AbstractContextManager[Any]

    def __init__(self, host: str, port: int | None = None, **_ignored: Any) -> None:
        self.host = host
        self.port = port
        self._pending: tuple[str, str, Any, dict[str, str]] | None = None

    def request(self, verb: str, url: str, body: Any, headers: dict[str, str], *_more: Any) -> None:
        """Take a request; it is sent by `getresponse`."""
        self._pending = (verb, url, body, headers)

    def getresponse(self) -> Answer:
        """Send the request and return the answer, or raise what a lost answer looks like to the client."""
        assert self._pending is not None
        verb, url, body, headers = self._pending
        host = self.host if self.port is None else f"{self.host}:{self.port}"
        with self.turn:
            response = self.world.handle(request_of(verb, url, headers={"Host": host, **headers}, body=body))
        if response.how in _ERRORS:
            _lose(_ERRORS[response.how])
        return Answer(response)

    def close(self) -> None:
        """Nothing is open."""


def connection_class(world: World, *, turn: AbstractContextManager[Any]) -> type[Connection]:
    """A class of connections to this world."""
    return type("WorldConnection", (Connection,), {"world": world, "turn": turn})


def _lose(name: str) -> NoReturn:
    # PyGithub brings `requests`; without PyGithub nobody comes here.
    errors = importlib.import_module("requests.exceptions")
    raise getattr(errors, name)("lost by the fake")

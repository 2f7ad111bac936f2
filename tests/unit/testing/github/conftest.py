"""Every exchange of every test of the fake is held against GitHub's own API description."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sharedstate.testing.github import Request, Response, World
from tests.integration.github.description import description


@pytest.fixture(autouse=True)
def exchanges_are_as_github_describes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    seen: list[tuple[Request, Response]] = []
    handle = World.handle

    def watched(world: World, request: Request) -> Response:
        response = handle(world, request)
        if response.status < 500 and response.how == "whole":
            seen.append((request, response))
        return response

    monkeypatch.setattr(World, "handle", watched)
    yield
    complaints = [complaint for request, response in seen for complaint in description().complaints(request, response)]
    assert not complaints, "\n".join(complaints)

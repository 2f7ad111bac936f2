"""How the tests of the fake ask it something."""

from __future__ import annotations

import json
from typing import Any

from sharedstate.testing.github import FakeGitHub, Response

REPO = "/repos/acme/app"
ISSUES = f"{REPO}/issues"


def sent(
    fake: FakeGitHub,
    method: str,
    target: str,
    given: Any = None,
    *,
    user: str | None = "bot",
    headers: dict[str, str] | None = None,
) -> Response:
    """The answer to one request of a user (None: without a token), with a JSON body where one is given."""
    body = None if given is None else json.dumps(given)
    return fake.send(method, target, token=None if user is None else fake.token(user), headers=headers, body=body)


def links(response: Response) -> dict[str, str]:
    """The `Link` header by relation."""
    found: dict[str, str] = {}
    for part in (response.header("Link") or "").split(", "):
        url, _, relation = part.partition("; ")
        if relation:
            found[relation.removeprefix('rel="').removesuffix('"')] = url.strip("<>")
    return found

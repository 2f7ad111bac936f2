"""The fake's own address, `/_fake/`: what a test in another process, or in another language, needs of it.

POST /_fake/advance   {"seconds": 60}
POST /_fake/faults    {"fault": "secondary", "nth": 2, "method": "POST", "path": "*/comments"}
POST /_fake/faults    {"fault": "secondary", "retry_after_s": 2}         any field of `Fault`, for this one plan
POST /_fake/faults    {"seed": 4, "rates": {"timeout": 0.02}, "requests": 100}
DELETE /_fake/faults
GET  /_fake/requests
POST /_fake/close     {"number": 1, "reason": "not_planned"}      and every other act of `People`
"""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

from sharedstate.testing.github.call import answer
from sharedstate.testing.github.faults import named
from sharedstate.testing.github.people import People
from sharedstate.testing.github.wire import Response

if TYPE_CHECKING:
    from sharedstate.testing.github.fake import FakeGitHub

CHANGEABLE = ("applied", "retry_after_s", "status", "reset_in_s", "lags")
ACTS = tuple(name for name, _ in inspect.getmembers(People, inspect.isfunction) if not name.startswith("_"))


def control(fake: FakeGitHub, *, method: str, act: str, body: bytes) -> Response:
    """Do one thing to the fake: 200 with what it returned, 404 for an unknown act, 422 for wrong arguments."""
    try:
        given = json.loads(body) if body.strip() else {}
        return answer({"result": _done(fake, method, act, given)})
    except NotImplementedError:
        return answer({"message": f"unknown act {method} {act}", "known": ["advance", "faults", *ACTS]}, status=404)
    except (LookupError, TypeError, ValueError) as error:
        return answer({"message": str(error)}, status=422)


def _done(fake: FakeGitHub, method: str, act: str, given: dict[str, Any]) -> Any:
    if (method, act) == ("GET", "requests"):
        return [_entry(entry.fields()) for entry in fake.requests]
    if (method, act) == ("DELETE", "faults"):
        return fake.faults.clear()
    if (method, act) == ("POST", "advance"):
        return fake.clock.advance(float(given["seconds"]))
    if (method, act) == ("POST", "faults"):
        return fake.faults.random(**given) if "seed" in given else fake.faults.plan(**_planned(given))
    if method == "POST" and act in ACTS:
        names = [] if act not in ("label", "unlabel", "assign") else list(given.pop("names", ()))
        if act in ("label", "unlabel", "assign"):
            return getattr(fake, act)(given.pop("number"), *names, **given)
        result = getattr(fake, act)(**given)
        return None if act == "add_repo" else result
    raise NotImplementedError


def _planned(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a plan; fields of the fault itself change a copy of it."""
    changes = {name: given.pop(name) for name in CHANGEABLE if name in given}
    if any(value is not None and not isinstance(value, int) for value in changes.values()):
        raise ValueError(f"{', '.join(changes)}: expected a number")
    return {**given, "fault": named(given.get("fault", "")).replace(**changes)}


def _entry(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "body": fields["body"].decode("utf-8", "replace")}

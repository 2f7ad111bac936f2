"""A stateful fake of GitHub's REST API, for tests: `FakeGitHub`, in this process or as a server on this machine.

    python -m sharedstate.testing.github --port 0 --repo acme/app --user bot:push --user eve:read

See docs/fake-github.md.
"""

from __future__ import annotations

from sharedstate.testing.github.fake import APP_ID, INSTALLATION_ID, STATUSES, FakeGitHub
from sharedstate.testing.github.faults import FAULTS, Fault
from sharedstate.testing.github.limits import GITHUB_LIMITS, Limits
from sharedstate.testing.github.log import Entry, RequestLog
from sharedstate.testing.github.wire import Request, Response
from sharedstate.testing.github.world import World

__all__ = [
    "APP_ID",
    "FAULTS",
    "GITHUB_LIMITS",
    "INSTALLATION_ID",
    "STATUSES",
    "Entry",
    "FakeGitHub",
    "Fault",
    "Limits",
    "Request",
    "RequestLog",
    "Response",
    "World",
]

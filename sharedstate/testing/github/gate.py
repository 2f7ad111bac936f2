"""What stands before GitHub itself: the limits and their answers, and the gateway that gives up."""

from __future__ import annotations

from typing import Final

from sharedstate.testing.github.call import DOCS, Refusal
from sharedstate.testing.github.limits import Budget
from sharedstate.testing.github.state import Identity
from sharedstate.testing.github.wire import REASONS, Request, Response
from sharedstate.values import Value

SECONDARY_WAIT_S: Final = 60  # what GitHub's documentation asks for where no header says more
_RATE_DOCS = f"{DOCS}/overview/rate-limits-for-the-rest-api"
_SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    " If you reach out to GitHub Support for help, please include the request ID."
)


class Turn(Value):
    """One request on its way through the limits."""

    request: Request
    identity: Identity | None
    token: str | None
    budget: Budget
    now_s: int
    points: int


def with_limits(response: Response, budget: Budget) -> Response:
    """The response with the headers that show what is left of the primary limit."""
    shown = (
        ("X-RateLimit-Limit", str(budget.limit)),
        ("X-RateLimit-Remaining", str(budget.remaining)),
        ("X-RateLimit-Reset", str(budget.reset_s)),
        ("X-RateLimit-Used", str(budget.used)),
        ("X-RateLimit-Resource", "core"),
    )
    return response.replace(headers=(*response.headers, *shown))


def limited(turn: Turn, *, status: int, retry_after_s: int | None) -> Response:
    """The secondary limit, as 403 or 429; it counts as a request of the primary one."""
    wait_s = SECONDARY_WAIT_S if retry_after_s is None else retry_after_s
    turn.budget.wait_until_ms = max(turn.budget.wait_until_ms, (turn.now_s + wait_s) * 1000)
    turn.budget.used += 1
    headers = () if retry_after_s is None else (("Retry-After", str(retry_after_s)),)
    refusal = Refusal(status, _SECONDARY, headers=headers, docs=f"{_RATE_DOCS}#about-secondary-rate-limits")
    return with_limits(refusal.response(), turn.budget)


def exhausted(turn: Turn, *, status: int = 403) -> Response:
    """The primary limit, as 403 or 429: nothing remains until the reset."""
    turn.budget.wait_until_ms = max(turn.budget.wait_until_ms, turn.budget.reset_s * 1000)
    whose = "127.0.0.1" if turn.identity is None else f"user ID {turn.identity.account.id}"
    refusal = Refusal(status, f"API rate limit exceeded for {whose}.", docs=f"{_RATE_DOCS}#primary-rate-limit")
    return with_limits(refusal.response(), turn.budget)


def gateway(status: int) -> Response:
    """What the machine in front of GitHub says when GitHub does not: a page, no JSON, no limits."""
    title = f"{status} {REASONS[status]}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body><h1>{title}</h1></body>\r\n</html>\r\n"
    return Response(status=status, headers=(("Content-Type", "text/html"),), body=page.encode())

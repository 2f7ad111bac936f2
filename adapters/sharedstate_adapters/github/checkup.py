"""What `claims doctor` says about a GitHub store: whether GitHub answers, lets us in, and how much we may still ask."""

from __future__ import annotations

from typing import Any, Final

from sharedstate.findings import Finding, fine, trouble, warning
from sharedstate.host import Host
from sharedstate.sync.board import Failed, Parked
from sharedstate_adapters.github.answers import NotModified, Ok
from sharedstate_adapters.github.edge import Edge

_SLOW_MS: Final = 3_000
_CLOCK_MS: Final = 60_000
_SHARE_MIN: Final = 0.1
_TOKEN: Final = "give a token that may read and write the issues of the repository (docs/github-store.md)"


def examine(edge: Edge, *, name: str, host: Host) -> list[Finding]:
    """All findings, from one request. Writes nothing; a GitHub that does not answer is a finding, too."""
    where, began_s = f"github://{name}", host.monotonic_s()
    answer = edge.call("GET", f"/repos/{name}")
    took_ms = int((host.monotonic_s() - began_s) * 1000)
    if isinstance(answer, Parked):
        wait_s = max(0, answer.until_ms - edge.now_ms()) // 1000
        text = f"GitHub, or our own budget, asks to wait for {wait_s} s: {answer.reason}"
        return [warning("github_limit", where, text, "wait; fewer requests: longer heartbeat intervals, fewer sweeps")]
    if isinstance(answer, Failed):
        step = _TOKEN if answer.kind in ("forbidden", "gone") else "check the network, and whether GitHub is up"
        return [trouble("github_unreachable", where, answer.detail or answer.kind, step)]
    if isinstance(answer, NotModified):  # no tag was sent
        return [trouble("github_unreachable", where, "an answer without content", "try again")]
    told = answer.document if isinstance(answer.document, dict) else {}
    return [_answers(where, took_ms), _rights(where, told), *_limits(where, answer), *_clock(where, answer, host)]


def _answers(where: str, took_ms: int) -> Finding:
    text = f"answers in {took_ms} ms"
    if took_ms > _SLOW_MS:
        return warning("github_slow", where, text, "look at the network; each claim takes several answers")
    return fine("github_answers", where, text)


def _rights(where: str, told: dict[str, Any]) -> Finding:
    if told.get("archived") or told.get("disabled"):
        step = "use another repository"
        return trouble("github_rights", where, "the repository is archived or disabled: nothing can be written", step)
    if told.get("has_issues") is False:
        return trouble("github_rights", where, "the repository has no issues", "turn issues on in its settings")
    rights = told.get("permissions")
    held = rights if isinstance(rights, dict) else {}
    if held and not any(held.get(right) for right in ("push", "maintain", "admin", "triage")):
        return trouble(
            "github_rights", where, "this account may only read here; claims need comments that count", _TOKEN
        )
    return fine("github_rights", where, "this account may write here")


def _limits(where: str, answer: Ok) -> list[Finding]:
    left, most = (answer.headers.get(f"x-ratelimit-{what}", "") for what in ("remaining", "limit"))
    if not left.isdigit() or not most.isdigit() or int(most) == 0:
        return []
    text = f"{left} of {most} requests are left this hour"
    if int(left) < int(most) * _SHARE_MIN:
        return [warning("github_limit", where, text, "renew and sweep less often, or use a token of its own")]
    return [fine("github_limit", where, text)]


def _clock(where: str, answer: Ok, host: Host) -> list[Finding]:
    off_ms = (answer.date_ms or host.now().at_ms) - host.now().at_ms
    if abs(off_ms) <= _CLOCK_MS:
        return []
    text = f"GitHub's clock is {off_ms / 1000:+.0f} s from this machine's; claims go by GitHub's"
    return [warning("github_clock", where, text, "set this machine's clock")]

"""Which endpoint is tried next, when, for how long, and what it all came to: decided purely from the attempts so far.

Endpoints are tried in their order, each at most `attempts_max` times. The time that is left is shared out evenly among
the endpoints still to be tried, so that one that hangs never costs the next its turn; the last has all of the rest.

A refusal of the message itself (`MESSAGE_FAULTS`) ends the delivery: every endpoint would say the same. Any other
refusal (401, 403, 404 …) may be a mistake in the set-up of that one endpoint: it is not asked again, the next one is,
and the message counts as refused only when every endpoint has refused it. After a redirect (a login page in front) the
next one is asked, too, and the message waits. While one of them might still take it, it is
deferred: a wrong address in a configuration must not turn messages into dead letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sharedstate.addresses import masked
from sharedstate.messages.model import Answer, Attempt, Deferred, Delivered, Rejected
from sharedstate.values import Value

# Malformed, its id taken by other content, too large, not JSON, refused by the rules of an envelope.
MESSAGE_FAULTS: Final = (400, 409, 413, 415, 422)
ATTEMPT_MS_MIN: Final = 20  # with less than this left, another attempt could only fail
_REASON_CHARACTERS_MAX: Final = 160
_TOOK: Final = ((100, "<0.1 s"), (1_000, "<1 s"), (10_000, "<10 s"))
_TOOK_LONG: Final = "10 s or more"


class Patience(Value):
    """How long to go on: attempts per endpoint, the pause after the first (doubling up to a cap), one attempt's cap."""

    attempts_max: int = 3
    pause_ms: int = 1_000
    pause_ms_max: int = 8_000
    attempt_ms_max: int = 10_000


class Made(Value):
    """One attempt: which endpoint (0, 1, 2 …), what it answered, from when to when, in milliseconds since the start.

    `skipped`: not asked, its circuit is open. `final`: this endpoint is not tried again for this message, whatever it
    answered (a skipped one, a probe).
    """

    endpoint: int
    answer: Answer
    from_ms: int
    to_ms: int
    skipped: bool = False
    final: bool = False


class Try(Value):
    """Wait `pause_ms`, then try this endpoint until `until_ms` after the start at most."""

    endpoint: int
    pause_ms: int
    until_ms: int


class Settle(Value):
    """Answer this."""

    answer: Answer


def next_step(
    made: Sequence[Made], *, names: Sequence[str], at_ms: int, total_ms: int, patience: Patience, jitter: float
) -> Try | Settle:
    """What to do at `at_ms` since the start of a delivery that may last `total_ms`, to the endpoints called `names`.

    `jitter` (0 to 1) places a pause between half and all of its length; a Retry-After is waited for in full.
    """
    if not made:
        return _try(0, 0, made, names=names, at_ms=at_ms, total_ms=total_ms, patience=patience)
    last = made[-1]
    if isinstance(last.answer, Delivered) or _is_message_fault(last.answer):
        return Settle(answer=_settled(made, names))
    if isinstance(last.answer, Deferred) and not last.final:
        pause_ms = _pause_ms(last.answer, _count(made, last.endpoint), patience, jitter)
        until_ms = _share_ends_ms(last.endpoint, made, names=names, at_ms=at_ms, total_ms=total_ms)
        again = _count(made, last.endpoint) < patience.attempts_max
        if again and at_ms + pause_ms + ATTEMPT_MS_MIN <= until_ms:
            return _try(last.endpoint, pause_ms, made, names=names, at_ms=at_ms, total_ms=total_ms, patience=patience)
    if last.endpoint + 1 < len(names) and at_ms + ATTEMPT_MS_MIN <= total_ms:
        return _try(last.endpoint + 1, 0, made, names=names, at_ms=at_ms, total_ms=total_ms, patience=patience)
    return Settle(answer=_settled(made, names))


def attempt_of(made: Made) -> Attempt:
    """One attempt as it is told: short, on one line, without credentials."""
    answer = made.answer
    via = masked(answer.via)
    if isinstance(answer, Delivered):
        return Attempt(via=via, outcome="delivered", took=_took(made))
    reason = _tame(answer.reason)
    if made.skipped:
        return Attempt(via=via, outcome="skipped", reason=reason)
    told = Attempt(via=via, outcome="deferred", reason=reason, status=answer.status, took=_took(made))
    return told.replace(outcome="rejected") if isinstance(answer, Rejected) else told


def story_of(attempts: Sequence[Attempt]) -> str:
    """Every attempt in order as one line; the same faults give the same text."""
    parts: list[str] = []
    for number, attempt in enumerate(attempts, start=1):
        status = (
            "" if attempt.status is None or attempt.reason.startswith(str(attempt.status)) else f"{attempt.status} "
        )
        took = f" ({attempt.took})" if attempt.took else ""
        parts.append(f"{number}. {attempt.via}: {status}{attempt.reason or attempt.outcome}{took}")
    return "; ".join(parts)


def is_redirect(answer: Answer) -> bool:
    """Whether the endpoint points elsewhere, which no pause of seconds changes."""
    return isinstance(answer, Deferred) and answer.status is not None and 300 <= answer.status < 400


# Steps


def _try(
    endpoint: int,
    pause_ms: int,
    made: Sequence[Made],
    *,
    names: Sequence[str],
    at_ms: int,
    total_ms: int,
    patience: Patience,
) -> Try:
    share_ends_ms = _share_ends_ms(endpoint, made, names=names, at_ms=at_ms, total_ms=total_ms)
    until_ms = min(share_ends_ms, at_ms + pause_ms + patience.attempt_ms_max)
    return Try(endpoint=endpoint, pause_ms=pause_ms, until_ms=until_ms)


def _share_ends_ms(endpoint: int, made: Sequence[Made], *, names: Sequence[str], at_ms: int, total_ms: int) -> int:
    """Until when this endpoint may take: counted from its first attempt, or from now where there was none."""
    first = next((one.from_ms for one in made if one.endpoint == endpoint), at_ms)
    return first + max(0, total_ms - first) // (len(names) - endpoint)


def _pause_ms(answer: Deferred, count: int, patience: Patience, jitter: float) -> int:
    whole_ms = min(patience.pause_ms << (count - 1), patience.pause_ms_max)
    return max(round(whole_ms * (0.5 + jitter / 2)), answer.retry_after_ms or 0)


def _count(made: Sequence[Made], endpoint: int) -> int:
    return sum(one.endpoint == endpoint for one in made)


def _is_message_fault(answer: Answer) -> bool:
    return isinstance(answer, Rejected) and answer.status in MESSAGE_FAULTS


# What the whole came to


def _settled(made: Sequence[Made], names: Sequence[str]) -> Answer:
    attempts = tuple(attempt_of(one) for one in made)
    last = made[-1].answer
    if isinstance(last, Delivered):
        return last.replace(attempts=attempts)
    story = story_of(attempts)
    if _is_message_fault(last):
        return last.replace(reason=story, attempts=attempts)
    of_each = {one.endpoint: one.answer for one in made}  # the last answer of each
    deferred = [answer for answer in of_each.values() if isinstance(answer, Deferred)]
    first = of_each[0]
    status = None if isinstance(first, Delivered) else first.status
    via = masked(", ".join(names))
    if not deferred and len(of_each) == len(names):
        return Rejected(via=via, reason=story, status=status, attempts=attempts)
    waits = [answer.retry_after_ms for answer in deferred]
    named = [wait for wait in waits if wait is not None]
    wait_ms = min(named) if named and len(named) == len(waits) else None
    return Deferred(via=via, reason=story, status=status, retry_after_ms=wait_ms, attempts=attempts)


def _tame(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return masked(line)[:_REASON_CHARACTERS_MAX]


def _took(made: Made) -> str:
    took_ms = made.to_ms - made.from_ms
    return next((name for below_ms, name in _TOOK if took_ms < below_ms), _TOOK_LONG)

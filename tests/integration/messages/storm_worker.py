"""One producer or flusher of the storm, as a process of its own that may be killed at any moment.

    python -m tests.integration.messages.storm_worker produce ROOT NAME COUNT URL…
    python -m tests.integration.messages.storm_worker flush ROOT URL…

A producer tells `ID RECIPIENT` on a line as soon as a message is accepted, and goes on at the number it is given.
"""

from __future__ import annotations

import sys

from sharedstate import SharedState
from sharedstate.messages import policy_breaker
from sharedstate.messages.model import Queued, Sent
from tests.integration.http.gateways import TOKEN

RECIPIENTS = ("desk/r1", "desk/r2")
TIMEOUT_S = 0.6
COOL_MS = 200


def produce(state: SharedState, name: str, count: int) -> None:
    """Send so many messages in turn to the two recipients."""
    for number in range(count):
        to = RECIPIENTS[number % 2]
        answer = state.outbox.send(sender=name, to=to, body=f"{name} {number}", timeout_s=TIMEOUT_S)
        assert isinstance(answer, Sent | Queued), answer
        sys.stdout.write(f"{answer.envelope.id} {to}\n")
        sys.stdout.flush()


def flush(state: SharedState) -> None:
    """Flush for ever; whoever has started it ends it."""
    while True:
        state.outbox.flush(count_max=1_000, time_max_s=5.0)
        state.host.sleep(0.05)


def main(words: list[str]) -> None:
    """Be what the command line says."""
    role, root = words[:2]
    # A circuit stays open for 10 to 60 s: most of a storm would pass without a connection to break.
    policy_breaker.COOL_MS, policy_breaker.COOL_MS_MAX = COOL_MS, COOL_MS  # type: ignore[misc]  # for this run alone
    urls = tuple(word for word in words if word.startswith("http://"))
    with SharedState.open(root, endpoints=urls, http_token=TOKEN, durability="relaxed") as state:
        if role == "produce":
            produce(state, words[2], int(words[3]))
        else:
            flush(state)


if __name__ == "__main__":
    main(sys.argv[1:])

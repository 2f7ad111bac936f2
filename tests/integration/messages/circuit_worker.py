"""One process that delivers messages to an HTTP endpoint through a failover with the machine's circuits.

    python circuit_worker.py ROOT URL COUNT TIMEOUT_S

Says `ready`, waits for a line, delivers, and prints one JSON object: what each attempt came to, and how long all took.
"""

from __future__ import annotations

import json
import sys
import time

from sharedstate.files.store import FileStore
from sharedstate.host import Host
from sharedstate.messages.failover import Failover
from sharedstate.messages.model import Envelope
from sharedstate.messages.wire import new_message_id
from sharedstate_adapters.http.client import HttpTransport


def opened(root: str, url: str) -> Failover:
    """The failover of a process."""
    host = Host()
    return Failover([HttpTransport(url, host=host)], host=host, store=FileStore(root, host=host))


def envelope() -> Envelope:
    """A fresh message."""
    at_ms = time.time_ns() // 1_000_000
    identity = new_message_id(at_ms=at_ms, entropy=Host().entropy(10))
    return Envelope(
        id=identity, sender="a", recipients=("b",), kind="message", body="x", created_at_ms=at_ms, sequence=1
    )


def main(root: str, url: str, count: str, timeout_s: str) -> None:
    """Deliver."""
    failover = opened(root, url)
    _say("ready")
    sys.stdin.readline()
    began_s = time.monotonic()
    answers = [failover.deliver(envelope(), timeout_s=float(timeout_s)) for _ in range(int(count))]
    outcomes = [attempt.outcome for answer in answers for attempt in answer.attempts]
    _say(json.dumps({"outcomes": outcomes, "took_s": time.monotonic() - began_s}))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

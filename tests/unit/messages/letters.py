"""Messages for tests, with ids that sort as they were made."""

from __future__ import annotations

from typing import Any

from sharedstate.host import Host
from sharedstate.messages.model import Envelope
from sharedstate.messages.wire import new_message_id


def message(host: Host, to: str | tuple[str, ...], body: str = "hello", **fields: Any) -> Envelope:
    """An envelope made now; `sender` is `ada` unless given, the thread its own."""
    now_ms = host.now().at_ms
    identity = new_message_id(at_ms=now_ms, entropy=host.entropy(10))
    whole: dict[str, Any] = {
        "id": identity,
        "sender": "ada",
        "recipients": (to,) if isinstance(to, str) else to,
        "kind": "message",
        "body": body,
        "created_at_ms": now_ms,
        "sequence": 1,
        "correlation_id": identity,
    }
    return Envelope(**(whole | fields))

"""A racer (see `tests.integration.racer`) on any store, as a machine of its own.

python racer.py ROOT HISTORY OWNER SEED SECONDS URL
"""

from __future__ import annotations

import sys
from typing import Any

from sharedstate import SharedState
from tests.integration.racer import Racer

TTL_MS = 400


def main() -> None:
    """Run one racer, as asked on the command line."""
    root, history, owner, seed, seconds, url = sys.argv[1:]
    settings: dict[str, Any] = {
        "stale_threshold_ms": TTL_MS,
        "heartbeat_interval_ms": TTL_MS // 3,
        "max_retries": 1_000,
        "required": True,
    }
    with SharedState.open(root, url=url, folder=root, owner=owner, **settings) as state:
        Racer(state, history, int(seed)).run(float(seconds))


if __name__ == "__main__":
    main()

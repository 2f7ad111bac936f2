"""Who is doing what right now: a live table of the hub on a terminal, plain text in a pipe.

    python examples/hub_dashboard.py [--refreshes N] [--every SECONDS] [--events N]

It looks at the store that SHARED_STATE_URL names. `--refreshes` ends it after so many looks (default: never).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sharedstate import SharedState
from sharedstate.errors import SharedStateError
from sharedstate.hub.model import HubEvent, Unified


def plain(text: object) -> str:
    """Text of others on one line, without what a terminal would obey."""
    return "".join(one if one.isprintable() else "?" for one in str(text))[:80]


def rows(seen: Unified) -> list[tuple[str, str, str, str]]:
    """One row for each agent: name, status, seconds since its last sign of life, context."""
    return [
        (
            plain(one.agent),
            "expired" if one.expired else plain(one.status or ""),
            "" if one.seen_ms is None else f"{max(0, seen.at_ms - one.seen_ms) // 1000} s",
            plain(", ".join(f"{name}={value}" for name, value in one.context.items())),
        )
        for one in seen.contexts
    ]


def told(events: deque[HubEvent]) -> list[str]:
    """The last events, the latest first."""
    return [plain(f"{one.sequence}  {one.body.get('type')}  {one.body.get('agent', '')}") for one in reversed(events)]


def picture(seen: Unified, events: deque[HubEvent]) -> Group:
    """What a terminal is shown."""
    title = "who is doing what" + (" (the shared store is away)" if seen.degraded else "")
    table = Table("agent", "status", "seen", "context", title=title, expand=True)
    for row in rows(seen):
        table.add_row(*(Text(cell) for cell in row))
    return Group(table, Text("last events", style="bold"), *(Text(line) for line in told(events)))


def lines(seen: Unified, events: deque[HubEvent]) -> list[str]:
    """What a pipe is given."""
    return [*("  ".join(row) for row in rows(seen)), *(f"event {line}" for line in told(events))]


def main() -> None:
    """Look, show, wait for the next event or the next look."""
    parser = argparse.ArgumentParser(description="Who is doing what right now.")
    parser.add_argument("--refreshes", type=int, default=0, help="end after so many looks; 0: never")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks")
    parser.add_argument("--events", type=int, default=5, help="how many of the last events to show")
    chosen = parser.parse_args()
    console, events, cursor, count = Console(), deque[HubEvent](maxlen=max(0, chosen.events)), "", 0
    with SharedState.open() as state, Live(console=console, auto_refresh=False) as live:
        while not chosen.refreshes or count < chosen.refreshes:
            for one in state.hub.subscribe(cursor, timeout_s=0):
                cursor = one.cursor
                if isinstance(one, HubEvent):
                    events.append(one)
            seen = state.hub.unified()
            if console.is_terminal:
                live.update(picture(seen, events), refresh=True)
            else:
                print("\n".join(lines(seen, events)), flush=True)
            count += 1
            if count != chosen.refreshes:
                time.sleep(max(0.05, chosen.every))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except SharedStateError as error:  # a URL that makes no sense, a login that is refused
        print(f"{error}\n{error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)

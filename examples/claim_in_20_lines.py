"""Take a task, work on it, hand it back: whoever runs this at the same time, anywhere on this machine, is refused."""

from __future__ import annotations

import sys

from sharedstate import ClaimRefused, SharedState

task = sys.argv[1] if len(sys.argv) > 1 else "T-1"

with SharedState.open() as state:
    try:
        with state.claims.hold(task, ttl_ms=60_000, meta={"why": "an example"}) as claim:
            print(f"{claim.owner} works on {task} under fence {claim.fence}")
            for step in ("read", "think", "write"):
                claim.check()  # raises ClaimLost when somebody else has it: stop, write nothing more
                print(f"  {step}")
    except ClaimRefused as refused:
        sys.exit(f"not ours: {refused.reason}")
    view = state.tasks.get(task)
    print(f"{task} is {view.state.status if view else 'unknown'} now")

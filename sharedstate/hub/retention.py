"""What is forgotten after a month: tombstones, and the names and the files of what came over the bridge.

A machine that was away for longer does not bring back what was forgotten meanwhile: its old copies are not given. What
somebody must look at (refused files) and what was appended (journals) stays.
"""

from __future__ import annotations

import os
import re
from typing import Final

from sharedstate.errors import Corrupt, StoreUnavailable
from sharedstate.hub.bridge import DONE, TAKEN
from sharedstate.hub.model import CONTEXTS, AgentContext, load_context
from sharedstate.store import DELETE, Decision, Document, Snapshot, Store, Unreadable

RETENTION_MS: Final = 30 * 86_400_000
FORGOTTEN_MAX: Final = 1_000  # at one time: the others come with the next
_MARK: Final = re.compile(r"\.(?P<at>[0-9a-f]{12})[0-9a-f]{12}\.json")  # as the bridge names what it takes in


def is_past(context: AgentContext, *, now_ms: int) -> bool:
    """Whether nothing was heard of it for a month: no change, no sign of life."""
    return max(context.version.at_ms, context.seen_ms or 0) < now_ms - RETENTION_MS


def is_outdated(mine: AgentContext, theirs: AgentContext | None, *, now_ms: int) -> bool:
    """Whether this machine's copy is past and the shared store has forgotten it, or begun anew: it says nothing then.

    An agent that is made anew begins with version 1; the old copy, or tombstone, would win.
    """
    if mine.apart is not None or not is_past(mine, now_ms=now_ms):
        return False
    return theirs is None or not is_past(theirs, now_ms=now_ms)


def decide_drop(snapshot: Snapshot, mine: AgentContext) -> Decision[None]:
    """Remove this machine's copy, unless it is another one by now."""
    here = None if snapshot.value is None else load_context(mine.agent, snapshot.value)
    if here is None or here.apart is not None or here.version != mine.version:
        return Decision(result=None)
    return Decision(result=None, write=DELETE)


def is_old_tombstone(context: AgentContext, *, now_ms: int) -> bool:
    """Whether it may be forgotten."""
    return context.deleted and context.apart is None and is_past(context, now_ms=now_ms)


def forget_tombstones(store: Store) -> int:
    """Remove the tombstones of agents that were deleted a month ago; how many."""
    now_ms = store.now().at_ms

    def is_old(agent: str, value: Document) -> bool:
        try:
            return is_old_tombstone(load_context(agent, value), now_ms=now_ms)
        except Corrupt:
            return False

    def forget(snapshot: Snapshot) -> Decision[int]:
        if snapshot.value is None or not is_old(agent, snapshot.value):
            return Decision(result=0)
        return Decision(result=1, write=DELETE)

    old = [one.key for one in store.scan(CONTEXTS) if not isinstance(one, Unreadable) and is_old(one.key, one.value)]
    count = 0
    for agent in sorted(old)[:FORGOTTEN_MAX]:
        count += store.transact(CONTEXTS, agent, forget)
    return count


def forget_bridged(store: Store) -> int:
    """Remove the names of files that were taken in a month ago; how many. None of them comes a second time by then."""
    now_ms = store.now().at_ms
    old = [
        one.key
        for one in store.scan(TAKEN)
        if not isinstance(one, Unreadable) and _is_old_name(str(one.value.get("name")), now_ms=now_ms)
    ]
    for key in sorted(old)[:FORGOTTEN_MAX]:
        store.transact(TAKEN, key, lambda _: Decision(result=None, write=DELETE))
    return min(len(old), FORGOTTEN_MAX)


def forget_done(folder: str, *, now_ms: int) -> int:
    """Remove the files of a bridge folder that were taken in a month ago; how many. Raises `StoreUnavailable`."""
    path = os.path.join(folder, DONE)
    try:
        if os.path.islink(path):
            return 0
        with os.scandir(path) as found:
            old = [
                one.name
                for one in found
                if one.is_file(follow_symlinks=False) and _is_old_name(one.name, now_ms=now_ms)
            ]
        for name in sorted(old)[:FORGOTTEN_MAX]:
            os.unlink(os.path.join(path, name))
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StoreUnavailable(f"the bridge folder {path}: {error.strerror}") from error
    return min(len(old), FORGOTTEN_MAX)


def _is_old_name(name: str, *, now_ms: int) -> bool:
    found = _MARK.search(name)
    return found is not None and found.end() == len(name) and int(found["at"], 16) < now_ms - RETENTION_MS

"""Services of which each machine runs one of its own, guarded in its own files: the hub, beside another store."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sharedstate import SharedState
from sharedstate.files.store import FileStore
from sharedstate.host import Host

if TYPE_CHECKING:
    from sharedstate.claims.services.service import Guard

HUB: Final = "hub"


@contextmanager
def machine_guard(state: SharedState) -> Generator[Guard]:
    """Who guards that one hub runs at a time: the files themselves; beside another store, this machine.

    Each machine has ends of its own to keep together, also while the shared store is away.
    """
    if isinstance(state.store, FileStore):
        yield state.guard
        return
    root = os.path.join(state.root, "local", HUB)
    host = None if type(state.host) is Host else state.host
    with SharedState.open(root, url="", owner=state.identity.owner, host=host) as beside:
        yield beside.guard


@contextmanager
def guard_of(state: SharedState, name: str) -> Generator[Guard]:
    """The guard that knows a service of this name: this machine's for its own hub, else the shared one."""
    if name == HUB:
        with machine_guard(state) as own:
            if own.status(name) is not None:
                yield own
                return
    yield state.guard

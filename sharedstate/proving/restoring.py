"""Unreadable tasks of a store that is no files: it keeps their bytes, and the journal tells what they were.

The bytes go where the store keeps what it replaces (`kept`), in the same transition. The fence of the new record is
above the seconds of wall time, which no fence counted up by ones has reached, for nobody can read the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sharedstate.errors import SharedStateError
from sharedstate.files.restoring import LEFT, RESTORED, Restoration
from sharedstate.ids import record_name
from sharedstate.store import Decision, Entry, Portable, Snapshot, Unreadable
from sharedstate.tasks.model import TaskState
from sharedstate.tasks.restoration import Holding, restore
from sharedstate.tasks.service import TASKS

EVENTS: Final = "events"
RESTORED_MAX: Final = 1_000


def restore_tasks(store: Portable, *, holdings: Mapping[str, Holding]) -> list[Restoration]:
    """Restore unreadable tasks, at most 1,000; one that cannot be restored stops no other. Does nothing twice.

    `holdings`: what this machine's ledger knows, by task. Raises what looking for them raises.
    """
    broken = [found for found in store.scan(TASKS) if isinstance(found, Unreadable)][:RESTORED_MAX]
    if not broken:
        return []
    told = _told(store)
    return [_restored(store, found, told, holdings) for found in broken]


def _told(store: Portable) -> dict[str, list[Entry]]:
    """The journal by task; of one that cannot be read to its end, what could be read."""
    told: dict[str, list[Entry]] = {}
    try:
        for entry in store.read(EVENTS):
            task = entry.value.get("task")
            if isinstance(task, str):
                told.setdefault(task, []).append(entry)
    except SharedStateError:
        pass  # the fence is above every one that was counted anyway
    return told


def _restored(
    store: Portable, found: Unreadable, told: Mapping[str, list[Entry]], holdings: Mapping[str, Holding]
) -> Restoration:
    where = f"{TASKS}/{found.name}"
    task = _task_of(found.name, [*told, *holdings])
    if task is None:
        return Restoration(where=where, outcome=LEFT, detail="nothing tells which id it belongs to")
    holding = holdings.get(task)

    def decide(snapshot: Snapshot) -> Decision[TaskState | None]:
        if snapshot.value is not None:  # it can be read again, or was restored by another doctor
            return Decision(result=None)
        fences = [snapshot.beat.fence if snapshot.beat is not None else 0, holding.fence if holding is not None else 0]
        entries = told.get(task, [])
        name = f"{TASKS}/{task}"
        made = restore(task, entries, record=name, now=snapshot.now, fences=fences, complete=False, holding=holding)
        return Decision(result=made.result, write=made.write, live=made.live, events=made.events)

    try:
        state = store.transact(TASKS, task, decide, derived=True)
    except SharedStateError as error:
        return Restoration(where=where, outcome=LEFT, detail=str(error))
    if state is None:
        return Restoration(where=where, outcome=LEFT, detail="can be read again")
    return Restoration(where=where, outcome=RESTORED, detail=f"{state.status}, fence {state.fence}; its bytes are kept")


def _task_of(name: str, known: list[str]) -> str | None:
    """The id behind what a scan calls a record: the id itself, or the name of its file."""
    if name in known:
        return name
    return next((task for task in known if record_name(task) in name), None)

"""Where services are written down: the shared record of each, and on this machine the command to start it with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from sharedstate.claims.audit import AUDIT
from sharedstate.claims.services import model as m
from sharedstate.claims.services.model import SERVICES, ServiceRecord, ServiceView, load_service, task_of
from sharedstate.claims.services.policy import Sight, state_of
from sharedstate.errors import Corrupt
from sharedstate.host import Host
from sharedstate.ids import Process
from sharedstate.store import Decision, Document, Snapshot, Store, Unreadable
from sharedstate.tasks.service import Tasks
from sharedstate.values import Value

T = TypeVar("T")


class Command(Value, hidden=("words",)):
    """A command as it was given, secrets included, and the folder it runs in. Never leaves this machine's owner."""

    words: tuple[str, ...]
    folder: str


class Book:
    """The records of all services, and what can be seen of their processes from here."""

    def __init__(self, *, tasks: Tasks, local_store: Store, host: Host, host_name: str) -> None:
        self._tasks = tasks
        self._store = tasks.store
        self._local = local_store
        self._host = host
        self._host_name = host_name

    def record(self, name: str) -> ServiceRecord | None:
        """The record as it stands. Raises `Corrupt`, `StoreError`."""
        found = self._store.get(SERVICES, name)
        return None if found is None else load_service(name, found.value)

    def view(self, name: str) -> ServiceView | None:
        """The service as seen from here, now; writes nothing."""
        record = self.record(name)
        return None if record is None else self.seen(record)

    def views(self) -> Iterator[ServiceView | Unreadable]:
        """Every service, in no order."""
        for found in self._store.scan(SERVICES):
            if isinstance(found, Unreadable):
                yield found
                continue
            try:
                yield self.seen(load_service(found.key, found.value))
            except Corrupt as error:
                yield Unreadable(name=found.key, reason=str(error))

    def seen(self, record: ServiceRecord) -> ServiceView:
        """What can be told of a record from here."""
        sight = self._sight(record)
        state, detail = state_of(record, sight)
        held = self._tasks.get(task_of(record.name))
        alive = None if held is None or held.state.live is None else held.alive
        supervised = None
        if sight.here and state in m.ACTIVE:
            supervised = sight.supervisor or (record.supervisor is None and alive is not None and not alive.dead)
        return ServiceView(
            record=record,
            state=state,
            detail=detail,
            supervised=supervised,
            seen_ms=None if alive is None else alive.age_ms,
            fresh=alive is not None and alive.takeover is None,
        )

    def lives(self, process: Process) -> bool:
        """Whether a process of this boot and namespace is there."""
        return self.is_here(process) and not self._host.is_dead(process)

    def is_here(self, process: Process) -> bool:
        """Whether a process would be seen from here."""
        own = self._host.process(self._host.pid())
        return own is not None and (own.boot_id, own.pid_ns) == (process.boot_id, process.pid_ns)

    def change(self, name: str, decide: Callable[[Snapshot], Decision[T]]) -> T:
        """One transition of the record with its entries in the trail, durably."""
        return self._store.transact(SERVICES, name, decide, journal=AUDIT)

    def keep_command(self, name: str, command: Command) -> None:
        """Remember on this machine how the service is started."""
        document: Document = {"words": list(command.words), "folder": command.folder}
        self._local.transact(SERVICES, name, lambda _: Decision(result=None, write=document), derived=True)

    def command(self, name: str) -> Command | None:
        """How the service was last started on this machine; None when it never was."""
        try:
            found = self._local.get(SERVICES, name)
        except Corrupt:
            return None
        words = None if found is None else found.value.get("words")
        folder = None if found is None else found.value.get("folder")
        if not isinstance(words, list) or not words or not isinstance(folder, str):
            return None
        return Command(words=tuple(str(word) for word in words), folder=folder)

    def _sight(self, record: ServiceRecord) -> Sight:
        known = record.process or record.supervisor
        if known is None:
            return Sight(here=False)
        if self.is_here(known):
            supervisor = record.supervisor is not None and self.lives(record.supervisor)
            process = record.process is not None and self.lives(record.process)
            return Sight(here=True, process=process, supervisor=supervisor)
        boot_id = self._host.boot_id()
        rebooted = record.host == self._host_name and known.boot_id not in ("", boot_id) and boot_id != ""
        return Sight(here=False, rebooted=rebooted)

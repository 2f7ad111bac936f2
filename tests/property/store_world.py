"""A world of clients that claim, write, renew, release and delete over one file store, and all that must hold there.

Every operation has a number of its own, which stands in the record it writes and in the event it logs. So whatever is
found on the disk later can be compared with what the clients were told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from sharedstate.errors import DurabilityUnknown, StoreError
from sharedstate.files.store import FileStore
from sharedstate.host import Host
from sharedstate.store import BEAT, DELETE, KEEP, Decision, Document, Snapshot, Versioned
from sharedstate.testing.faults import PLAUSIBLE
from sharedstate.testing.history import Operation, violations_in_journal, violations_in_operations
from sharedstate.testing.simulation import Client, Faults, Simulation

ROOT = "/srv/team/state"
KEYS = ("T-1", "T-2", "T-3")
_LOCK_TIMEOUT_S = 8.0
_ACTIONS = ("act", "act", "act", "act", "beat", "scratch", "append", "read", "reopen")


class World:
    """The ledger of what clients were told, and the checks against the disk."""

    def __init__(
        self,
        seed: int,
        *,
        faults: Faults,
        wrap: Callable[[Host], Host] = lambda host: host,
        spoil: Callable[[Document, Document], None] = lambda before, after: None,
    ) -> None:
        # After a failed fsync of a journal, a power cut may take entries that others were told of: two faults at once,
        # which no promise covers. Each of the two alone is played.
        errors = {call: codes for call, codes in PLAUSIBLE.items() if call != "fdatasync" or not faults.power_cut}
        self.simulation = Simulation(seed, faults=faults, errors=errors)
        self.operations: list[Operation] = []
        self.told: dict[str, dict[int, int]] = {key: {} for key in KEYS}  # key -> count -> number of the operation
        self.journaled: dict[int, str] = {}  # operation -> key, acknowledged with an event
        self.failed: dict[int, StoreError] = {}  # operations that raised a declared error: they must not have happened
        self.appended: dict[int, int] = {}  # sequence in the plain journal -> operation
        self.deleted: set[int] = set()
        self.errors: Counter[str] = Counter()
        self._numbers = 0
        self._wrap = wrap  # plants a bug below the store
        self._spoil = spoil  # plants a bug in the decisions above it

    def run(self, *, clients: int = 3, steps_max: int) -> World:
        """Run the clients, then look at everything once more."""
        for index in range(clients):
            self.simulation.client(f"c{index}", self._work)
        self.simulation.after_power_cut(self._check_after_cut)
        self.simulation.run(steps_max=steps_max)
        self._check_at_end()
        return self

    # The clients

    def _work(self, client: Client) -> None:
        store = self._store(client.host)
        rng = client.simulation.random
        while client.running:
            action = rng.choice(_ACTIONS)
            key = rng.choice(KEYS)
            if action == "act":
                self._act(client, store, key, choice=rng.random())
            elif action == "beat":
                self._beat(client, store, key)
            elif action == "scratch":
                self._scratch(store, delete=rng.random() < 0.5)
            elif action == "append":
                self._append(store)
            elif action == "read":
                self._read(store)
            elif rng.random() < 0.3:
                store.close()

    def _store(self, host: Host) -> FileStore:
        return FileStore(ROOT, host=self._wrap(host), lock_timeout_s=_LOCK_TIMEOUT_S)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _act(self, client: Client, store: FileStore, key: str, *, choice: float) -> None:
        number, owner = self._number(), f"{client.name}.{client.life}"
        place = len(self.operations)
        start = client.step
        self.operations.append(_operation(key, owner, kind="takeover", start=start, end=None))

        def decide(snapshot: Snapshot) -> Decision[tuple[str, Document]]:
            decision = _decided(snapshot, key=key, owner=owner, number=number, choice=choice)
            self._spoil(snapshot.value or {}, decision.result[1])
            return decision

        try:
            kind, document = store.transact("tasks", key, decide)
        except DurabilityUnknown as error:
            self._count(error)
            return
        except StoreError as error:
            self._count(error)
            self.failed[number] = error
            self.operations[place] = _operation(key, owner, kind="write", start=start, end=client.step, ok=False)
            return
        end = client.step
        fence = document["fence"]
        self.operations[place] = _operation(key, owner, kind=kind, start=start, end=end, fence=fence, ok=True)
        known = self.told[key].setdefault(document["count"], number)
        assert known == number, f"{key}: operations {known} and {number} were both told count {document['count']}"
        self.journaled[number] = key

    def _beat(self, client: Client, store: FileStore, key: str) -> None:
        owner = f"{client.name}.{client.life}"

        def decide(snapshot: Snapshot) -> Decision[int | None]:
            value = snapshot.value
            if value is None or value["owner"] != owner:
                return Decision(result=None)
            return Decision(result=value["fence"], write=BEAT, live=value["fence"])

        start = client.step
        try:
            fence = store.transact("tasks", key, decide)
        except StoreError as error:
            self._count(error)
            return
        if fence is not None:
            self.operations.append(
                _operation(key, owner, kind="renew", start=start, end=client.step, fence=fence, ok=True)
            )

    def _scratch(self, store: FileStore, *, delete: bool) -> None:
        number = self._number()

        def decide(snapshot: Snapshot) -> Decision[int]:
            if delete:
                before = 0 if snapshot.value is None else int(snapshot.value["by"])
                return Decision(result=before, write=DELETE if before else KEEP, events=({"op": number},))
            return Decision(result=0, write={"by": number, "twin": number}, live=None)

        try:
            self.deleted.add(store.transact("scratch", "S", decide))
        except DurabilityUnknown as error:
            self._count(error)
        except StoreError as error:
            self._count(error)
            if not delete:
                self.failed[number] = error

    def _append(self, store: FileStore) -> None:
        number = self._number()
        try:
            sequence = store.append("log", {"op": number})
        except StoreError as error:
            self._count(error)
            return
        known = self.appended.setdefault(sequence, number)
        assert known == number, f"sequence {sequence} was told to operations {known} and {number}"

    def _read(self, store: FileStore) -> None:
        try:
            self._check_records(store)
        except StoreError as error:
            self._count(error)

    def _count(self, error: StoreError) -> None:
        self.errors[type(error).__name__] += 1

    # What must hold

    def _check_records(self, store: FileStore, *, quiet: bool = False) -> dict[str, Versioned]:
        """Each record is whole, and is what the clients were told or something newer."""
        told, deleted = {key: max(self.told[key], default=0) for key in KEYS}, set(self.deleted)
        records: dict[str, Versioned] = {}
        for key in KEYS:
            held = store.get("tasks", key)
            count = 0 if held is None else held.value["count"]
            assert count >= told[key], f"{key}: count {told[key]} was acknowledged, {count} is there"
            if held is None:
                continue
            records[key] = held
            assert held.value["twin"] == count, f"{key}: torn"
            by = held.value["by"]
            assert self.told[key].get(count, by) == by, (
                f"{key}: count {count} is not from the operation that was told so"
            )
            assert by not in self.failed, f"{key}: operation {by} happened, and raised {self.failed.get(by)}"
        scratch = store.get("scratch", "S")
        if scratch is not None:
            by = scratch.value["by"]
            assert scratch.value["twin"] == by, "S: torn"
            assert by not in deleted, f"S: {by} was deleted and came back"
            assert by not in self.failed, f"S: operation {by} happened, and raised {self.failed.get(by)}"
        if quiet:
            live = {item.key for item in store.scan("tasks", live_only=True) if isinstance(item, Versioned)}
            owned = {key for key, held in records.items() if held.value["owner"] is not None}
            assert live == owned, f"scan of the living: {sorted(live)} instead of {sorted(owned)}"
        return records

    def _check_after_cut(self, host: Host) -> None:
        """Before anybody writes: all that was acknowledged is there, but perhaps each record's newest event."""
        store = FileStore(ROOT, host=host)
        records = self._check_records(store, quiet=True)
        self._check_log(store)
        logged = Counter(entry.value.get("op") for entry in store.read("events"))
        newest = {held.value["by"] for held in records.values()}
        missing = {number for number in self.journaled if not logged[number]} - newest
        assert not missing, f"events of acknowledged operations are gone: {sorted(missing)[:5]}"

    def _check_log(self, store: FileStore) -> None:
        found = {entry.sequence: entry.value["op"] for entry in store.read("log")}
        lost = {sequence: number for sequence, number in self.appended.items() if found.get(sequence) != number}
        assert not lost, f"acknowledged entries are gone or changed: {sorted(lost)[:5]}"
        assert sorted(found) == list(range(1, len(found) + 1)), "a gap in the sequences"

    def _check_at_end(self) -> None:
        """With every client finished or dead, one more touch of each record completes whatever was left."""
        store = FileStore(ROOT, host=self.simulation.disk.host())
        for key in KEYS:
            store.transact("tasks", key, lambda _: Decision(result=None))
        self._check_records(store, quiet=True)
        self._check_log(store)
        entries = list(store.read("events"))
        assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1)), "a gap in the sequences"
        logged = Counter(entry.value.get("op") for entry in entries)
        missing = [number for number in self.journaled if not logged[number]]
        assert not missing, f"events of acknowledged operations are missing: {missing[:5]}"
        doubled = [number for number, times in logged.items() if times > 1]
        assert not doubled, f"events were logged twice: {doubled[:5]}"
        happened = [f"{number}: {error}" for number, error in self.failed.items() if logged[number]]
        assert not happened, f"operations raised an error and are in the journal: {happened[:5]}"
        wrong = violations_in_journal(entry for entry in entries if "task" in entry.value)
        assert not wrong, f"the journal is wrong: {wrong[:3]}"
        wrong = violations_in_operations(self.operations)
        assert not wrong, f"what clients saw is wrong: {wrong[:3]}"


def _decided(snapshot: Snapshot, *, key: str, owner: str, number: int, choice: float) -> Decision[tuple[str, Document]]:
    """Claim what is free, take over from others, write or release what is one's own."""
    value: Document = snapshot.value or {"count": 0, "fence": 0, "owner": None}
    holder, fence = value["owner"], value["fence"]
    after: Document = {**value, "count": value["count"] + 1, "twin": value["count"] + 1, "by": number}
    if holder == owner:
        kind, event = ("release", "released") if choice < 0.5 else ("write", "reconciled")
        after["owner"] = None if choice < 0.5 else owner
    else:
        kind, event = ("claim", "claimed") if holder is None else ("takeover", "taken_over")
        after["owner"], after["fence"] = owner, fence + 1
    after["pad"] = "x" * int(choice * 1500)
    logged = {"type": event, "task": key, "owner": owner, "fence": after["fence"], "op": number}
    if event == "taken_over":
        logged["previous_owner"] = holder
    live = None if after["owner"] is None else after["fence"]
    return Decision(result=(kind, after), write=after, live=live, events=(logged,))


def _operation(
    key: str, owner: str, *, kind: Any, start: int, end: int | None, fence: int = 0, ok: bool = False
) -> Operation:
    return Operation(task=key, owner=owner, kind=kind, ok=ok, fence=fence, start=start, end=end)

"""Events of the hub: a journal that is the truth, hints that only make it quick, a spool for the time without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sharedstate import jsonio
from sharedstate.errors import Corrupt, InvalidInput, StoreError
from sharedstate.host import Host
from sharedstate.hub.cursors import NOW, read_cursor
from sharedstate.hub.ends import Ends
from sharedstate.hub.following import Follower
from sharedstate.hub.journals import HUB, IDENTITY, OFFLINE, from_spool, name_of
from sharedstate.hub.kept import KeptHere
from sharedstate.hub.model import EVENT_BYTES_MAX, JOURNAL, Told, Unified
from sharedstate.hub.waiting import Waiting
from sharedstate.store import Decision, Document, Entry, Snapshot, Store

WRITERS: Final = "hub_writers"
BATCH: Final = 50
BATCHES_MAX: Final = 10_000
_POLL_S_MIN: Final = 0.01


class Events:
    """Publishing, forwarding and following events over the two ends of a hub."""

    def __init__(self, ends: Ends, *, host: Host, writer: str) -> None:
        self._ends = ends
        self._host = host
        self._writer = writer
        self._last = 0  # what this object has appended last: later events of it stand behind

    # Publishing

    def publish(self, event: Mapping[str, Any]) -> None:
        """See `Hub.publish`."""
        checked = checked_event(event)
        if self._ends.single:
            self._append(self._ends.shared, as_entry(checked))
            return
        document = {**as_entry(checked), "id": self._host.entropy(8).hex()}
        asked, last = False, self._last

        def append(store: Store) -> int:
            nonlocal asked
            asked = True
            return self._append(store, document)

        answered, sequence, _ = self._ends.try_shared(append)
        if answered:
            self._last = sequence or last
            return
        # Asked without an answer, it may stand there all the same: it is looked for before it is forwarded.
        self._keep({**document, "doubt": last} if asked else document)

    def forward(self, shared: Store) -> int:
        """Bring what was published meanwhile into the shared journal, in order, exactly once; how many that were.

        How far it has come stands in a record of this spool, changed in the same transition as the journal, together
        with the last event's id: a copy of the spool that went its own way has another one there. Such a copy has a
        record of its own, and each of its events is looked for before it is forwarded.
        """
        local, count = self._ends.local, 0
        name = name_of(local)
        if not name:
            return 0  # nothing was ever kept here
        spool, is_copy = name, False
        for _ in range(BATCHES_MAX):
            found = shared.get(WRITERS, spool)
            done, last_id = _forwarded(None if found is None else found.value)
            batch = list(local.read(OFFLINE, after=max(0, done - 1), limit=BATCH + 1))
            if done and (not batch or (batch[0].sequence, batch[0].value.get("id")) != (done, last_id)):
                if is_copy:
                    break  # its own record does not fit it: nothing is known of what is there
                spool, is_copy = f"{name}/{self._writer}", True
                continue
            batch = [entry for entry in batch if entry.sequence > done]
            if not batch:
                break
            there = _there(shared, batch, all_of_them=is_copy)
            forward = _Forward(batch, name=name, done=done, there=there)
            count += shared.transact(WRITERS, spool, forward, journal=JOURNAL)
        return count

    def name_journal(self, store: Store) -> None:
        """Give the journal its identity, if it has none, after an event that was not published; the next may do it."""
        try:
            self._name_journal(store)
        except (StoreError, Corrupt):
            pass  # the event stands there; a fault now must not look as if it did not

    def name_spool(self) -> None:
        """Before anything is kept. The spool has a name of its own: a new one on this machine begins at 1 again."""
        self._name_journal(self._ends.local)

    def _keep(self, document: Document) -> None:
        self.name_spool()
        self._ends.local.append(OFFLINE, document)
        Waiting(self._ends.local).kept()

    def _append(self, store: Store, document: Document) -> int:
        self._name_journal(store)
        return store.append(JOURNAL, document)

    # Following

    def subscribe(
        self, after: str, *, snapshot: Callable[[], Unified], timeout_s: float | None, poll_s: float
    ) -> Iterator[Told]:
        """See `Hub.subscribe`."""
        if poll_s < _POLL_S_MIN or (timeout_s is not None and timeout_s < 0):
            raise InvalidInput(f"poll_s is at least {_POLL_S_MIN} s, timeout_s at least 0")
        cursor = read_cursor(after)
        kept = None if self._ends.single else KeptHere(self._ends.local, cursor.kept, skip=after == NOW)
        follower = Follower(self._ends.shared, cursor, kept, host=self._host, snapshot=snapshot, only_new=after == NOW)
        return follower.follow(timeout_s=timeout_s, poll_s=poll_s)

    def _name_journal(self, store: Store) -> str:
        """The journal's identity, made with its first event: a cursor of another journal is told from one of this."""
        known = name_of(store)
        if known:
            return known
        fresh = self._host.entropy(6).hex()

        def name(snapshot: Snapshot) -> Decision[str]:
            if snapshot.value is not None:
                return Decision(result=str(snapshot.value["journal"]))
            return Decision(result=fresh, write={"journal": fresh})

        return store.transact(HUB, IDENTITY, name)


def checked_event(event: object) -> Document:
    """An event as a JSON object of at most 64 KiB with a `type`, or `InvalidInput`: one that a journal will take."""
    if not isinstance(event, Mapping) or not isinstance(event.get("type"), str) or not event["type"]:
        raise InvalidInput('an event is an object with a text "type"')
    try:
        raw = jsonio.encode(as_entry(dict(event)))  # one level deeper, as it will stand there
        whole: Document = jsonio.decode(raw, what="the event")["event"]
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"an event is a JSON object: {error}") from None
    if len(raw) > EVENT_BYTES_MAX:
        raise InvalidInput(f"an event of {len(raw)} bytes; at most {EVENT_BYTES_MAX} are allowed")
    return whole


def as_entry(event: Document) -> Document:
    """An event as an entry of the journal: inside an object of its own, so that it may use any names."""
    return {"event": event}


class _Forward:
    """A decision to forward those entries; nothing when somebody else was faster, and the caller looks again."""

    def __init__(self, batch: list[Entry], *, name: str, done: int, there: set[str]) -> None:
        self._batch = batch
        self._name = name
        self._done = done
        self._there = there

    def __call__(self, snapshot: Snapshot) -> Decision[int]:
        if _forwarded(snapshot.value)[0] != self._done:
            return Decision(result=0)
        events = [
            {**{name: value for name, value in entry.value.items() if name != "doubt"}, **from_spool(self._name, entry)}
            for entry in self._batch
            if entry.value.get("id") not in self._there
        ]
        last = self._batch[-1]
        write = {"forwarded": last.sequence, "last": str(last.value.get("id"))}
        return Decision(result=len(events), write=write, events=events)


def _forwarded(value: Document | None) -> tuple[int, str]:
    if value is None:
        return 0, ""
    count = value.get("forwarded")
    if type(count) is not int:
        raise Corrupt("how far the events of a machine were forwarded is not told")
    return count, str(value.get("last"))


def _there(shared: Store, batch: list[Entry], *, all_of_them: bool) -> set[str]:
    """Which of the entries have come through after all: of the doubtful ones, or, in a copy, of all."""
    begins = {
        str(entry.value["id"]): 0 if all_of_them else int(entry.value["doubt"])
        for entry in batch
        if all_of_them or "doubt" in entry.value
    }
    if not begins:
        return set()
    found = (str(entry.value.get("id")) for entry in shared.read(JOURNAL, after=min(begins.values())))
    return {one for one in found if one in begins}

"""Events of the hub: a journal that is the truth, hints that only make it quick, a spool for the time without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sharedstate import jsonio
from sharedstate.errors import Corrupt, InvalidInput, StoreError
from sharedstate.host import Host
from sharedstate.hub.ends import Ends
from sharedstate.hub.model import EVENT_BYTES_MAX, JOURNAL, Gap, HubEvent, Unified
from sharedstate.hub.waiting import Waiting
from sharedstate.store import Decision, Document, Entry, Snapshot, Store

OFFLINE: Final = "hub-offline"
HUB: Final = "hub"
WRITERS: Final = "hub_writers"
IDENTITY: Final = "identity"
NOW: Final = "now"
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
        name = self._name_of_journal(local)
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
            forward = _Forward(batch, done=done, there=_there(shared, batch, all_of_them=is_copy))
            count += shared.transact(WRITERS, spool, forward, journal=JOURNAL)
        return count

    def name_journal(self, store: Store) -> None:
        """Give the journal its identity, if it has none, after an event that was not published; the next may do it."""
        try:
            self._name_journal(store)
        except (StoreError, Corrupt):
            pass  # the event stands there; a fault now must not look as if it did not

    def _keep(self, document: Document) -> None:
        """Into the spool. Its journal has a name of its own: a new spool on this machine begins at 1 again."""
        local = self._ends.local
        self._name_journal(local)
        local.append(OFFLINE, document)
        Waiting(local).kept()

    def _append(self, store: Store, document: Document) -> int:
        self._name_journal(store)
        return store.append(JOURNAL, document)

    # Following

    def subscribe(
        self, after: str, *, snapshot: Callable[[], Unified], timeout_s: float | None, poll_s: float
    ) -> Iterator[HubEvent | Gap]:
        """See `Hub.subscribe`."""
        if poll_s < _POLL_S_MIN or (timeout_s is not None and timeout_s < 0):
            raise InvalidInput(f"poll_s is at least {_POLL_S_MIN} s, timeout_s at least 0")
        identity, sequence = _read_cursor(after)
        return self._follow(identity, sequence, after == NOW, snapshot, timeout_s, poll_s)

    def _follow(
        self,
        identity: str,
        sequence: int,
        skip: bool,
        snapshot: Callable[[], Unified],
        timeout_s: float | None,
        poll_s: float,
    ) -> Iterator[HubEvent | Gap]:
        ends_s = None if timeout_s is None else self._host.monotonic_s() + timeout_s
        joined = False
        while True:
            try:
                if not joined:
                    store, name = self._ends.shared, self._name_of_journal(self._ends.shared)
                    if skip:
                        identity, sequence, skip = name, _end_of(store), False
                    gap = _gap(store, name, identity, sequence)
                    if gap:
                        sequence = _end_of(store)
                        yield Gap(reason=gap, snapshot=snapshot(), cursor=f"{name}:{sequence}")
                    identity, joined = name or identity, True
                for entry in self._ends.shared.read(JOURNAL, after=sequence):
                    if entry.sequence != sequence + 1 and sequence:
                        cursor = f"{identity}:{entry.sequence - 1}"
                        reason = f"events {sequence + 1} to {entry.sequence - 1} are not there any more"
                        yield Gap(reason=reason, snapshot=snapshot(), cursor=cursor)
                    sequence = entry.sequence
                    yield _event(entry, identity)
                left_s = poll_s if ends_s is None else min(poll_s, ends_s - self._host.monotonic_s())
                if left_s <= 0:
                    return
                self._ends.shared.watch(JOURNAL, after=sequence, timeout_s=left_s)
                if not identity:
                    identity = self._name_of_journal(self._ends.shared)
            except StoreError:  # away: what it has to say comes when it is back, and the cursor is looked at again
                joined = False
                left_s = poll_s if ends_s is None else min(poll_s, ends_s - self._host.monotonic_s())
                if left_s <= 0:
                    return
                self._host.sleep(left_s)

    def _name_journal(self, store: Store) -> str:
        """The journal's identity, made with its first event: a cursor of another journal is told from one of this."""
        found = store.get(HUB, IDENTITY)
        if found is not None:
            return str(found.value["journal"])
        fresh = self._host.entropy(6).hex()

        def name(snapshot: Snapshot) -> Decision[str]:
            if snapshot.value is not None:
                return Decision(result=str(snapshot.value["journal"]))
            return Decision(result=fresh, write={"journal": fresh})

        return store.transact(HUB, IDENTITY, name)

    def _name_of_journal(self, store: Store) -> str:
        found = store.get(HUB, IDENTITY)
        return "" if found is None else str(found.value["journal"])


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

    def __init__(self, batch: list[Entry], *, done: int, there: set[str]) -> None:
        self._batch = batch
        self._done = done
        self._there = there

    def __call__(self, snapshot: Snapshot) -> Decision[int]:
        if _forwarded(snapshot.value)[0] != self._done:
            return Decision(result=0)
        events = [
            {name: value for name, value in entry.value.items() if name != "doubt"}
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


def _gap(store: Store, name: str, identity: str, sequence: int) -> str:
    """Why a cursor does not fit this journal; empty when it does."""
    if identity and name and identity != name:
        return "the cursor belongs to another journal"
    if sequence and next(store.read(JOURNAL, after=sequence - 1, limit=1), None) is None:
        return f"the journal ends before event {sequence}"
    return ""


def _end_of(store: Store) -> int:
    last = 0
    for entry in store.read(JOURNAL):
        last = entry.sequence
    return last


def _event(entry: Entry, identity: str) -> HubEvent:
    cursor = f"{identity}:{entry.sequence}"
    inside = entry.value.get("event")  # what the hub itself notes about contexts stands there without one
    body = inside if isinstance(inside, dict) else entry.value
    return HubEvent(sequence=entry.sequence, at_ms=entry.at_ms, body=body, cursor=cursor)


def _read_cursor(text: str) -> tuple[str, int]:
    if text in ("", NOW):
        return "", 0
    identity, colon, number = text.rpartition(":")
    if not colon or not number.isascii() or not number.isdigit() or len(number) > 16:
        raise InvalidInput(f"not a cursor: {text[:60]!a}; give one that an event carried, nothing, or `now`")
    return identity, int(number)

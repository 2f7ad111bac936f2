"""What a crash leaves half done is finished by whoever comes next. The record is the truth; cell and journal follow it.

A killed process leaves its intent in the lock file of the stripe: `finish` is called by the next holder. A reboot
(a power cut) may have lost any file that was not synced: the first writer of a new boot calls `rebuild`, once.
"""

from __future__ import annotations

from collections.abc import Callable

from sharedstate.clock import Instant
from sharedstate.errors import Corrupt, UnsafeStore
from sharedstate.files.cells import UNKNOWN, make_cell, open_cell, remove_cell
from sharedstate.files.journal import Journal, body_of
from sharedstate.files.plain import read_plain, replace_plain
from sharedstate.files.reading import read_file
from sharedstate.files.records import SUFFIX, LastEvents, Stored
from sharedstate.files.roots import BEATS, JOURNAL, LOCAL, Root
from sharedstate.files.stripes import Intent
from sharedstate.ids import record_name
from sharedstate.store import Document

JournalOf = Callable[[str], Journal]
BOOT = "boot"
_BOOT_BYTES_MAX = 1024


def finish(root: Root, journal_of: JournalOf, intent: Intent) -> None:
    """Bring cell and journal of one record in line with it. Under its lock; does nothing to an unreadable record."""
    name = record_name(intent.key)
    try:
        stored = _stored(root, intent.collection, name + SUFFIX)
    except (Corrupt, UnsafeStore):
        return  # its task stays blocked for a person; the others of the stripe go on
    directory = root.directory(intent.collection)
    if directory is not None:
        # Who died may not have come to this fsync, and a power cut must not leave the journal ahead of the record.
        root.host.fsync(directory.fd)
    if stored is None or stored.live is None:
        remove_cell(root, intent.collection, name)
    else:
        _restore_cell(root, intent.collection, name, stored)
    if stored is None or stored.last_events is None:
        return
    record = f"{intent.collection}/{stored.key}@{stored.revision}"
    journal = journal_of(stored.last_events.journal)
    found = journal.search(record, after=stored.last_events.after)
    if not _append_missing(journal, record, stored.last_events, found):
        journal.sync()  # who died may have written them and not come to the sync: the record is about to forget them


def index_is_complete(root: Root) -> bool:
    """True when the beat cells of this boot are known to name every live record."""
    boot_id = root.host.boot_id()
    return bool(boot_id) and _recorded_boot(root) == boot_id


def rebuild(root: Root, journal_of: JournalOf) -> None:
    """After a reboot: cells for live records that lack one, none for others, and the journal's missing last entries.

    Reads every record, so it runs once per boot, under the maintenance lock. Where boots cannot be told apart nothing
    is rebuilt, and live scans read everything instead.
    """
    boot_id = root.host.boot_id()
    if not boot_id or index_is_complete(root):
        return
    told: dict[str, dict[str, LastEvents]] = {}
    for collection in collections_of(root):
        _rebuild_collection(root, collection, told)
    for name, transitions in told.items():
        _rebuild_journal(journal_of(name), transitions)
    local = root.make_directory(LOCAL)
    replace_plain(root.host, BOOT, boot_id.encode() + b"\n", dir_fd=local.fd, durable=True, what=f"{LOCAL}/{BOOT}")


def collections_of(root: Root) -> list[str]:
    """Names of the collections that exist."""
    top = root.directory("")
    if top is None:
        return []
    names = [name for name in root.host.listdir(top.fd) if not name.startswith(".") and name not in (JOURNAL, LOCAL)]
    return sorted(name for name in names if root.host.lstat(name, dir_fd=top.fd).is_dir)


def _restore_cell(root: Root, collection: str, name: str, stored: Stored) -> None:
    """A cell for the living fence; when it is missing, the transition cut short is its last known sign of life."""
    assert stored.live is not None
    cell = make_cell(root, collection, name)
    try:
        if cell.fence != stored.live:
            moment = stored.last_events
            cell.write(stored.live, UNKNOWN if moment is None else Instant(at_ms=moment.at_ms, boot_ms=0, boot_id=""))
    finally:
        cell.close()


def _append_missing(journal: Journal, record: str, last_events: LastEvents, found: list[Document]) -> bool:
    """Append what is not among `found`; False when all was there."""
    missing = list(last_events.events)
    for event in found:
        if event in missing:
            missing.remove(event)
    if missing:
        journal.append([body_of(event) for event in missing], at_ms=last_events.at_ms, record=record)
    return bool(missing)


def _rebuild_collection(root: Root, collection: str, told: dict[str, dict[str, LastEvents]]) -> None:
    directory = root.directory(collection)
    live: set[str] = set()
    for name in root.host.listdir(directory.fd) if directory else ():
        if not name.endswith(SUFFIX) or name.startswith("."):
            continue
        try:
            stored = _stored(root, collection, name)
        except (Corrupt, UnsafeStore):
            live.add(name.removesuffix(SUFFIX))  # perhaps: a scan shows it as unreadable
            continue
        if stored is None:
            continue
        if stored.live is not None:
            live.add(name.removesuffix(SUFFIX))
            _make_missing_cell(root, collection, name.removesuffix(SUFFIX), stored.live)
        if stored.last_events is not None:
            record = f"{collection}/{stored.key}@{stored.revision}"
            told.setdefault(stored.last_events.journal, {})[record] = stored.last_events
    cells = root.directory(f"{BEATS}/{collection}")
    for name in root.host.listdir(cells.fd) if cells else ():
        if name not in live:
            remove_cell(root, collection, name)


def _make_missing_cell(root: Root, collection: str, name: str, live: int) -> None:
    cell = open_cell(root, collection, name) or make_cell(root, collection, name)
    try:
        if cell.fence != live:
            cell.write(live, UNKNOWN)
    finally:
        cell.close()


def _rebuild_journal(journal: Journal, transitions: dict[str, LastEvents]) -> None:
    # A transition is acknowledged after its entries are on disk, so only the newest can be missing: what should stand
    # before the last two segments does.
    horizon = journal.horizon()
    recent = {record: moment for record, moment in transitions.items() if moment.after >= horizon}
    if not recent:
        return
    found: dict[str, list[Document]] = {}
    for entry in journal.read(min(moment.after for moment in recent.values())):
        if entry.record in recent:
            found.setdefault(entry.record, []).append(entry.value)
    for record, moment in sorted(recent.items(), key=lambda item: item[1].at_ms):
        _append_missing(journal, record, moment, found.get(record, []))


def _recorded_boot(root: Root) -> str:
    local = root.directory(LOCAL)
    if local is None:
        return ""
    what = f"{LOCAL}/{BOOT}"
    try:
        raw = read_plain(root.host, BOOT, dir_fd=local.fd, uid=root.uid, bytes_max=_BOOT_BYTES_MAX, what=what)
    except Corrupt:
        return ""
    return "" if raw is None else raw.decode("utf-8", "replace").strip()


def _stored(root: Root, collection: str, name: str) -> Stored | None:
    directory = root.directory(collection)
    return None if directory is None else read_file(root, directory, name, what=f"{collection}/{name}")

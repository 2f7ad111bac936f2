"""What `claims doctor` sees in a state root. Reads only: takes no lock, makes nothing, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sharedstate.errors import Corrupt, NewerFormat, SharedStateError, UnsafeStore
from sharedstate.files import upkeep
from sharedstate.files.faults import translated
from sharedstate.files.journal import Journal
from sharedstate.files.reading import file_names, intents
from sharedstate.files.records import SUFFIX
from sharedstate.files.repair import collections_of, index_is_complete
from sharedstate.files.restoring import examine, places_of_journals
from sharedstate.files.roots import BEATS, Root
from sharedstate.files.stripes import LockTable
from sharedstate.findings import Finding, fine, trouble, warning
from sharedstate.host import Host

FIX: Final = "run `claims doctor --fix`"
HOLD_S_MAX: Final = 1.0
_SHOWN_MAX: Final = 20


def inspect(path: str, *, host: Host, skew_ms: int) -> list[Finding]:
    """Findings about the state root at `path`, which need not exist.

    `skew_ms`: how far entries may lie in the future.
    """
    root = Root(path, host=host, allow_network=True)
    findings: list[Finding] = []
    try:
        if root.directory("") is None:
            return [fine("root", path, "does not exist yet; the first write makes it")]
        info = host.lstat(path)
        findings.append(fine("root", path, f"mode {info.mode:04o}, owner {info.uid}, format known"))
    except SharedStateError as error:
        return [_refused(path, error)]
    except OSError as error:
        return [_refused(path, translated(error, what=f"opening {path}"))]
    looks = (
        _records(root),
        _intents(root),
        _litter(root),
        _quarantine(root),
        _journals(root, skew_ms=skew_ms),
        _holders(root),
    )
    for look in looks:
        try:
            findings += look
        except SharedStateError as error:
            findings.append(_refused(path, error))
        except OSError as error:
            findings.append(_refused(path, translated(error, what=f"inspecting {path}")))
    return findings


def _refused(path: str, error: SharedStateError) -> Finding:
    if isinstance(error, NewerFormat):
        return trouble("newer_format", path, str(error), "upgrade sharedstate on this machine", corrupt=True)
    if isinstance(error, Corrupt):
        step = "keep a copy, and write it anew as docs/files.md shows it"
        return trouble("format_unreadable", path, str(error), step, corrupt=True)
    if isinstance(error, UnsafeStore):
        return trouble("unsafe_store", path, str(error), error.hint)
    return trouble(error.code, path, str(error), error.hint)


# Records


def _records(root: Root) -> Iterator[Finding]:
    kept = {copy.source: copy.name for copy in upkeep.quarantined(root)}
    readable, live = 0, set[tuple[str, str]]()
    unknown = set[tuple[str, str]]()
    for collection in collections_of(root):
        for name in sorted(file_names(root, collection)):
            where = f"{collection}/{name}"
            try:
                stored = examine(root, collection, name)
            except SharedStateError as error:
                unknown.add((collection, name.removesuffix(SUFFIX)))
                yield _unreadable(f"{root.path}/{where}", error, copy=kept.get(where))
                continue
            if stored is not None:
                readable += 1
                if stored.live is not None:
                    live.add((collection, name.removesuffix(SUFFIX)))
    yield fine("records", root.path, f"{readable} records can be read, {len(live)} of them live")
    yield from _index(root, live, unknown)


def _unreadable(where: str, error: SharedStateError, *, copy: str | None) -> Finding:
    if isinstance(error, NewerFormat):
        return trouble("newer_format", where, str(error), "upgrade sharedstate on this machine", corrupt=True)
    if isinstance(error, UnsafeStore):
        return trouble("unsafe_file", where, str(error), "look at what was put there, and move it away")
    kept = "its bytes are in place" if copy is None else f"its bytes are in place, and in local/quarantine/{copy}.bin"
    if not isinstance(error, Corrupt):
        return trouble(error.code, where, str(error), error.hint)
    return trouble("record_unreadable", where, f"{error}; {kept}", FIX, corrupt=True)


def _index(root: Root, live: set[tuple[str, str]], unknown: set[tuple[str, str]]) -> Iterator[Finding]:
    """A difference counts only when it is still there at a second look: claims come and go meanwhile."""
    if not index_is_complete(root):
        text = "not known to be complete since this machine started; reads look at every record until the first write"
        yield fine("live_index", root.path, text)
        return
    missing = [place for place in sorted(live - _cells(root)) if _is_live(root, place) and place not in _cells(root)]
    dead = [place for place in sorted(_cells(root) - live - unknown) if not _is_live(root, place)]
    extra = [place for place in dead if place in _cells(root)] if dead else []
    for collection, stem in missing[:_SHOWN_MAX]:
        text = "is live, but not in the index: its stale claim would never be swept"
        yield warning("live_index", f"{root.path}/{collection}/{stem}{SUFFIX}", text, FIX)
    if extra:
        names = ", ".join(stem for _, stem in extra[:_SHOWN_MAX])
        text = f"{len(extra)} beat cells of records that are not live ({names}); harmless, a reboot drops them"
        yield fine("live_index", f"{root.path}/{BEATS}", text)
    if not missing and not extra:
        yield fine("live_index", root.path, "agrees with the records")


def _cells(root: Root) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for collection in collections_of(root):
        cells = root.directory(f"{BEATS}/{collection}")
        found.update((collection, stem) for stem in (root.host.listdir(cells.fd) if cells is not None else ()))
    return found


def _is_live(root: Root, place: tuple[str, str]) -> bool:
    try:
        stored = examine(root, place[0], place[1] + SUFFIX)
    except SharedStateError:
        return False
    return stored is not None and stored.live is not None


# What crashes leave


def _intents(root: Root) -> Iterator[Finding]:
    held = {holding.lock for holding in upkeep.holders(root)}
    for name, intent in intents(root):
        if name not in held:
            where = f"{intent.collection}/{intent.key}"
            text = "a change was begun here by a process that is gone; the next access finishes it"
            yield warning("unfinished_change", where, text, f"nothing, or {FIX}")


def _litter(root: Root) -> Iterator[Finding]:
    for litter in upkeep.litter_of(root)[:_SHOWN_MAX]:
        text = f"temporary file of a crashed writer, {litter.age_ms // 60_000} minutes old"
        yield warning("litter", f"{root.path}/{litter.path}", text, f"the next sweep removes it, or {FIX}")


def _quarantine(root: Root) -> Iterator[Finding]:
    copies = upkeep.quarantined(root)
    for copy in copies[:_SHOWN_MAX]:
        where = f"{root.path}/local/quarantine/{copy.name}.bin"
        yield fine("quarantine", where, f"{copy.source}, {copy.at}: {copy.reason}")
    if len(copies) > _SHOWN_MAX:
        yield fine("quarantine", f"{root.path}/local/quarantine", f"{len(copies) - _SHOWN_MAX} more")


def _journals(root: Root, *, skew_ms: int) -> Iterator[Finding]:
    locks, now_ms = LockTable(root), root.host.now().at_ms
    for name in places_of_journals(root):
        journal = Journal(root, name, locks.named(f"journal-{name}"), timeout_s=1.0)
        where, count, last, newest_ms, gaps = f"{root.path}/journal/{name}", 0, 0, 0, 0
        for entry in journal.read():
            gaps += entry.sequence - last - 1
            count, last, newest_ms = count + 1, entry.sequence, max(newest_ms, entry.at_ms)
        damage = journal.damage()
        if damage or gaps:
            text = f"{damage} lines do not parse, {gaps} sequence numbers are missing; readers skip them"
            step = "nothing, if a machine crashed; else keep a copy of the folder and look for another writer"
            yield warning("journal_damage", where, text, step)
        if newest_ms > now_ms + skew_ms:
            text = f"has an entry from {(newest_ms - now_ms) / 1000:.0f} s in the future"
            yield warning("clock", where, text, "check the clocks of the machines that write here")
        yield fine("journal", where, f"{count} entries, the last is {last}")


def _holders(root: Root) -> Iterator[Finding]:
    first = {(holding.lock, holding.pid) for holding in upkeep.holders(root)}
    if not first:
        return
    root.host.sleep(HOLD_S_MAX)
    for lock, pid in sorted(first & {(holding.lock, holding.pid) for holding in upkeep.holders(root)}):
        text = f"held by process {pid} now and {HOLD_S_MAX:g} s ago; others wait"
        yield warning("lock_held", f"{root.path}/local/locks/{lock}", text, f"look what process {pid} is doing")

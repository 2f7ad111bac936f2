"""Taking over the ledgers of older tools: read, decide entry by entry, write, and say what became of each.

One bad entry stops nothing; importing twice changes nothing; a dry run writes nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sharedstate import jsonio
from sharedstate.claims.identity import host_name
from sharedstate.claims.model import LocalClaim
from sharedstate.errors import Corrupt, InvalidInput, SharedStateError
from sharedstate.ids import check_id, digest_of
from sharedstate.store import KEEP, Beat, Decision, Document, Mark, Snapshot, Store
from sharedstate.tasks.model import TaskState, load
from sharedstate.tasks.policy_import import LEDGERS, REFUSED, TAKEN, Imported, decide_import
from sharedstate.tasks.service import ARCHIVE, TASKS
from sharedstate.values import Value

if TYPE_CHECKING:
    from sharedstate.claims.legacy import RawEntry
    from sharedstate.claims.service import Claims
    from sharedstate.claims.translation import Translation
    from sharedstate.host import Host

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
FILES_MAX: Final = 100
CHANGED: Final = "changed"
_PIECE_BYTES: Final = 1024 * 1024


class ImportedEntry(Value):
    """What became of one entry: `taken` as it was, taken but `changed` (see `notes`), `refused` or `unchanged`, and
    why.

    `task` is the canonical id, or the id or place in the file as it stood when it was refused.
    """

    task: str
    ledger: str
    outcome: str
    detail: str
    fence: int | None = None
    notes: tuple[str, ...] = ()


class ImportedFile(Value):
    """What became of one file: its entries, or why it was refused as a whole (`code` is that of the error)."""

    path: str
    entries: tuple[ImportedEntry, ...] = ()
    refused: str = ""
    code: str = ""


class ImportReport(Value):
    """What an import did, or with `dry_run` would have done, file by file in the given order."""

    files: tuple[ImportedFile, ...]
    dry_run: bool

    def counts(self) -> dict[str, int]:
        """How many entries were taken, changed, refused, unchanged, and how many files were refused."""
        outcomes = [entry.outcome for file in self.files for entry in file.entries]
        counted = {outcome: outcomes.count(outcome) for outcome in (TAKEN, CHANGED, REFUSED, "unchanged")}
        return {**counted, "files_refused": sum(bool(file.refused) for file in self.files)}


def import_ledgers(claims: Claims, paths: Sequence[str], *, dry_run: bool = False) -> ImportReport:
    """Take over `shared-task-states.json` and `task-claims.json` files (at most 100) into the shared task state.

    Entries of shared task states are taken first, whatever the order of files, because they win over local claims.
    Raises `StoreError` when the store fails; everything about the files themselves is in the report.
    """
    if len(paths) > FILES_MAX:
        raise InvalidInput(f"at most {FILES_MAX} files at once, not {len(paths)}")
    importer = _Importer(claims, dry_run=dry_run)
    read = [(path, *_raw_entries(path, host=claims.host)) for path in paths]
    outcomes: dict[tuple[int, int], ImportedEntry] = {}
    for ledger in LEDGERS:
        for number, (_, entries, _) in enumerate(read):
            for place, entry in enumerate(entries):
                if entry.ledger == ledger:
                    outcomes[number, place] = importer.take(entry, place=place)
    files: list[ImportedFile] = []
    for number, (path, entries, error) in enumerate(read):
        if error is not None:
            files.append(ImportedFile(path=path, refused=str(error), code=error.code))
            continue
        files.append(ImportedFile(path=path, entries=tuple(outcomes[number, place] for place in range(len(entries)))))
    return ImportReport(files=tuple(files), dry_run=dry_run)


class _Importer:
    """Decides and writes entry by entry.

    A dry run remembers what it would have written, so that later entries see it.
    """

    def __init__(self, claims: Claims, *, dry_run: bool) -> None:
        self._claims = claims
        self._store: Store = claims.tasks.store
        self._settings = claims.settings
        self._dry_run = dry_run
        self._host_name = host_name()
        self._would_be: dict[str, Document] = {}

    def take(self, entry: RawEntry, *, place: int) -> ImportedEntry:
        from sharedstate.claims.legacy import fields_of
        from sharedstate.claims.translation import translate

        try:
            default_ms = self._settings.stale_threshold_ms
            translation = translate(entry, fields_of(entry), host=self._host_name, ttl_ms_default=default_ms)
            answer = self._decide(translation)
        except (InvalidInput, Corrupt) as error:
            named = entry.key or _named(entry.raw) or f"entry {place + 1}"
            return ImportedEntry(task=named, ledger=entry.ledger, outcome=REFUSED, detail=str(error))
        taken = answer.outcome == TAKEN
        changes = translation.notes if taken else ()
        said = self._write_down(translation, answer)
        return ImportedEntry(
            task=answer.task,
            ledger=entry.ledger,
            outcome=CHANGED if changes else answer.outcome,
            detail=answer.detail,
            fence=answer.fence,
            notes=(*changes, said) if taken and said else changes,
        )

    def _decide(self, translation: Translation) -> Imported:
        entry = translation.foreign
        local = self._claims.local(entry.task)

        def decide(snapshot: Snapshot) -> Decision[Imported]:
            return decide_import(
                self._state(entry.task, snapshot.value),
                entry,
                snapshot.now,
                beat=snapshot.beat,
                fence_floor=0 if local is None else local.fence,
                skew_ms=self._settings.clock_skew_ms,
            )

        if self._dry_run:
            return self._would_decide(entry.task, decide)
        return self._store.transact(TASKS, entry.task, decide)

    def _would_decide(self, task: str, decide: Any) -> Imported:
        found = None if task in self._would_be else self._store.get(TASKS, task)
        beat: Beat | None = None if found is None else found.beat
        value = self._would_be.get(task) if found is None else found.value
        decision: Decision[Imported] = decide(
            Snapshot(value=value, revision=0 if found is None else found.revision, beat=beat, now=self._store.now())
        )
        if not isinstance(decision.write, Mark):
            self._would_be[task] = decision.write
        else:
            assert decision.write is KEEP
        return decision.result

    def _state(self, task: str, value: Document | None) -> TaskState | None:
        if value is not None:
            return load(task, value)
        archived = self._store.get(ARCHIVE, task)
        return None if archived is None else load(task, archived.value)

    def _write_down(self, translation: Translation, answer: Imported) -> str:
        """The token of this owner's live claim goes to this machine's ledger; says where it stays otherwise."""
        token = translation.token
        if token is None or answer.outcome == REFUSED or not answer.digest or answer.digest != digest_of(token):
            return ""
        if answer.owner is None or answer.owner != self._claims.owner:
            return f"held by {answer.owner}: of the token only a fingerprint is kept"
        from sharedstate.claims.translation import usable_token

        if not usable_token(token):
            return "the token cannot be used here: its owner claims again"
        known = self._claims.local(answer.task)
        if not self._dry_run and (known is None or (known.fence, known.token) != (answer.fence, token)):
            claim = LocalClaim(
                task=answer.task,
                owner=answer.owner,
                token=token,
                fence=answer.fence,
                ttl_ms=translation.foreign.ttl_ms,
                seen=self._claims.local_store.now(),
            )
            self._claims.ledgers.ledger.put(claim)
        return "the token went to this machine's ledger"


def _raw_entries(path: str, *, host: Host) -> tuple[list[RawEntry], SharedStateError | None]:
    from sharedstate.claims.legacy import entries_of

    name = os.path.basename(path)
    try:
        raw = _read(path, host=host)
        if raw.lstrip()[:1] == b"[":
            listed = jsonio.decode(b'{"list":' + raw + b"}", what=name)["list"]
            document: Document = {"claims" if "claim" in name.lower() else "tasks": listed}
        else:
            document = jsonio.decode(raw, what=name)
        return list(entries_of(document, name=name)), None
    except (InvalidInput, Corrupt) as error:
        return [], error


def _read(path: str, *, host: Host) -> bytes:
    """The bytes of a regular file of at most 16 MiB; a link is followed, because the user named it."""
    try:
        fd = host.open(os.path.realpath(path), os.O_RDONLY)
    except (OSError, ValueError) as error:
        reason = "it is a FIFO or a device" if getattr(error, "errno", 0) == errno.ENXIO else _reason(error)
        raise InvalidInput(f"cannot read {path[:200]!a}: {reason}") from None
    try:
        info = host.fstat(fd)
        if not info.is_file:
            raise InvalidInput(f"cannot read {path[:200]!a}: not a regular file")
        if info.size > FILE_BYTES_MAX:
            raise Corrupt(f"{path[:200]!a}: {info.size} bytes, at most {FILE_BYTES_MAX} are taken")
        raw = b""
        while len(raw) < info.size:
            piece = host.pread(fd, _PIECE_BYTES, len(raw))
            if not piece:
                break
            raw += piece
        return raw
    except OSError as error:
        if isinstance(error, SharedStateError):
            raise
        raise InvalidInput(f"cannot read {path[:200]!a}: {_reason(error)}") from None
    finally:
        host.close(fd)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _named(raw: Any) -> str:
    """The id an entry gives itself, as far as it can be shown."""
    if isinstance(raw, dict):
        for name in ("taskId", "task_id", "id"):
            try:
                return check_id(raw.get(name))
            except InvalidInput:
                continue
    return ""

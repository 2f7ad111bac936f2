"""Guidance files: text for agents in the working copy, known by the hash of its content.

Neither size nor time of a file counts: the same content checked out again is no news, other content of the same size
and time is. What was acknowledged is what was *seen*, by its digest, so a change in between stays news.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sharedstate import logs
from sharedstate.errors import Corrupt, InvalidInput
from sharedstate.host import Host
from sharedstate.ids import fingerprint
from sharedstate.messages.model import GuidanceChange
from sharedstate.messages.wire import check_word
from sharedstate.store import KEEP, Decision, Document, Snapshot, Store
from sharedstate.values import Value

COLLECTION: Final = "guidance"
PATTERNS_MAX: Final = 50
FILES_MAX: Final = 100
NAMES_MAX: Final = 10_000
FILE_BYTES_MAX: Final = 1024 * 1024
DIGEST_BYTES: Final = 16
_ABSENT: Final = frozenset((errno.ENOENT, errno.ENOTDIR))
_LINK: Final = frozenset((errno.ELOOP, errno.ENOTDIR, errno.EMLINK))


class Look(Value):
    """What stands in a working copy: path (with `/`) -> digest of the content, and what could not be looked at."""

    files: Mapping[str, str]
    problems: tuple[str, ...] = ()


def look(folder: str, patterns: Sequence[str], *, phase: str | None, host: Host) -> Look:
    """The guidance files below `folder` for a phase. Reads at most 100 files of at most 1 MiB each.

    A pattern is a path with `/`; `{phase}` stands for the phase (without one it is left out), `*` and `?` match within
    one name. A link is followed as long as it stays below `folder`; one that leads out is no guidance. Raises
    `InvalidInput` for a pattern or phase that is no relative path.
    """
    top = os.path.realpath(folder)
    files: dict[str, str] = {}
    problems: list[str] = []
    for path in _paths(top, expanded(patterns, phase=phase), problems, host=host):
        if path in files:
            continue
        if len(files) >= FILES_MAX:
            problems.append(f"more than {FILES_MAX} guidance files in {top}")
            break
        try:
            raw = _content(top, path, host=host)
        except OSError as error:
            problems.append(f"guidance {path}: {error.strerror or error}")
            continue
        if raw is not None and len(raw) > FILE_BYTES_MAX:
            problems.append(f"guidance {path}: more than {FILE_BYTES_MAX} bytes")
        elif raw is not None:
            files[path] = fingerprint(raw, size=DIGEST_BYTES)
    return Look(files=files, problems=tuple(problems))


def expanded(patterns: Sequence[str], *, phase: str | None) -> tuple[str, ...]:
    """The patterns with the phase in its place, each once. Raises `InvalidInput`."""
    if len(patterns) > PATTERNS_MAX:
        raise InvalidInput(f"{len(patterns)} guidance patterns; at most {PATTERNS_MAX} are allowed")
    word = check_word(phase, what="phase") if phase else ""
    chosen = [pattern.replace("{phase}", word) for pattern in patterns if word or "{phase}" not in pattern]
    for pattern in chosen:
        if "\0" in pattern or "\\" in pattern or any(part in ("", ".", "..") for part in pattern.split("/")):
            raise InvalidInput(f"guidance pattern {pattern[:60]!a}: a relative path with /, without . and ..")
    return tuple(dict.fromkeys(chosen))


def changes(known: Mapping[str, str], found: Look, *, patterns: Sequence[str]) -> tuple[GuidanceChange, ...]:
    """What is new, changed or removed since it was acknowledged, by path.

    A path that none of the (expanded) patterns means, as that of another phase, is not missed; nor is one missed while
    something could not be looked at.
    """
    told = [
        GuidanceChange(path=path, change="changed" if path in known else "new", digest=digest)
        for path, digest in found.files.items()
        if known.get(path) != digest
    ]
    if not found.problems:
        gone = [path for path in known if path not in found.files and any(_matches(path, p) for p in patterns)]
        told += [GuidanceChange(path=path, change="removed", digest="") for path in gone]
    return tuple(sorted(told, key=lambda change: change.path))


def acknowledged(store: Store, agent: str) -> dict[str, str]:
    """Path -> digest of what an agent has acknowledged. Raises `StoreError`, `Corrupt`."""
    found = store.get(COLLECTION, agent)
    return {} if found is None else _load(found.value)


def acknowledge(store: Store, agent: str, seen: Sequence[GuidanceChange | str]) -> None:
    """Note what an agent has seen: changes as `unread` told them, or texts `path@digest` (`path@` when removed)."""
    pairs = [_pair(item) for item in seen]

    def decide(snapshot: Snapshot) -> Decision[None]:
        known = {} if snapshot.value is None else _load(snapshot.value)
        after = dict(known)
        for path, digest in pairs:
            if digest:
                after[path] = digest
            else:
                after.pop(path, None)
        if len(after) > 10 * FILES_MAX:  # a bound; what is missing is news once more
            after = dict(list(after.items())[-10 * FILES_MAX :])
        return Decision(result=None, write=KEEP if after == known else {"acknowledged": after})

    store.transact(COLLECTION, agent, decide)


def _load(document: Document) -> dict[str, str]:
    known = document.get("acknowledged")
    if not isinstance(known, dict) or not all(isinstance(digest, str) for digest in known.values()):
        raise Corrupt("not what an agent has acknowledged of guidance")
    return dict(known)


def _pair(item: GuidanceChange | str) -> tuple[str, str]:
    if isinstance(item, GuidanceChange):
        return item.path, item.digest
    path, at, digest = item.rpartition("@")
    plain = not digest or (len(digest) == 2 * DIGEST_BYTES and set(digest) <= set("0123456789abcdef"))
    if not at or not path or not plain or len(path) > 1_000:
        raise InvalidInput(
            f"guidance {item[:60]!a}: path@digest as `unread` shows it", hint="name what was seen, not just the file"
        )
    return path, digest


# Files


def _paths(top: str, patterns: Sequence[str], problems: list[str], *, host: Host) -> Iterator[str]:
    for pattern in patterns:
        yield from _matching(top, "", pattern.split("/"), problems, host=host)


def _matching(top: str, base: str, parts: Sequence[str], problems: list[str], *, host: Host) -> Iterator[str]:
    """Paths of one pattern; only its parts with `*` or `?` list a folder."""
    head, rest = parts[0], parts[1:]
    if not _is_wild(head):
        names = [head]
    else:
        try:
            names = [name for name in _names(top, base, host=host) if _matches(name, head)]
        except OSError as error:
            problems.append(f"guidance {base or '.'}: {error.strerror or error}")
            return
    for name in names:
        path = f"{base}/{name}" if base else name
        if rest:
            yield from _matching(top, path, rest, problems, host=host)
        else:
            yield path


def _names(top: str, base: str, *, host: Host) -> list[str]:
    folder = _below(top, os.path.join(top, *base.split("/")) if base else top)
    if folder is None:
        return []
    try:
        fd = _open_folder(top, folder, host=host)
    except OSError as error:
        if error.errno in _ABSENT:
            return []
        raise
    try:
        names = sorted(host.listdir(fd))
    finally:
        host.close(fd)
    if len(names) > NAMES_MAX:
        raise OSError(errno.E2BIG, f"more than {NAMES_MAX} names in the folder")
    return names


def _content(top: str, path: str, *, host: Host) -> bytes | None:
    """The bytes of a file (one more than allowed when there are more), None when there is none."""
    real = _below(top, os.path.join(top, *path.split("/")))
    if real is None:
        logs.warn("guidance %s leads out of %s and is not read", path, top)
        return None
    try:
        fd = _open_folder(top, os.path.dirname(real), host=host)
        try:
            file = host.open(os.path.basename(real), os.O_RDONLY, dir_fd=fd)
        finally:
            host.close(fd)
    except OSError as error:
        if error.errno in _ABSENT | _LINK:  # a link now, which was none a moment ago: not one to follow
            return None
        raise
    try:
        return _whole(file, host=host) if host.fstat(file).is_file else None
    finally:
        host.close(file)


def _whole(fd: int, *, host: Host) -> bytes:
    raw = b""
    while len(raw) <= FILE_BYTES_MAX:
        piece = host.pread(fd, FILE_BYTES_MAX + 1 - len(raw), len(raw))
        if not piece:
            break
        raw += piece
    return raw


def _below(top: str, path: str) -> str | None:
    """Where a path really is, None when that is not below `top`."""
    real = os.path.realpath(path)
    return real if real == top or real.startswith(os.path.join(top, "")) else None


def _open_folder(top: str, real: str, *, host: Host) -> int:
    """A descriptor of a folder below `top`, reached name by name without following a link."""
    fd = host.open_dir(top)
    for part in os.path.relpath(real, top).split(os.sep) if real != top else ():
        try:
            below = host.open_dir(part, dir_fd=fd)
        finally:
            host.close(fd)
        fd = below
    return fd


def _is_wild(part: str) -> bool:
    return "*" in part or "?" in part


def _matches(path: str, pattern: str) -> bool:
    """Whether a path is meant by a pattern; no `*` reaches over a `/`, and none takes a leading dot."""
    names, parts = path.split("/"), pattern.split("/")
    return len(names) == len(parts) and all(_same(name, part) for name, part in zip(names, parts, strict=True))


def _same(name: str, part: str) -> bool:
    if not _is_wild(part):
        return name == part
    from fnmatch import fnmatchcase

    return not name.startswith(".") and fnmatchcase(name, part.replace("[", "[[]"))

"""`claims merge-driver`: git calls it for files of shared state; people, to repair one that has conflict markers."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Sequence
from typing import Final

from sharedstate.claims.identity import Worktree, find_worktree
from sharedstate.errors import EXIT_OK, EXIT_UNEXPECTED, InvalidInput, StoreUnavailable
from sharedstate.masking import masked
from sharedstate.merging.files import MergedFile, merge_files, repair_file
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session

DRIVER: Final = "claims merge-driver -- %O %A %B %P"
NAME: Final = "sharedstate"
BYTES_MAX: Final = 64 * 1024 * 1024
_PATIENCE_S: Final = 10.0
_IGNORED: Final = (
    "git ignores the default state root; first name one for git: SHARED_STATE_DIR=state, or dir in sharedstate.toml"
)


def merge_driver(
    session: Session, *, files: Sequence[str], repair: bool = False, install: bool = False, apply: bool = False
) -> Report:
    """Merge three versions into the second, or repair each file, or say how git is told to call this."""
    if install:
        if files or repair:
            raise InvalidInput("--install takes no files")
        return _install(session, apply=apply)
    if apply:
        raise InvalidInput("--apply goes with --install")
    if repair:
        if not files:
            raise InvalidInput("--repair: name at least one file")
        return _report([(path, _repaired(path)) for path in files])
    if len(files) not in (3, 4):
        raise InvalidInput(
            "expected BASE OURS THEIRS [PATH], as git gives them: %O %A %B %P",
            hint="git calls this: claims merge-driver --install says how; by hand: --repair FILE…",
        )
    base, ours, theirs = files[:3]
    named = files[3] if len(files) == 4 else ours
    raws = [_read(path) for path in (base, ours, theirs)]
    merged = merge_files(*raws, journal=_is_journal(named, raws[1] or raws[2]))
    if merged.raw is not None and merged.raw != raws[1]:
        _write(ours, merged.raw)
    return _report([(named, merged)])


def _repaired(path: str) -> MergedFile:
    raw = _read(path)
    repaired = repair_file(raw, journal=_is_journal(path, raw))
    if repaired.raw is not None and repaired.raw != raw:
        _write(path, repaired.raw)
    return repaired


def _report(outcomes: Sequence[tuple[str, MergedFile]]) -> Report:
    problems = [f"{path}: {text}" for path, one in outcomes for text in one.problems]
    return Report(
        code=EXIT_UNEXPECTED if problems else EXIT_OK,
        document={
            "ok": not problems,
            "files": [
                {
                    "path": path,
                    "merged": one.raw is not None,
                    "problems": list(one.problems),
                    "notes": list(one.notes),
                }
                for path, one in outcomes
            ],
        },
        lines=tuple(f"{path}: merged" for path, one in outcomes if one.raw is not None),
        problems=tuple(problems),
        notes=tuple(f"{path}: {text}" for path, one in outcomes for text in one.notes),
    )


def _is_journal(path: str, raw: bytes) -> bool:
    return path.endswith(".jsonl") or (not path.endswith(".json") and raw.startswith(b'{"seq":'))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    if len(raw) > BYTES_MAX:
        raise InvalidInput(f"{path}: more than {BYTES_MAX} bytes")
    return raw


def _write(path: str, raw: bytes) -> None:
    """Replace the file as a whole: a crash leaves the old one."""
    draft = f"{path}.{secrets.token_hex(8)}"
    try:
        mode = os.stat(path).st_mode & 0o777
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from error


# Telling git


def _install(session: Session, *, apply: bool) -> Report:
    tree = find_worktree(os.getcwd())
    if tree is None:
        raise InvalidInput("there is no git work tree here")
    folder = _folder(session, tree)
    attributes = [f"{folder}/**/*.json merge={NAME}", f"{folder}/**/*.jsonl merge={NAME}"]
    settings = {f"merge.{NAME}.name": "shared state: no fence lowered, no value lost", f"merge.{NAME}.driver": DRIVER}
    commands = [f"git config {name} {_quoted(value)}" for name, value in settings.items()]
    document = {"ok": True, "applied": apply, "attributes": attributes, "config": settings}
    notes = () if session.state.settings.dir else (_IGNORED,)
    if not apply:
        lines = ("# each clone:", *commands, "# .gitattributes, committed:", *attributes)
        return Report(code=EXIT_OK, document=document, lines=lines, notes=notes)
    for name, value in settings.items():
        _configure(tree.common, name, value)
    path = os.path.join(tree.common, "info", "attributes")
    held = _read(path).decode("utf-8", "surrogateescape") if os.path.exists(path) else ""
    missing = [line for line in attributes if line not in held.splitlines()]
    if missing:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in ([""] if held and not held.endswith("\n") else []) + missing))
    return Report(
        code=EXIT_OK, document=document, lines=(f"git merges {folder} in this clone with `claims`",), notes=notes
    )


def _folder(session: Session, tree: Worktree) -> str:
    """The state root as attributes name it: from the top of the work tree."""
    below = os.path.relpath(session.state.root, tree.top)
    return ".cache/sharedstate" if below.startswith("..") else below.replace(os.sep, "/")


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


def _configure(common: str, name: str, value: str) -> None:
    words = ["git", f"--git-dir={common}", "config", "--local", name, value]
    try:
        ran = subprocess.run(words, capture_output=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreUnavailable(f"git config: {error}") from error
    if ran.returncode != 0:
        raise StoreUnavailable(
            f"git config {name}: {masked(ran.stderr.decode('utf-8', 'replace'), characters_max=200)}"
        )


__all__ = ["DRIVER", "NAME", "merge_driver"]

"""What the house-style rules read: the project's text files, and the shape of a rule."""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("sharedstate/", "adapters/sharedstate_adapters/", "cli/sharedstate_cli/")
_FOLDERS = ("sharedstate", "adapters", "cli", "tests", "examples", "docs", ".ci")
_SUFFIXES = (".py", ".md", ".toml", ".json", ".jsonl", ".txt", ".sh", ".yml", ".yaml", ".cfg", ".ini", ".html", ".css")
_BARE_NAMES = ("Makefile", "run", ".importlinter", ".gitignore")


class Source(NamedTuple):
    """One text file: its path from the root with forward slashes, and what it says."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        """The parsed module; a syntax error is a `SyntaxError`."""
        return _parsed(self.path, self.text)

    @property
    def in_package(self) -> bool:
        """Whether users install this file."""
        return self.path.startswith(PACKAGES)

    def at(self, line: int, complaint: str) -> str:
        """A finding as editors and terminals link it."""
        return f"{self.path}:{line}: {complaint}"


Rule = Callable[[Source], Iterator[str]]


def findings(rule: Rule, sources: list[Source]) -> list[str]:
    """What a rule says of many files, in order."""
    return [finding for source in sources for finding in rule(source)]


@functools.cache
def project() -> tuple[Source, ...]:
    """Every text file that belongs to the project, tracked or not yet; what git ignores lies in no folder walked."""
    paths = [path for path in ROOT.iterdir() if path.is_file() and _is_text(path)]
    for folder in _FOLDERS:
        for parent, folders, names in os.walk(ROOT / folder):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            paths += [path for name in names if _is_text(path := Path(parent, name))]
    return tuple(Source(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in sorted(paths))


def python() -> list[Source]:
    """The Python files of the project, tests and examples included."""
    return [source for source in project() if source.path.endswith(".py")]


def prose() -> str:
    """All that a user can read: the README and the pages under `docs/`."""
    pages = (source for source in project() if source.path == "README.md" or source.path.startswith("docs/"))
    return "\n".join(page.text for page in pages)


def _is_text(path: Path) -> bool:
    return path.suffix in _SUFFIXES or path.name in _BARE_NAMES


@functools.lru_cache(maxsize=1024)
def _parsed(path: str, text: str) -> ast.Module:
    return ast.parse(text, filename=path)

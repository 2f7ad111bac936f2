"""The record of every request that a fake has answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from sharedstate.values import Value

ENTRIES_MAX: Final = 100_000


class Entry(Value):
    """One request and how it ended.

    `cost` is what it took from the primary limit (0 or 1), `points` what it counted for the secondary one (read 1,
    write 5). `fault` names the kind of a fault it met. `early`: it came although the token had been told to wait.
    """

    number: int
    at_ms: int
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    user: str | None
    status: int
    cost: int
    points: int
    fault: str | None = None
    early: bool = False
    body: bytes = b""


class RequestLog:
    """The requests in the order they were answered; the oldest leave when there are more than `ENTRIES_MAX`."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_MAX)
        self._count = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Entry:
        return self._entries[index]

    def add(self, entry: Entry) -> None:
        """Record one more."""
        self._entries.append(entry)

    def next_number(self) -> int:
        """The number of the next request (1, 2, 3 …), counted on through `clear`."""
        self._count += 1
        return self._count

    def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()

    def where(
        self, *, method: str | None = None, path: str = "*", user: str | None = None, status: int | None = None
    ) -> tuple[Entry, ...]:
        """The entries that match; `path` is a glob."""
        return tuple(
            entry
            for entry in self
            if (method is None or entry.method == method)
            and (user is None or entry.user == user)
            and (status is None or entry.status == status)
            and fnmatchcase(entry.path, path)
        )

    def writes(self) -> tuple[Entry, ...]:
        """The entries that were meant to change something."""
        return tuple(entry for entry in self if entry.method not in ("GET", "HEAD"))

    def early(self) -> tuple[Entry, ...]:
        """The entries that came before the moment the token had been told to wait for."""
        return tuple(entry for entry in self if entry.early)

    def cost(self) -> int:
        """What all entries together took from the primary limit."""
        return sum(entry.cost for entry in self)

"""Which issue is which task: `GH-42` at home (the pattern is configurable), `acme/lib#7` in every other repository."""

from __future__ import annotations

import re
from typing import Final

from sharedstate.errors import BadSettings
from sharedstate.values import Value

_REPOSITORY: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}")
_NUMBER: Final = "[1-9][0-9]{0,9}"
_ELSEWHERE: Final = re.compile(rf"({_REPOSITORY.pattern})#({_NUMBER})")


class Place(Value):
    """One issue: `acme/app` and the number. Part of the seal of a state comment, so that none can be replayed."""

    repository: str
    number: int

    def __str__(self) -> str:
        return f"{self.repository}#{self.number}"


class Handle(Value):
    """What finds an item again without a search: its place, its state comment (0: none known), its project card."""

    place: Place
    comment_id: int = 0
    card_id: int = 0

    def text(self) -> str:
        """As one word, for the engine to keep."""
        return f"{self.place} c{self.comment_id} p{self.card_id}"


def check_repository(text: str) -> str:
    """The name `owner/name`, or `BadSettings`."""
    if not _REPOSITORY.fullmatch(text) or text.endswith(("/.", "/..")):
        raise BadSettings(f"SHARED_STATE_REPOSITORY: not owner/name: {text[:120]!r}")
    return text


class Keys:
    """Tasks to issues and back. `home` is the repository whose tasks go by `pattern`, which holds `{number}` once."""

    def __init__(self, *, home: str, pattern: str = "GH-{number}") -> None:
        before, found, after = pattern.partition("{number}")
        if not found or "{" in before + after or "}" in before + after or len(pattern) > 100:
            raise BadSettings(f"SHARED_STATE_TASK_PATTERN: expected text with {{number}} once, not {pattern[:120]!r}")
        self.home = check_repository(home)
        self._pattern = pattern
        self._at_home = re.compile(f"{re.escape(before)}({_NUMBER}){re.escape(after)}")

    def task_of(self, place: Place) -> str:
        """The task of an issue."""
        if place.repository.lower() == self.home.lower():
            return self._pattern.replace("{number}", str(place.number))
        return str(place)

    def place_of(self, task: str) -> Place | None:
        """The issue of a task; None when the task lives on no issue."""
        if found := self._at_home.fullmatch(task):
            return Place(repository=self.home, number=int(found[1]))
        if found := _ELSEWHERE.fullmatch(task):
            return Place(repository=found[1], number=int(found[2]))
        return None

    def handle_of(self, task: str, text: str) -> Handle | None:
        """The handle in `text`, or a fresh one for the task; None when the task lives on no issue."""
        place = self.place_of(task)
        if place is None:
            return None
        found = re.fullmatch(r"(\S+) c([0-9]{1,18}) p([0-9]{1,18})", text)
        if found is None or found[1] != str(place):
            return Handle(place=place)
        return Handle(place=place, comment_id=int(found[2]), card_id=int(found[3]))

"""Our labels on an issue: exactly those wanted, no other label touched, `ignore` never removed."""

from __future__ import annotations

from typing import Final

from sharedstate.errors import BadSettings
from sharedstate.sync.board import Failed, Item, Parked
from sharedstate_adapters.github.answers import Answer, Ok
from sharedstate_adapters.github.items import WORDS, own_labels
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.memory import Memory
from sharedstate_adapters.github.repository import Repository

KEPT: Final = frozenset(("ignore",))
STYLES: Final = {
    "claimed": ("1d76db", "somebody works on this task"),
    "working": ("0e8a16", "the claim has shown life lately"),
    "stale": ("fbca04", "the claim has shown no life for too long"),
    "ignore": ("d4c5f9", "the fleet leaves this task alone"),
}

PREFIX_CHARACTERS_MAX: Final = 50 - max(map(len, WORDS))  # GitHub's limit for the whole name


def check_prefix(prefix: str) -> str:
    """What our labels begin with, or `BadSettings` where GitHub would refuse it, or keep another than was sent."""
    if len(prefix) > PREFIX_CHARACTERS_MAX or not prefix.isprintable() or prefix != prefix.lstrip():
        raise BadSettings(
            f"SHARED_STATE_LABEL_PREFIX: at most {PREFIX_CHARACTERS_MAX} printable characters, no space first:"
            f" {prefix[:60]!a}"
        )
    return prefix


class Labels:
    """Labels of one repository with one prefix."""

    def __init__(self, repository: Repository, memory: Memory, *, prefix: str) -> None:
        self._repository = repository
        self._memory = memory
        self._prefix = prefix

    def put(self, item: Item, place: Place, wanted: frozenset[str]) -> Item | Parked | Failed:
        """The item after adding and removing the difference between its labels and `wanted`.

        One label at a time and only the difference, so that what people do at the same moment stays. The card is as it
        was read: a person's change waits there for the next listing.
        """
        shown = item.labels
        for word in sorted((wanted & frozenset(WORDS)) - item.labels):
            answer = self._add(place, word)
            if isinstance(answer, Parked | Failed):
                return answer
            shown = _labels_in(answer, self._prefix, otherwise=shown | {word})
        for word in sorted(item.labels - wanted - KEPT):
            answer = self._remove(place, word)
            if isinstance(answer, Parked | Failed):
                return answer
            shown = _labels_in(answer, self._prefix, otherwise=shown - {word})
        return item.replace(labels=shown)

    def _add(self, place: Place, word: str) -> Answer:
        refused = self._exists(word)
        return refused if refused is not None else self._repository.add_label(place.number, f"{self._prefix}{word}")

    def _remove(self, place: Place, word: str) -> Answer:
        answer = self._repository.remove_label(place.number, f"{self._prefix}{word}")
        if isinstance(answer, Failed) and answer.kind == "gone" and "label" in answer.detail.lower():
            return Ok(status=204, headers={}, document=None)  # it was not there: as wanted
        return answer

    def _exists(self, word: str) -> Parked | Failed | None:
        """Make the label in the repository, in its colour, the first time it is needed."""
        name = f"{self._prefix}{word}"
        fact = f"label {self._repository.name.lower()} {name.lower()}"
        if self._memory.fact(fact) is not None:
            return None
        color, about = STYLES[word]
        answer = self._repository.create_label(name, color=color, description=about)
        if isinstance(answer, Parked) or (isinstance(answer, Failed) and answer.kind == "transient"):
            return answer
        # Taken already, or we may not make labels: then GitHub makes a grey one when it is first put on an issue.
        self._memory.keep_fact(fact, {"made": isinstance(answer, Ok)})
        return None


def _labels_in(answer: Answer, prefix: str, *, otherwise: frozenset[str]) -> frozenset[str]:
    """Our labels in an answer that lists all labels of the issue; `otherwise` where it lists none."""
    document = answer.document if isinstance(answer, Ok) else None
    return own_labels(document, prefix) if isinstance(document, list) else otherwise

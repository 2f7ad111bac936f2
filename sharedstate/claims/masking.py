"""Texts that others will read: bounded, and without the secrets that people put into command lines and reasons.

It masks what looks like a secret. It cannot know every one: a secret belongs into a file or the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "…"
WORDS_MAX: Final = 100
WORD_CHARACTERS_MAX: Final = 300
TEXT_CHARACTERS_MAX: Final = 1000

_SECRET: Final = (
    r"[\w.-]*(?:token|secret|passw(?:or)?d|passphrase|authorization|credential|(?:api|access|private|signing)[_-]?key)"
    r"[\w.-]*"
)
_NAMED: Final = re.compile(rf"(?i)({_SECRET})([\"']?\s*[=:]\s*[\"']?)([^\s\"']+)")
_OPTION: Final = re.compile(rf"(?i)--?{_SECRET}")
_SCHEME: Final = re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"']+")
_IN_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@]+@")
# Shapes that hosting and cloud services give their tokens, and JSON web tokens.
_SHAPED: Final = re.compile(
    r"\b(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|sk-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_KEY_BLOCK: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.DOTALL)


def masked(text: str, *, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
    """The text with secrets masked, cut at `characters_max`, fit for any encoding."""
    # Cut late: a secret that lies across the end would be cut into something that looks like none.
    text = text[: 10 * characters_max].encode(errors="replace").decode()
    text = _KEY_BLOCK.sub(MASK, text)
    text = _IN_URL.sub(rf"\1{MASK}@", text)
    text = _SCHEME.sub(rf"\1 {MASK}", text)
    text = _NAMED.sub(rf"\1\2{MASK}", text)
    text = _SHAPED.sub(MASK, text)
    return text if len(text) <= characters_max else text[: characters_max - 1] + MASK


def masked_command(command: Iterable[str]) -> tuple[str, ...]:
    """A command line for others: at most 100 words of 300 characters, secrets masked, also `--password VALUE`."""
    words: list[str] = []
    follows = False
    for word in command:
        if len(words) == WORDS_MAX:
            words.append(MASK)
            break
        words.append(MASK if follows and not word.startswith("-") else masked(word, characters_max=WORD_CHARACTERS_MAX))
        follows = _OPTION.fullmatch(word) is not None
    return tuple(words)

"""Ids are data: which texts may name a task or an owner, how an id becomes a file name, what identifies a process."""

from __future__ import annotations

from _operator import _compare_digest
from functools import lru_cache

from sharedstate.errors import InvalidId
from sharedstate.values import Value

try:  # what hashlib and hmac hand out themselves, without loading OpenSSL: that costs 2.5 ms of start-up
    from _blake2 import blake2b
except ImportError:  # another Python than CPython
    from hashlib import blake2b

ID_CHARACTERS_MAX = 200
_PREFIX_CHARACTERS = 40
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
# Categories of Unicode that never belong in an id: controls, formats (bidi marks, zero width joiners), surrogates,
# private use, unassigned, line and paragraph separators.
_REFUSED_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def check_id(text: object, *, what: str = "task id") -> str:
    """The id in NFC, or `InvalidId` with the reason.

    1-200 characters after normalisation, no leading or trailing white space, no character of the categories above.
    Path-like, reserved or dotted names are allowed: they are data and never become a path.
    """
    if not isinstance(text, str):
        raise InvalidId(f"{what} must be text, not {type(text).__name__}")
    if text.isascii() and text.isprintable():
        return _check_shape(text, what=what)
    import unicodedata

    for character in text:
        if unicodedata.category(character) in _REFUSED_CATEGORIES:
            raise InvalidId(f"{what} contains U+{ord(character):04X}, which is not allowed: {_shown(text)}")
    return _check_shape(unicodedata.normalize("NFC", text), what=what)


def _check_shape(text: str, *, what: str) -> str:
    if not text:
        raise InvalidId(f"{what} is empty")
    if len(text) > ID_CHARACTERS_MAX:
        raise InvalidId(f"{what} has {len(text)} characters; at most {ID_CHARACTERS_MAX} are allowed: {_shown(text)}")
    if text != text.strip():
        raise InvalidId(f"{what} begins or ends with white space: {_shown(text)}")
    return text


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "…")


@lru_cache(maxsize=1024)  # one claim looks into four places under the same name
def record_name(key: str) -> str:
    """File name stem of an id: readable prefix, dash, 128-bit BLAKE2b of its UTF-8 in hex.

    Distinct ids (case, dots, suffixes, common prefixes) get distinct names on every file system; the full id
    stands inside the record and is compared on read. The prefix has no dots: `NUL.txt` is a device on Windows.
    """
    prefix = "".join(c if c in _PLAIN else "_" for c in key[:_PREFIX_CHARACTERS]) or "_"
    return f"{prefix}-{fingerprint(key.encode(), size=16)}"


def digest_of(token: str) -> str:
    """Public fingerprint of a secret token: BLAKE2b-256 in hex. Only this ever leaves the owner's ledger."""
    return fingerprint(token.encode(), size=32, person=b"sharedstate-tok")


def same_digest(one: str, other: str) -> bool:
    """Whether two fingerprints are equal, in a time that does not tell how much of them is."""
    return _compare_digest(one, other)


def fingerprint(raw: bytes, *, size: int, person: bytes = b"") -> str:
    """BLAKE2b of `raw` with `size` bytes (1-64), in hex; `person` (at most 16 bytes) keeps uses apart."""
    return blake2b(raw, digest_size=size, person=person).hexdigest()


class Process(Value):
    """Identity of an operating system process that no reuse of its pid can forge.

    `pid`, `start` in clock ticks since boot, `boot_id`, and `pid_ns`, the pid namespace in which the pid means
    something.
    """

    pid: int
    start: int
    boot_id: str
    pid_ns: str

"""Operating system errors become the library's own here, once; and names become paths only after a check."""

from __future__ import annotations

import errno

from sharedstate.errors import InvalidInput, StoreError, StoreUnavailable, UnsafeStore

_PLANTED = frozenset((errno.ELOOP, errno.EMLINK, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.ESPIPE))
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_NAME_CHARACTERS_MAX = 100
RESERVED = frozenset(("journal", "local"))


def translated(error: OSError, *, what: str) -> StoreError:
    """The fault a caller sees for `error`: `what` names the operation and the record or file."""
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    if error.errno in _PLANTED:
        return UnsafeStore(f"{what}: not a plain file or directory ({name})")
    return StoreUnavailable(f"{what}: {error.strerror or error} ({name})")


def check_name(name: str, *, what: str) -> str:
    """A collection or journal name as given, or `InvalidInput`: 1-100 of `A-Z a-z 0-9 - _ .`, no leading dot.

    Unlike keys, which are data, these names are chosen by programs and stand in paths as they are.
    """
    if not name or len(name) > _NAME_CHARACTERS_MAX or name[0] == "." or not _PLAIN.issuperset(name):
        raise InvalidInput(
            f"{what} {name[:60]!a}: use 1-{_NAME_CHARACTERS_MAX} of A-Z a-z 0-9 - _ . and no leading dot"
        )
    if what == "collection" and name in RESERVED:
        raise InvalidInput(f"collection {name!r} is reserved")
    return name


def warn(message: str) -> None:
    """One WARNING of the `sharedstate` logger; logging is imported only when there is something to say."""
    import logging

    logging.getLogger("sharedstate").warning(message)

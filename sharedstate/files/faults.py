"""Operating system errors become the library's own here, once."""

from __future__ import annotations

import errno

from sharedstate.errors import StoreError, StoreUnavailable, UnsafeStore

_PLANTED = frozenset((errno.ELOOP, errno.EMLINK, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.ESPIPE))


def translated(error: OSError, *, what: str) -> StoreError:
    """The fault a caller sees for `error`: `what` names the operation and the record or file."""
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    if error.errno in _PLANTED:
        return UnsafeStore(f"{what}: not a plain file or directory ({name})")
    return StoreUnavailable(f"{what}: {error.strerror or error} ({name})")


def warn(message: str) -> None:
    """One WARNING of the `sharedstate` logger; logging is imported only when there is something to say."""
    import logging

    logging.getLogger("sharedstate").warning(message)

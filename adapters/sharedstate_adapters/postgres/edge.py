"""Where the client library's errors end: each is turned, once, into the library's own, or into `Away`, tried again."""

from __future__ import annotations

from typing import Final

import psycopg

from sharedstate.errors import BadSettings, Corrupt, SharedStateError, StoreBusy, StoreUnavailable
from sharedstate.masking import masked

# By SQLSTATE. The server ended the session, is starting or stopping, or has no place: worth another try.
_PASSING: Final = frozenset(("25P03", "57P01", "57P02", "57P03", "57P05", "53300", "40001", "40P01"))
_UNDONE: Final = frozenset(("25P03", "40001", "40P01"))  # certainly without effect
_BUSY: Final = frozenset(("55P03", "57014"))
_ABSENT: Final = frozenset(("3F000", "42P01", "42883"))
_REFUSED: Final = frozenset(("28000", "28P01", "3D000", "42501"))
_TEXTS: Final = {
    "25006": ("the server is a standby, or read-only, and takes no changes", "use the primary's address"),
    "53100": ("the server's disk is full", "free space there; nothing was changed"),
    "53200": ("the server is out of memory", "look at the server; nothing was changed"),
    "58030": ("the server cannot read or write its disk", "look at its disk and its log; nothing was changed"),
}
# Answers to a login carry no SQLSTATE in the client library; these are the beginnings of what servers say.
_LOGIN: Final = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "authentication failed",
    "role ",
    'database "',
    "permission denied for database",
    "certificate verify failed",
    "root certificate file",
    "server does not support SSL",
)
TAKEN: Final = "23505"
_COMING: Final = ("starting up", "recovery mode", "not yet accepting", "too many clients", "remaining connection slots")
_HINT: Final = "`claims doctor` tells what is wrong with the server; then try again"
_LOGIN_HINT: Final = "check user, password and database in SHARED_STATE_URL"
_GRANT_HINT: Final = "docs/postgres-store.md, Roles, has the grants; `claims store migrate` makes the tables"


class Away(Exception):
    """The server did not answer, or cannot work for now: worth another try. It never leaves this package.

    `sent`: the server may have done what was asked. `coming`: it is there, and says that it is about to work.
    """

    def __init__(self, reason: str, *, sent: bool, coming: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.coming = coming


class Absent(Exception):
    """The tables are not there yet. It never leaves this package."""


class Taken(Exception):
    """The mark of this change is there already: an earlier try was carried out. It never leaves this package."""


def shown(error: Exception) -> str:
    """The text of a foreign error: one line, short, without secrets."""
    return masked(" ".join(str(error).split()), characters_max=200) or type(error).__name__


def not_connected(error: psycopg.Error, *, where: str) -> SharedStateError | Away:
    """What it means that no connection could be made."""
    text = shown(error)
    if any(word in text for word in _COMING):
        return Away(text, sent=False, coming=True)
    if any(word in text for word in _LOGIN):
        return BadSettings(f"PostgreSQL at {where} refuses: {text}", hint=_LOGIN_HINT)
    return Away(text, sent=False)


def translated(error: psycopg.Error, *, what: str, where: str, changes: bool) -> Exception:
    """What an error in the middle of a request means. With a SQLSTATE, nothing of a transaction was carried out.

    Except when the session was ended: it may have been after the commit (`changes`).
    """
    state = error.sqlstate
    text = shown(error)
    if state is None:
        return Away(text, sent=changes)
    if state in _PASSING or state.startswith("08"):
        return Away(text, sent=changes and state not in _UNDONE)
    if state in _ABSENT:
        return Absent(text)
    if state == TAKEN and "nonces" in text:
        return Taken(text)
    if state in _BUSY:
        return StoreBusy(f"{what}: PostgreSQL at {where}: {text}", hint=BUSY_HINT)
    if state in _REFUSED:
        hint = _GRANT_HINT if state == "42501" else _LOGIN_HINT
        return BadSettings(f"{what}: PostgreSQL at {where} refuses: {text}", hint=hint)
    if state in ("XX001", "XX002"):
        return Corrupt(f"{what}: PostgreSQL at {where}: {text}", hint="the database itself is damaged; see its log")
    reason, hint = _TEXTS.get(state, (f"{text} ({state})", _HINT))
    return StoreUnavailable(f"{what}: PostgreSQL at {where}: {reason}", hint=hint)


BUSY_HINT: Final = "try again; many writers want the same record or journal, or the server is slow"

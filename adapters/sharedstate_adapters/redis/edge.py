"""Where Redis's own errors end: each is turned, once, into the library's own, or into `Away`, which is tried again."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from redis import exceptions as foreign

from sharedstate.errors import BadSettings, Corrupt, SharedStateError, StoreUnavailable
from sharedstate.masking import MASK, masked

# Inside of scripts the kind of an error stands somewhere in its text, and more of the text differs between versions.
_KIND: Final = re.compile(
    r"\b(OOM|MISCONF|READONLY|NOREPLICAS|WRONGTYPE|NOPERM|NOAUTH|MOVED|ASK|CROSSSLOT|CLUSTERDOWN|MASTERDOWN|TRYAGAIN"
    r"|LOADING|BUSY|UNKILLABLE)\b"
)
_PASSING: Final = frozenset(
    ("READONLY", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "LOADING", "BUSY", "UNKILLABLE")
)
_TEXTS: Final = {
    "OOM": ("the server is out of memory", "raise maxmemory, or free memory; nothing was changed"),
    "MISCONF": ("the server cannot save and takes no changes", "look at its disk and its log; nothing was changed"),
    "READONLY": ("the server is a replica, and replicas take no changes", "use the address of the primary"),
    "NOREPLICAS": ("too few replicas are connected, so the server takes no changes", "look at its replicas"),
    "MOVED": ("the node of the cluster that answers does not hold this prefix", "use the URL of the node that does"),
    "ASK": ("the cluster is moving this prefix to another node", "try again when that is done"),
}
_HINT: Final = "`claims doctor` tells what is wrong with the server; then try again"
_BAD_LOGIN: Final = "check user and password in SHARED_STATE_URL; the server needs the commands of docs/redis-store.md"


class Away(Exception):
    """The server did not answer, or cannot work for now: worth another try. It never leaves this package.

    `sent`: the server may have done what was asked.
    """

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


def away(error: Exception, *, sent: bool) -> Away:
    """A lost connection or a lost answer."""
    return Away(shown(error), sent=sent)


def shown(error: Exception) -> str:
    """The text of a foreign error: one line, short, without secrets."""
    return masked(" ".join(str(error).split()), characters_max=200).rstrip(".") or type(error).__name__


E = TypeVar("E", bound=Exception)


def without(error: E, secret: str) -> E:
    """The error without a secret that the server has repeated in it, as some do with commands they do not know."""
    text = str(error)
    return type(error)(text.replace(secret, MASK)) if secret and secret in text else error


_NO_DATABASE: Final = ("DB index is out of range", "SELECT is not allowed in cluster mode")


def refused_login(error: Exception, *, where: str) -> SharedStateError:
    """User or password are wrong, missing, or not allowed to do this."""
    return BadSettings(f"Redis at {where} refuses this user: {shown(error)}", hint=_BAD_LOGIN)


def translated(error: foreign.RedisError, *, what: str, where: str) -> SharedStateError | Away:
    """What an error that the server gave means. It means that nothing of the request was carried out."""
    if isinstance(error, foreign.AuthenticationError | foreign.NoPermissionError):
        return refused_login(error, where=where)
    text = shown(error)
    found = _KIND.search(f"{getattr(error, 'status_code', None) or ''} {text}")
    kind = "" if found is None else found[1]
    if isinstance(error, foreign.BusyLoadingError) or kind in _PASSING:
        return Away(_TEXTS.get(kind, (text, ""))[0], sent=False)
    if kind in ("NOPERM", "NOAUTH"):
        return refused_login(error, where=where)
    if kind == "WRONGTYPE":
        return Corrupt(
            f"{what}: a key at {where} holds something else than it should",
            hint="another program uses the same prefix; give this one its own (?prefix=)",
        )
    if any(words in text for words in _NO_DATABASE):
        return BadSettings(f"Redis at {where}: {text}", hint="name another database in SHARED_STATE_URL, or none")
    reason, hint = _TEXTS.get(kind, (text, _HINT))
    return StoreUnavailable(f"{what}: Redis at {where}: {reason}", hint=hint)

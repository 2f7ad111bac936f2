"""What is said of a request that got no whole answer, and whether it can have reached the other side. Pure.

The libraries below tell such a story in a line of reprs and addresses, a proxy's password perhaps among them; people
get one sentence: which host, what failed, and that another try makes sense.
"""

from __future__ import annotations

import os
import ssl
from typing import Final

from sharedstate.values import Value
from sharedstate_adapters.github.answers import tame

_CHAIN_MAX: Final = 8
_AGAIN: Final = "; try again later"


class Loss(Value):
    """One sentence for people, and whether the request may have been carried out."""

    text: str
    reached: bool


def loss_of(error: BaseException, *, host: str) -> Loss:
    """What became of a request that ended with `error` instead of an answer of `host`."""
    chain = _chain(error)
    known = _never_sent(chain, host) or _broken_off(chain, host)
    if known is not None:
        return known.replace(text=known.text + _AGAIN)
    return Loss(text=tame(f"the request to {host} failed: {type(error).__name__}: {error}"), reached=True)


def _never_sent(chain: list[BaseException], host: str) -> Loss | None:
    """No connection, so nothing was carried out. In doubt None: a write is then looked for before it is repeated."""
    from requests.exceptions import ConnectTimeout, InvalidProxyURL, ProxyError
    from urllib3.exceptions import NameResolutionError, NewConnectionError

    untrusted = _first(chain, ssl.SSLCertVerificationError)
    unconnected = _first(chain, NewConnectionError) is not None
    if untrusted is not None:
        why = getattr(untrusted, "verify_message", "") or "certificate not accepted"
        return Loss(text=tame(f"{host} cannot be trusted: {why}"), reached=False)
    if _first(chain, ProxyError, InvalidProxyURL) is not None:
        unsent = unconnected or _first(chain, InvalidProxyURL, NameResolutionError) is not None
        return Loss(text=f"the proxy on the way to {host} could not be used", reached=not unsent)
    if _first(chain, NameResolutionError) is not None:
        return Loss(text=f"the name of {host} could not be looked up", reached=False)
    if _first(chain, ConnectTimeout) is not None:
        return Loss(text=f"no connection to {host} in time", reached=False)
    return Loss(text=f"no connection to {host}{_reason(chain)}", reached=False) if unconnected else None


def _broken_off(chain: list[BaseException], host: str) -> Loss | None:
    from requests import exceptions
    from urllib3.exceptions import ReadTimeoutError

    if _first(chain, TimeoutError, exceptions.ReadTimeout, ReadTimeoutError) is not None:
        return Loss(text=f"{host} gave no whole answer in time", reached=True)
    if _first(chain, ssl.SSLError) is not None:
        return Loss(text=f"TLS with {host} failed", reached=True)
    broken = (exceptions.ConnectionError, exceptions.ChunkedEncodingError, exceptions.ContentDecodingError)
    if _first(chain, ConnectionError, *broken) is None:
        return None
    return Loss(text=f"{host} broke off before its answer was whole{_reason(chain)}", reached=True)


def _reason(chain: list[BaseException]) -> str:
    """What the operating system says, as in ` (Connection refused)`."""
    number = next((error.errno for error in chain if isinstance(error, OSError) and (error.errno or 0) > 0), None)
    return "" if number is None else f" ({os.strerror(number)})"


def _first(chain: list[BaseException], *kinds: type[BaseException]) -> BaseException | None:
    return next((error for error in chain if isinstance(error, kinds)), None)


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what caused it: each library hides the next one elsewhere."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found and len(found) < _CHAIN_MAX:
        found.append(following)
        hidden = (following.__cause__, getattr(following, "reason", None), *following.args, following.__context__)
        following = next((one for one in hidden if isinstance(one, BaseException)), None)
    return found

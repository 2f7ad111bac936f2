"""One run of all checks on one store, within a minute at most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sharedstate.connect import SharedState
from sharedstate.errors import SharedStateError, StoreUnavailable
from sharedstate.files.selftest import FAIL, UNKNOWN, Check, NoAnswer
from sharedstate.host import Host
from sharedstate.proving.checks import CHECKS, cleans_up
from sharedstate.proving.trial import PEER, Trial

_MARGIN_S: Final = 25.0


def prove(
    state: SharedState,
    *,
    folder: str,
    host: Host | None = None,
    peer: Sequence[str] = PEER,
    only: Sequence[str] = (),
) -> tuple[Check, ...]:
    """Every check (or those named in `only`) on the store of `state`, in a namespace of its own that is removed.

    `folder` is where addresses are understood from (the working directory). Takes about 10 s, at most about a minute.
    Raises `BadSettings` for a kind of store that has no self-test, and what the store raises when it does not answer.
    Never raises for a refuted promise: that is a `fail`.
    """
    chosen = [check for check in CHECKS if not only or check.__name__ in (*only, "answers", cleans_up.__name__)]
    with Trial(state, folder=folder, host=host or state.host, peer=peer) as trial:
        first, *rest = chosen
        began = first(trial)  # what fails here is no refutation: the store cannot be reached, or may not be used
        return (began, *(_made(check, trial) for check in rest))


def _made(check: Callable[[Trial], Check], trial: Trial) -> Check:
    name = check.__name__
    if check is not cleans_up and trial.host.monotonic_s() > trial.until_s - _MARGIN_S:
        return Check(name=name, verdict=UNKNOWN, what="no time left: the checks before took too long")
    try:
        return check(trial)
    except NoAnswer as error:
        return Check(name=name, verdict=UNKNOWN, what=str(error))
    except StoreUnavailable as error:
        trial.store.now()  # a server that is gone is no refutation: then this raises, and that is the answer
        return Check(name=name, verdict=UNKNOWN, what=f"{error.code}: {error}")
    except SharedStateError as error:
        return Check(name=name, verdict=FAIL, what=f"{error.code}: {error}")

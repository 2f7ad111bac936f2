"""Shared state for fleets of coding agents: exclusive claims with fences, task state, sweeps, in plain files.

    from sharedstate import SharedState, Claimed

    with SharedState.open() as state:
        answer = state.claims.claim("T-1")
        if isinstance(answer, Claimed):
            ...
            state.claims.release("T-1")

Public names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know the name; importing `typing` would double the cost of importing us
if TYPE_CHECKING:
    from typing import Any

    from sharedstate.claims.hold import Hold as Hold
    from sharedstate.claims.model import ClaimMany as ClaimMany
    from sharedstate.claims.model import NothingEligible as NothingEligible
    from sharedstate.claims.model import SweepReport as SweepReport
    from sharedstate.connect import SharedState as SharedState
    from sharedstate.errors import ClaimLost as ClaimLost
    from sharedstate.errors import ClaimRefused as ClaimRefused
    from sharedstate.errors import SharedStateError as SharedStateError
    from sharedstate.store import Store as Store
    from sharedstate.tasks.outcomes import Claimed as Claimed
    from sharedstate.tasks.outcomes import Kept as Kept
    from sharedstate.tasks.outcomes import Lost as Lost
    from sharedstate.tasks.outcomes import Refused as Refused
    from sharedstate.tasks.outcomes import Released as Released
    from sharedstate.tasks.outcomes import RetryCheck as RetryCheck
    from sharedstate.tasks.outcomes import Unverifiable as Unverifiable
    from sharedstate.tasks.service import TaskView as TaskView

__version__ = "0.1.0"

_HOMES = {
    "SharedState": "connect",
    "ClaimMany": "claims.model",
    "NothingEligible": "claims.model",
    "SweepReport": "claims.model",
    "Hold": "claims.hold",
    "ClaimLost": "errors",
    "ClaimRefused": "errors",
    "SharedStateError": "errors",
    "Store": "store",
    "Claimed": "tasks.outcomes",
    "Kept": "tasks.outcomes",
    "Lost": "tasks.outcomes",
    "Refused": "tasks.outcomes",
    "Released": "tasks.outcomes",
    "RetryCheck": "tasks.outcomes",
    "Unverifiable": "tasks.outcomes",
    "TaskView": "tasks.service",
}
__all__ = ["__version__"]
__all__ += list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll] - the table is the one list of names


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'sharedstate' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"sharedstate.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

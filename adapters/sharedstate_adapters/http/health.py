"""Whether the gateway can do its work: real round trips to its stores, timed, not merely a living process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sharedstate.errors import SharedStateError
from sharedstate.store import Decision, Snapshot, Store

if TYPE_CHECKING:
    from sharedstate.connect import SharedState

COLLECTION: Final = "gateway"
PROBE: Final = "probe"
IDENTITY: Final = "identity"
FRESH_S: Final = 1.0


class Health:
    """Looks at both stores at most once a second, whoever asks how often; safe for threads."""

    def __init__(self, state: SharedState, *, writes: bool) -> None:
        self._state = state
        self._writes = writes
        self._gate = threading.Lock()
        self._seen: tuple[bool, dict[str, Any]] | None = None
        self._seen_s = 0.0

    def look(self) -> tuple[bool, dict[str, Any]]:
        """Whether all is well, and each check with its time in milliseconds or its error code."""
        with self._gate:
            now_s = self._state.host.monotonic_s()
            if self._seen is None or now_s - self._seen_s > FRESH_S:
                self._seen = self._checked()
                self._seen_s = self._state.host.monotonic_s()
            return self._seen

    def _checked(self) -> tuple[bool, dict[str, Any]]:
        shared, local = self._state.store, self._state.local_store
        checks: dict[str, Callable[[], object]] = {
            "shared_store_read": lambda: shared.get(COLLECTION, PROBE),
            "local_store_read": lambda: local.get(COLLECTION, PROBE),
        }
        if self._writes:
            checks["shared_store_write"] = lambda: _write(shared)
            checks["local_store_write"] = lambda: _write(local)
        told = {name: self._timed(check) for name, check in checks.items()}
        return all(one["ok"] for one in told.values()), told

    def _timed(self, check: Callable[[], object]) -> Mapping[str, Any]:
        began_s = self._state.host.monotonic_s()
        try:
            check()
        except SharedStateError as error:
            return {"ok": False, "code": error.code}
        return {"ok": True, "ms": round((self._state.host.monotonic_s() - began_s) * 1000, 1)}


def _write(store: Store) -> None:
    def probe(snapshot: Snapshot) -> Decision[None]:
        return Decision(result=None, write={"probed_at_ms": snapshot.now.at_ms})

    store.transact(COLLECTION, PROBE, probe, durability="relaxed", derived=True)


def identity_of(state: SharedState, *, make: bool) -> str:
    """The id of the store behind this gateway, made once where it may be; empty when it cannot be told.

    Two gateways over one store tell the same, so that a client knows one inbox from two.
    """
    fresh = state.host.entropy(10).hex()

    def name(snapshot: Snapshot) -> Decision[str]:
        if snapshot.value is not None:
            return Decision(result=str(snapshot.value.get("store", ""))[:100])
        return Decision(result=fresh, write={"store": fresh})

    try:
        if make:
            return state.store.transact(COLLECTION, IDENTITY, name)
        found = state.store.get(COLLECTION, IDENTITY)
        return "" if found is None else str(found.value.get("store", ""))[:100]
    except SharedStateError:
        return ""

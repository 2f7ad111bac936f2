"""Room for `claims selftest` in a store, taken back whole: one collection and one journal of the trial's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharedstate.store import TRIAL_PREFIX, check_trial

if TYPE_CHECKING:
    from sharedstate_adapters.redis.records import Keys
    from sharedstate_adapters.redis.wire import Patience, Wire

_WHAT = "forgetting a self-test"
_KEYS_MAX = 500


def names(wire: Wire, keys: Keys, patience: Patience) -> list[str]:
    """The trials of which something may be there, sorted."""
    said = [raw.decode().partition(" ")[2] for raw in wire.ask(("SMEMBERS", keys.names), patience, what=_WHAT)]
    return sorted({name for name in said if name.startswith(TRIAL_PREFIX)})


def forget(wire: Wire, keys: Keys, name: str, patience: Patience) -> None:
    """Remove the collection and the journal of a trial, its beats first: their keys are told by the records."""
    check_trial(name)
    cursor: bytes = b"0"
    beats: list[str] = []
    while True:
        cursor, rows = wire.ask(("HSCAN", keys.records(name), cursor, "COUNT", _KEYS_MAX), patience, what=_WHAT)
        beats += [f"{keys.beats(name)}{key.decode()}" for key in rows[::2]]
        if cursor == b"0":
            break
    for first in range(0, len(beats), _KEYS_MAX):
        wire.ask(("DEL", *beats[first : first + _KEYS_MAX]), patience, what=_WHAT)
    held = (keys.records(name), keys.live(name), keys.kept(name), keys.journal(name))
    wire.ask(("DEL", *held), patience, what=_WHAT)
    wire.ask(("SREM", keys.names, f"collection {name}", f"journal {name}"), patience, what=_WHAT)

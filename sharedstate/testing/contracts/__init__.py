"""What every store must do: one suite of tests, public, so that others can prove theirs.

    class TestMyStore(StoreContract):
        def make_store(self, tmp_path: Path) -> Store:
            return MyStore(...)          # empty, its own namespace

Run it with pytest, which is imported only when a test is skipped. For detailed messages a conftest calls
`pytest.register_assert_rewrite("sharedstate.testing.contracts")`. docs/stores.md says how to write a store.

Override what the store has (`Hooks` describes each): `another` when a second, independent store object can be opened
on the same state; `opener` when other processes can; `advance` when the clock can be moved instead of waited for;
`plant_bad_record` when bytes can be damaged behind the store's back; `lose_beats` when beats can get lost. What is not
given is skipped, with the reason.
"""

from __future__ import annotations

from sharedstate.testing.contracts.beats import BeatContract
from sharedstate.testing.contracts.claims import ClaimContract
from sharedstate.testing.contracts.copies import PortableContract
from sharedstate.testing.contracts.journals import JournalContract
from sharedstate.testing.contracts.limits import LimitContract
from sharedstate.testing.contracts.races import RaceContract
from sharedstate.testing.contracts.records import RecordContract
from sharedstate.testing.contracts.workers import WorkerContract

__all__ = [
    "BeatContract",
    "ClaimContract",
    "JournalContract",
    "LimitContract",
    "PortableContract",
    "RaceContract",
    "RecordContract",
    "StoreContract",
    "WorkerContract",
]


class StoreContract(
    RecordContract, LimitContract, BeatContract, JournalContract, RaceContract, ClaimContract, WorkerContract
):
    """The whole contract. Subclass it with a name that pytest collects and give `make_store`.

    A store that `claims store copy` shall work on adds `PortableContract`.
    """

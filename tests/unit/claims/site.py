"""Several machines around one shared store in memory: the stage for stories about both ledgers."""

from __future__ import annotations

from typing import Any

from sharedstate import jsonio
from sharedstate.claims.identity import Identity
from sharedstate.claims.ledger import Ledger
from sharedstate.claims.ledgers import Ledgers
from sharedstate.claims.service import Claims
from sharedstate.connect import SharedState
from sharedstate.errors import StoreUnavailable
from sharedstate.settings import resolve
from sharedstate.store import Unreadable
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.outcomes import Claimed, Refused
from sharedstate.tasks.service import Tasks, TaskView
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.clock import FakeHost
from tests.unit.paused import PausedStore

TTL_S = 300
COLLECTIONS = ("tasks", "archive", "claims", "scopes", "sightings", "upkeep")


class Site:
    """One clock, one shared store; `machine` adds a workstation with a ledger of its own."""

    def __init__(self) -> None:
        self.host = FakeHost()
        self.shared = PausedStore(self.host)

    def machine(self, name: str = "ws1") -> Machine:
        """Another workstation."""
        return Machine(self, name)

    def cut(self) -> None:
        """The shared store is away from now on."""
        self.shared.outage = StoreUnavailable("planted: no connection")

    def mend(self) -> None:
        """The shared store is back."""
        self.shared.outage = None

    def pass_s(self, seconds: float) -> None:
        """Let time pass everywhere."""
        self.host.advance(seconds)

    def events(self) -> list[str]:
        """The types of all events of the shared store so far."""
        return [entry.value["type"] for entry in self.shared.read("events")]


class Machine:
    """One workstation: its local store, and the processes that open the state there."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.name = name
        self.local = PausedStore(site.host)

    def state(self, agent: str = "a", **settings: Any) -> SharedState:
        """What one more process of `agent` opens."""
        return SharedState(
            settings=resolve(settings, env={}, folder="/"),
            identity=Identity(owner=f"{self.name}/{agent}", host=self.name, origin="argument"),
            root="root",
            shared=self.site.shared,
            local=self.local,
            host=FakeHost(machine=self.site.host.machine),
        )

    def claims(self, agent: str = "a", **settings: Any) -> Claims:
        """The claims of one more process of `agent`."""
        return self.state(agent, **settings).claims

    def one_disk(self, agent: str = "a", **settings: Any) -> Claims:
        """The same, where shared and local ledger are one place: the default."""
        resolved = resolve(settings, env={}, folder="/")
        rules, sightings = Rules(retries_max=resolved.max_retries), Sightings(self.local)
        host, ledger = self.site.host, Ledger(self.local)
        ledgers = Ledgers(
            shared=Tasks(self.site.shared, host=host, rules=rules, sightings=sightings),
            fallback=Tasks(self.local, host=host, rules=rules, sightings=sightings),
            ledger=ledger,
            local_store=self.local,
            settings=resolved,
            separate=False,
        )
        owner = f"{self.name}/{agent}"
        return Claims(
            ledgers=ledgers,
            ledger=ledger,
            local_store=self.local,
            host=host,
            settings=resolved,
            owner=owner,
            host_name=self.name,
        )


def granted(answer: object) -> Claimed:
    """The claim; the story goes on only when it was granted."""
    assert isinstance(answer, Claimed), answer
    return answer


def refused(answer: object) -> Refused:
    """The refusal; the story goes on only when it was refused."""
    assert isinstance(answer, Refused), answer
    return answer


def view(tasks: Tasks, task: str = "T-1") -> TaskView:
    """The task as it stands."""
    found = tasks.get(task)
    assert found is not None
    return found


def dump(store: PausedStore) -> str:
    """Everything that a store holds, as text."""
    parts: list[str] = []
    for collection in COLLECTIONS:
        for found in store.scan(collection):
            assert not isinstance(found, Unreadable)
            parts.append(jsonio.encode({"key": found.key, "value": found.value}).decode())
    parts += [jsonio.encode_line(entry.value).decode() for entry in store.read("events")]
    return "\n".join(parts)

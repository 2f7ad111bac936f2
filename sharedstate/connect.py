"""`SharedState.open(...)`: the one front door. Resolves settings, finds the state root, wires stores to services."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from sharedstate.claims.identity import Identity, default_root, host_name, identify
from sharedstate.claims.ledger import Ledger
from sharedstate.claims.ledgers import JOURNAL, Ledgers
from sharedstate.claims.model import Recipe
from sharedstate.claims.service import Claims
from sharedstate.errors import BadSettings
from sharedstate.files.store import FileStore
from sharedstate.host import Host
from sharedstate.settings import Settings, resolve
from sharedstate.store import Entry, Store
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.service import Tasks
from sharedstate.tasks.sightings import Sightings

if TYPE_CHECKING:
    from sharedstate.claims.audit import Audit
    from sharedstate.claims.rights import LaneRights
    from sharedstate.claims.services.service import Guard
    from sharedstate.hub.recording import Recording
    from sharedstate.hub.service import Hub
    from sharedstate.messages.inbox import Inbox
    from sharedstate.messages.outbox import Outbox

ENTRY_POINTS = "sharedstate.stores"
_NO_SECRETS: dict[str, Any] = {"signing_key": "", "signing_keys_old": ()}
# What only messages need, credentials among it.
_NO_MESSAGES: dict[str, Any] = {
    "http_token": "",
    "endpoints": (),
    "endpoint_primary": "",
    "endpoint_fallback": "",
    "lane": "",
    "lanes": {},
}


class SharedState:
    """The shared state of one repository: `.claims .tasks .guard .audit .inbox .outbox .settings .identity`, stores.

    Synchronous, no server needed, safe for threads. After a fork open a new one. Usable as a context manager.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        identity: Identity,
        root: str,
        shared: Store,
        local: Store,
        host: Host,
        recipe: Recipe | None = None,
    ) -> None:
        # A store for machines that share nothing else says so: while it is away, no local ledger may decide for all.
        settings = settings.replace(required=True) if getattr(shared, "fails_closed", False) else settings
        self.settings = settings
        self.identity = identity
        self.root = root
        self.store = shared
        self.local_store = local
        self.host = host
        self._outbox: Outbox | None = None
        self._hub: Hub | None = None
        self._unbound: SharedState | None = None
        self._rights = _rights_of(settings, identity, shared) if settings.lane else None
        rules = Rules(retries_max=settings.max_retries, skew_ms=settings.clock_skew_ms)
        sightings = Sightings(local)
        self.tasks = Tasks(shared, host=host, rules=rules, sightings=sightings)
        ledger = Ledger(local, stale_ms=settings.owner_stale_ttl_ms, skew_ms=settings.clock_skew_ms)
        ledgers = Ledgers(
            shared=self.tasks,
            fallback=Tasks(local, host=host, rules=rules, sightings=sightings),
            ledger=ledger,
            local_store=local,
            settings=settings,
            separate=not (isinstance(shared, FileStore) and shared.root.path == root),
        )
        self.claims = Claims(
            ledgers=ledgers,
            ledger=ledger,
            local_store=local,
            host=host,
            settings=settings,
            owner=identity.owner,
            host_name=identity.host,
            recipe=recipe,
            rights=self._rights,
        )

    @classmethod
    def open(
        cls,
        root: str | os.PathLike[str] | None = None,
        *,
        owner: str | None = None,
        folder: str | os.PathLike[str] | None = None,
        store: Store | None = None,
        host: Host | None = None,
        **settings: Any,
    ) -> SharedState:
        """Open the state of the repository around `folder` (default: the working directory), or under `root`.

        Other keywords are settings by name (`stale_threshold_ms=60_000`); they win over environment and files.
        `store` replaces the shared store, `host` the machine (tests). Nothing is created before the first write.
        Raises `BadSettings`.
        """
        here = os.getcwd() if folder is None else os.fspath(folder)
        given = {"dir": None if root is None else os.fspath(root), "owner": owner, **settings}
        resolved = resolve(given, folder=here)
        if resolved.lanes or resolved.lane:
            from sharedstate.messages.lanes import check_lanes

            check_lanes(resolved)
        home = os.path.abspath(os.path.join(here, resolved.dir)) if resolved.dir else default_root(here)
        machine = host or Host()
        local = _file_store(os.path.join(home, "local", "ledger"), resolved, machine)
        shared = store if store is not None else _shared_store(home, resolved, machine)
        identity = identify(resolved.owner, origin=resolved.origins["owner"], folder=here)
        recipe = None if store is not None or host is not None else _recipe(resolved, identity, home)
        return cls(
            settings=resolved,
            identity=identity,
            root=home,
            shared=shared,
            local=local,
            host=machine,
            recipe=recipe,
        )

    @property
    def audit(self) -> Audit:
        """The trail of what was denied and overridden."""
        from sharedstate.claims.audit import Audit

        return Audit(self.store)

    @property
    def inbox(self) -> Inbox:
        """Messages that have come: inboxes, what is unread, threads, acknowledgements."""
        from sharedstate.messages.inbox import Inbox

        retention_ms, guidance = self.settings.message_retention_ms, self.settings.guidance
        return Inbox(self.store, host=self.host, retention_ms=retention_ms, guidance=guidance, rights=self._rights)

    @property
    def guard(self) -> Guard:
        """Shared services: start, stop, status, and who may: it has rights of its own for the claims it takes."""
        from sharedstate.claims.services.service import Guard

        return Guard(self.unbound.claims, root=self.root)

    @property
    def unbound(self) -> SharedState:
        """This state without a lane, over the same stores: for who acts on behalf of others, as a gateway does.

        It is closed with this one.
        """
        if self._rights is None:
            return self
        if self._unbound is None:
            self._unbound = SharedState(
                settings=self.settings.replace(lane=""),
                identity=self.identity,
                root=self.root,
                shared=self.store,
                local=self.local_store,
                host=self.host,
                recipe=self.claims.recipe,
            )
        return self._unbound

    @property
    def hub(self) -> Hub:
        """Who is doing what right now: contexts and events that everybody sees."""
        if self._hub is None:
            from sharedstate.hub.opening import open_hub

            self._hub = open_hub(
                shared=self.store,
                local=None if isinstance(self.store, FileStore) else self.local_store,
                host=self.host,
                settings=self.settings,
                host_name=self.identity.host,
                root=self.root,
            )
        return self._hub

    @property
    def record(self) -> Recording:
        """A record of work done: tasks, proposals, lessons, usage."""
        from sharedstate.hub.opening import open_recording

        return open_recording(self.hub, shared=self.store)

    def events(self, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        """Journal entries with a sequence above `after`, in order: the truth from which counters are derived."""
        return self.store.read(JOURNAL, after=after, limit=limit)

    @property
    def outbox(self) -> Outbox:
        """Messages on their way out, kept on this machine until their receivers have them."""
        if self._outbox is None:  # loaded on first use: a claim needs no messages
            from sharedstate.messages.opening import open_outbox

            self._outbox = open_outbox(
                local=self.local_store,
                shared=self.store,
                host=self.host,
                settings=self.settings,
                audit=self.audit,
                owner=self.identity.owner,
            )
        return self._outbox

    def store_at(self, url: str) -> Store:
        """Another store, by its URL, with the settings of this state; the caller closes it. Raises `BadSettings`."""
        return _shared_store(self.root, self.settings.replace(url=url), self.host)

    def close(self) -> None:
        """Give back descriptors, connections and the pacemaker; whoever uses the state afterwards gets them anew."""
        self.claims.close()
        if self._unbound is not None:
            self._unbound.claims.close()
        if self._outbox is not None:
            self._outbox.close()
        self.store.close()
        self.local_store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reopen_claims(*, root: str, settings: dict[str, Any], identity: dict[str, Any]) -> Claims:
    """The claims of a state that another process has opened, for its pacemaker; see `Recipe`."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    resolved, host = Settings(**values), Host()
    state = SharedState(
        settings=resolved,
        identity=Identity(**identity),
        root=root,
        shared=_shared_store(root, resolved, host),
        local=_file_store(os.path.join(root, "local", "ledger"), resolved, host),
        host=host,
    )
    return state.claims


def _rights_of(settings: Settings, identity: Identity, shared: Store) -> LaneRights | None:
    from sharedstate.claims.rights import LaneRights
    from sharedstate.messages.lanes import lane_of

    lane = lane_of(settings)
    return None if lane is None else LaneRights(lane.name, lane.rights, by=identity.owner, store=shared)


def _recipe(settings: Settings, identity: Identity, root: str) -> Recipe:
    # A pacemaker only renews. Keys go along, through its pipe, where the store itself signs what it writes.
    claims_only = settings.replace(origins={}, **_NO_MESSAGES)
    known = claims_only if settings.url else claims_only.replace(**_NO_SECRETS)
    arguments = {"root": root, "settings": known.fields(), "identity": identity.fields()}
    return Recipe(opener="sharedstate.connect:reopen_claims", arguments=arguments)


def _file_store(root: str, settings: Settings, host: Host, *, private: bool = False) -> FileStore:
    return FileStore(
        root,
        host=host,
        lock_timeout_s=settings.lock_timeout_ms / 1000,
        allow_network=settings.allow_network_fs,
        durability="relaxed" if settings.durability == "relaxed" else "full",
        private=private,
    )


def _shared_store(home: str, settings: Settings, host: Host) -> Store:
    scheme, mark, rest = settings.url.partition("://")
    if not settings.url or settings.url == f"file://{home}":
        return _file_store(home, settings, host, private=not settings.dir)
    if scheme == "file":
        if not os.path.isabs(rest):
            raise BadSettings(
                f"url ({settings.origins.get('url', 'url')}): a file store is file:// and an absolute path"
            )
        return _file_store(rest, settings, host)
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS):
        if point.name == scheme:
            opened = point.load().from_url(settings.url, settings=settings.replace(dir=home), host=host)
            return cast("Store", opened)
    known = ", ".join(sorted(point.name for point in entry_points(group=ENTRY_POINTS)))
    origin = settings.origins.get("url", "url")
    if not mark or len(scheme) > 30:  # nothing of it is shown: whoever forgot the scheme may have begun with the rest
        raise BadSettings(f"url ({origin}): not a URL; expected SCHEME://…; installed: {known}")
    raise BadSettings(f"no store for the URL scheme {scheme!r} ({origin}); installed: {known}")


__all__ = ["SharedState", "host_name"]

"""How the outbox of a state is put together: imported by the first use of it, never before."""

from __future__ import annotations

from sharedstate.claims.audit import Audit
from sharedstate.host import Host
from sharedstate.messages.mailroom import Mailroom
from sharedstate.messages.outbox import Outbox
from sharedstate.messages.routes import Routes
from sharedstate.messages.store_transport import StoreTransport
from sharedstate.settings import Settings
from sharedstate.store import Store


def open_outbox(*, local: Store, shared: Store, host: Host, settings: Settings, audit: Audit, owner: str) -> Outbox:
    """The outbox of this machine, with the way of each message as configured."""
    own = StoreTransport(Mailroom(shared, retention_ms=settings.message_retention_ms))
    routes = Routes(settings, host=host, local=local, own=own)
    return Outbox(
        local, host=host, settings=settings, transport=routes.of, routable=routes.check, audit=audit, owner=owner
    )

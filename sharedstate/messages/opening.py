"""How the outbox of a state is put together: imported by the first use of it, never before."""

from __future__ import annotations

from sharedstate.claims.audit import Audit
from sharedstate.claims.rights import SEND, LaneRights
from sharedstate.host import Host
from sharedstate.messages.lanes import lanes_of
from sharedstate.messages.mailroom import Mailroom
from sharedstate.messages.outbox import Outbox
from sharedstate.messages.routes import Routes
from sharedstate.messages.store_transport import StoreTransport
from sharedstate.settings import Settings
from sharedstate.store import Store


def open_outbox(*, local: Store, shared: Store, host: Host, settings: Settings, audit: Audit, owner: str) -> Outbox:
    """The outbox of this machine, with the way of each message as configured, and the rights of lanes."""
    own = StoreTransport(Mailroom(shared, retention_ms=settings.message_retention_ms))
    routes = Routes(settings, host=host, local=local, own=own)
    bound = {
        lane.name: LaneRights(lane.name, lane.rights, by=owner, store=shared) for lane in lanes_of(settings).values()
    }

    def allowed(sender: str, named: str) -> None:
        """The lane that was chosen needs the right, and so does one that is named on the message."""
        for lane in dict.fromkeys((settings.lane, named)):
            if lane in bound:
                bound[lane].need(SEND, about=f"outbox:{sender}", by=sender)

    return Outbox(
        local,
        host=host,
        settings=settings,
        transport=routes.of,
        routable=routes.check,
        allowed=allowed,
        audit=audit,
        owner=owner,
    )

"""How the hub of a state is put together: imported by the first use of it, never before."""

from __future__ import annotations

from sharedstate.host import Host
from sharedstate.hub.recording import Recording
from sharedstate.hub.service import Hub
from sharedstate.ids import fingerprint
from sharedstate.settings import Settings
from sharedstate.store import Store


def open_hub(*, shared: Store, local: Store | None, host: Host, settings: Settings, host_name: str, root: str) -> Hub:
    """The hub over the shared store; without `local` there is only one end: the shared store is this machine's files.

    The writer's name in versions is this machine's and, since it may have several state roots, a digest of the root.
    """
    own = shared if local is None else local
    writer = f"{host_name}/{fingerprint(root.encode(errors='surrogateescape'), size=4)}"
    return Hub(shared=shared, local=own, host=host, writer=writer, skew_ms=settings.clock_skew_ms)


def open_recording(hub: Hub, *, shared: Store) -> Recording:
    """Records of work over this hub."""
    return Recording(hub, shared)

"""The way of a message: from the configuration, its lane and the endpoints that were asked for to a transport."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

from sharedstate.addresses import masked
from sharedstate.errors import BadSettings
from sharedstate.host import Host
from sharedstate.messages.failover import Failover
from sharedstate.messages.lanes import endpoints_of, lane_of, lanes_of
from sharedstate.messages.model import Envelope
from sharedstate.messages.transport import Transport
from sharedstate.settings import Settings
from sharedstate.store import Store

ENTRY_POINTS: Final = "sharedstate.transports"
OWN: Final = "store"
KEPT_MAX: Final = 100


class Routes:
    """Gives the transport for a message, made once for each way there is. `own` is the store transport.

    An endpoint is a URL whose scheme is the name of an entry point in `sharedstate.transports`, or `store:` for one's
    own store. Without any, messages go there. `local` keeps the circuits that this machine's processes share.
    """

    def __init__(self, settings: Settings, *, host: Host, local: Store, own: Transport) -> None:
        self._settings = settings
        self._host = host
        self._local = local
        self._own = own
        self._made: dict[tuple[str, ...], Transport] = {}

    def of(self, envelope: Envelope, endpoints: Sequence[str]) -> Transport:
        """The transport for an envelope; `endpoints` win over everything configured. Raises `BadSettings`."""
        return self.through(self.urls(envelope.lane, endpoints))

    def check(self, lane: str, endpoints: Sequence[str]) -> None:
        """Refuse a lane or an endpoint that cannot be meant, before a message is accepted for it: `BadSettings`."""
        self.through(self.urls(lane, endpoints))

    def urls(self, lane: str, endpoints: Sequence[str] = ()) -> tuple[str, ...]:
        """The endpoints of a message of this lane, in order; none for one's own store. Raises `BadSettings`.

        A lane that the configuration does not know is an error as soon as there are lanes at all; without any, a lane
        is a mere word on the envelope.
        """
        known = lanes_of(self._settings) if self._settings.lanes else {}
        chosen = lane_of(self._settings, lane) if lane and known else lane_of(self._settings)
        return endpoints_of(self._settings, chosen, endpoints)

    def through(self, urls: tuple[str, ...]) -> Transport:
        """The transport that tries these endpoints in order. Raises `BadSettings` for one that cannot be meant."""
        if not urls:
            return self._own
        made = self._made.get(urls)
        if made is None:
            made = Failover([self._opened(url) for url in urls], host=self._host, store=self._local)
            if len(self._made) < KEPT_MAX:
                self._made[urls] = made
        return made

    def _opened(self, url: str) -> Transport:
        scheme, colon, _ = url.partition(":")
        if not colon:
            raise BadSettings(f"an endpoint is a URL such as http://127.0.0.1:8787, not {masked(url)[:80]!r}")
        if scheme == OWN:
            return self._own
        return opener(scheme, url)(url, settings=self._settings, host=self._host)


def opener(scheme: str, url: str) -> Callable[..., Transport]:
    """What opens endpoints of this scheme. Raises `BadSettings` when nothing does, or what does is not installed."""
    from importlib.metadata import entry_points

    points = entry_points(group=ENTRY_POINTS)
    for point in points:
        if point.name == scheme:
            try:
                return cast("Callable[..., Transport]", point.load().from_url)
            except ImportError as error:
                raise BadSettings(
                    f"the endpoint {masked(url)[:80]} needs {error.name}, which is not installed",
                    hint="pip install 'sharedstate[http]'",
                ) from error
    known = ", ".join([OWN, *sorted(point.name for point in points)])
    raise BadSettings(f"no transport for the scheme {scheme[:40]!r} of {masked(url)[:80]!r}; installed: {known}")

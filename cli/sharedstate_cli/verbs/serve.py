"""`claims serve`: the gateway, as a shared service with one owner."""

from __future__ import annotations

from sharedstate.errors import EXIT_LOST, BadSettings
from sharedstate.messages.lanes import lane_of
from sharedstate_cli.hot import Usage
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session

PORT_MAX = 65_535
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    session: Session,
    *,
    host: str,
    port: int,
    fallback_port: int | None,
    allow_write: bool,
    allow_host: tuple[str, ...],
    service: str,
    owner: str | None,
) -> Report:
    """Serve until asked to end. Whoever may not run the service is refused before a port is taken."""
    from sharedstate_cli.wiring import gateway

    ports = (port,) if fallback_port is None else (port, fallback_port)
    for number in ports:
        if not 0 <= number <= PORT_MAX:
            raise Usage(f"a port is from 0 to {PORT_MAX}, not {number}")
    state = session.state
    if not state.settings.http_token:
        raise BadSettings(
            "no bearer token for the gateway",
            hint="set SHARED_STATE_HTTP_TOKEN, for example to the output of `openssl rand -hex 24`",
        )
    lane = lane_of(state.settings)
    rights = None if lane is None else lane.rights
    if len(ports) == 1:
        state.guard.check(service, owner, rights=rights)
    serving = gateway(session, host=host, ports=ports, writes=allow_write, hosts=(host, *allow_host))
    name = service if serving.port == port or len(ports) == 1 else f"{service}-fallback"
    if host not in _LOOPBACK:
        session.note(f"listening on {host}: everybody who can reach it sees the token go by; put TLS in front")

    def ready(url: str) -> None:
        rule = "reads and writes" if allow_write else "reads only"
        document = {"ok": True, "url": url, "service": name, "writes": allow_write}
        session.emit(Report(document=document, lines=(f"serving {url} ({rule}) as {name}",)))

    with state.guard.running(name, owner=owner, rights=rights, on_lost=lambda _: serving.end()) as mine:
        serving.run(ready=ready)
    if mine.lost:
        return Report(code=EXIT_LOST, problems=(f"the service {name} was taken over; ended",))
    return Report()

"""What `claims doctor` says about a PostgreSQL server."""

from __future__ import annotations

from sharedstate.findings import Finding
from sharedstate.host import Host
from sharedstate_adapters.postgres.address import Address
from sharedstate_adapters.postgres.statements import Statements
from sharedstate_adapters.postgres.wire import Patience, Wire


def examine(wire: Wire, sql: Statements, *, address: Address, host: Host, patience: Patience) -> list[Finding]:
    """All findings about the server."""
    return []

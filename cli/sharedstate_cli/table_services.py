"""The commands about shared services, lanes and the audit trail; a part of the one table."""

from __future__ import annotations

from typing import Final

from sharedstate_cli.grammar import Command, Param
from sharedstate_cli.options import GRACE, OWNER, SERVICE, SERVICE_FORCE

SERVICES: Final[tuple[Command, ...]] = (
    Command(
        name="service start",
        about="Start a shared service, or find that it runs.",
        handler="sharedstate_cli.verbs.service:start",
        rest=True,
        rest_required=False,
        params=(SERVICE, OWNER, *SERVICE_FORCE),
        details="Whoever starts it first becomes its owner; anybody may start a known one that does not run, for its "
        "owner. Without -- CMD it is started as last time on this machine. --force makes you its owner. Exit code 0: "
        "it runs (now, or already); 3: denied; 75: it is on the way up or down; 126, 127: the program cannot be "
        "executed.",
    ),
    Command(
        name="service stop",
        about="Stop a shared service of yours.",
        handler="sharedstate_cli.verbs.service:stop",
        params=(SERVICE, OWNER, *SERVICE_FORCE, GRACE),
        details="SIGTERM to all of it, after --grace SIGKILL. Exit code 0: it does not run (any more); 3: denied, not "
        "yours, or on another host; 5: no such service.",
    ),
    Command(
        name="service restart",
        about="Stop a shared service of yours and start it again.",
        handler="sharedstate_cli.verbs.service:restart",
        rest=True,
        rest_required=False,
        params=(SERVICE, OWNER, *SERVICE_FORCE, GRACE),
        details="Exit codes as of stop and start. What cannot be started is not stopped.",
    ),
    Command(
        name="service status",
        about="Show one shared service, or all of them.",
        handler="sharedstate_cli.verbs.service:status",
        params=(SERVICE.replace(required=False, about="Which one; default: all of them."),),
        details="Exit code 0 whatever its state; 5: no such service.",
    ),
    Command(
        name="lanes",
        about="Print the lane matrix of the configuration.",
        handler="sharedstate_cli.verbs.lanes:lanes",
        params=(
            Param(name="markdown", flags=("--markdown",), kind="flag", default=False, about="As a table for a README."),
        ),
    ),
    Command(
        name="audit",
        about="Show what was denied, overridden and forced, and the life of shared services.",
        handler="sharedstate_cli.verbs.audit:audit",
        params=(
            Param(name="limit", flags=("--limit",), kind="number", about="Only the latest N entries; default: 100."),
            Param(name="service", flags=("--service",), metavar="NAME", about="Only entries about this service."),
        ),
    ),
)

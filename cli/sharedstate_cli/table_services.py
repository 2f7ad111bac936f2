"""The commands about shared services, lanes and the audit trail; a part of the one table."""

from __future__ import annotations

from typing import Final

from sharedstate_cli.grammar import Command, Param
from sharedstate_cli.options import OWNER

SERVICE: Final = Param(name="name", metavar="NAME", required=True, about="Name of the service.")
SERVICE_FORCE: Final = (
    Param(
        name="force",
        flags=("--force",),
        kind="flag",
        default=False,
        about="Although it is another owner's; audited, needs --reason.",
    ),
    Param(name="reason", flags=("--reason",), metavar="TEXT", about="Why --force is right; kept in the trail."),
)
GRACE: Final = Param(
    name="grace", flags=("--grace",), kind="duration", about="From SIGTERM to SIGKILL, at most 10m; default: 10s."
)


SERVICE_SCHEMAS: Final = ("service", "services", "service-denial", "lanes", "audit")
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
        name="serve",
        about="Serve messages, claims and task state over HTTP.",
        handler="sharedstate_cli.verbs.serve:serve",
        params=(
            Param(name="host", flags=("--host",), metavar="NAME", default="127.0.0.1", about="Address to listen on."),
            Param(name="port", flags=("--port",), kind="number", default=8787, about="Primary port; 0: any free one."),
            Param(
                name="fallback_port", flags=("--fallback-port",), kind="number", about="Used if the primary is taken."
            ),
            Param(
                name="allow_write",
                flags=("--allow-write",),
                kind="flag",
                default=False,
                about="Take messages, acknowledgements and claims; without it the gateway only reads.",
            ),
            Param(
                name="allow_host",
                flags=("--allow-host",),
                metavar="NAME",
                many=True,
                about="A name besides those of loopback under which it may be addressed; repeatable.",
            ),
            Param(
                name="service",
                flags=("--service",),
                metavar="NAME",
                default="gateway",
                about="Its name as a service; the one on the fallback port ends in -fallback.",
            ),
            OWNER,
        ),
        details="Asks for the bearer token SHARED_STATE_HTTP_TOKEN. Ends at SIGTERM or Ctrl-C with what has begun "
        "finished. Exit code 0: ended as asked; 3: the owner guard says no; 4: the service was taken over; 75: the "
        "ports are taken; 78: no token.",
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

"""A shared service as frozen values: its one shared record, and the answers to those who start, stop and look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from sharedstate.clock import iso_of_ms, ms_of_iso
from sharedstate.errors import Corrupt, InvalidId
from sharedstate.ids import Process, check_id
from sharedstate.store import Document
from sharedstate.values import Value

SERVICES: Final = "services"
NAME_CHARACTERS_MAX: Final = 100
GRACE_MS: Final = 10_000
GRACE_MS_MAX: Final = 600_000

# What the record says. Whether the process behind it is there is judged by whoever looks.
STARTING: Final = "starting"  # a supervisor has the claim; no program yet
RUNNING: Final = "running"
STOPPING: Final = "stopping"  # somebody who may has asked it to stop
STOPPED: Final = "stopped"  # it has ended as asked
ENDED: Final = "ended"  # it has ended by itself, or was killed
FAILED: Final = "failed"  # its program could not be started
STATES: Final = (STARTING, RUNNING, STOPPING, STOPPED, ENDED, FAILED)
ACTIVE: Final = (STARTING, RUNNING, STOPPING)

# What a look adds
DEAD: Final = "dead"  # the record says active; the process is gone
UNKNOWN: Final = "unknown"  # on another host, or in another container: its process cannot be seen from here

# Why something is denied or not done
NOT_OWNER: Final = "not_owner"
NO_RIGHT: Final = "no_right"
OTHER_COMMAND: Final = "other_command"
OTHER_HOST: Final = "other_host"
ALREADY_RUNNING: Final = "already_running"
CLAIM_HELD: Final = "claim_held"
BEING_STARTED: Final = "being_started"
BEING_STOPPED: Final = "being_stopped"
STILL_RUNNING: Final = "still_running"
NO_SUCH_SERVICE: Final = "no_such_service"
ABOUT_RIGHTS: Final = (NOT_OWNER, NO_RIGHT, OTHER_COMMAND)  # these are written into the trail


class StopAsk(Value):
    """Somebody asked a service to stop: who, why, whether by force, when, and how long it has before SIGKILL."""

    by: str
    reason: str
    forced: bool
    at_ms: int
    grace_ms: int


class ServiceRecord(Value):
    """All that is shared about one service. `owner` stays when the service ends.

    `command` is masked. `process` is the program, `supervisor` who holds the claim `service:<name>` for it (None: the
    program holds it itself). `grouped`: the program has a session of its own, which ends with it. `fence` is that of
    the claim under which this run began or was adopted; a lower one writes nothing. `code` is the exit code as shells
    have it, None when nobody saw the end.
    """

    name: str
    owner: str
    state: str
    fence: int
    host: str
    started_by: str
    started_ms: int
    command: tuple[str, ...] = ()
    folder: str = ""
    log: str = ""
    grouped: bool = True
    process: Process | None = None
    supervisor: Process | None = None
    stop: StopAsk | None = None
    ended_ms: int | None = None
    code: int | None = None
    detail: str = ""
    extra: Mapping[str, Any] = {}


class ServiceView(Value):
    """A service as seen now: `state` is the record's, or `dead`, or `unknown`.

    `supervised`: whether somebody renews its claim; None where that cannot be seen. `seen_ms`: age of the last sign of
    life of the claim, None when nobody holds it. `fresh`: within its ttl.
    """

    record: ServiceRecord
    state: str
    detail: str
    supervised: bool | None = None
    seen_ms: int | None = None
    fresh: bool = False

    @property
    def running(self) -> bool:
        """Whether its process is known to live."""
        return self.state in ACTIVE


class Started(Value):
    """The service runs. `outcome`: `started`, `adopted` (it ran without a supervisor) or `already_running`.

    `recovery`: by another than its owner, on the owner's behalf.
    """

    view: ServiceView
    outcome: str
    recovery: bool = False


class Stopped(Value):
    """The service does not run. `outcome`: `stopped`, or `not_running` before. `killed`: it did not heed SIGTERM."""

    view: ServiceView
    outcome: str
    killed: bool = False
    forced: bool = False


class Denied(Value):
    """Not done. `code` says why; `owner` is the service's, empty when it has none."""

    name: str
    action: str
    code: str
    detail: str
    owner: str = ""
    by: str = ""
    retryable: bool = False


class NotStarted(Value):
    """The program could not be executed; `code` as shells have it: 127 not found, 126 not executable."""

    name: str
    code: int
    detail: str


def task_of(name: str) -> str:
    """The task whose claim is the right to run the service."""
    return f"service:{name}"


def check_name(name: object) -> str:
    """The name of a service: an id of at most 100 characters. Raises `InvalidId`."""
    checked = check_id(name, what="service name")
    if len(checked) > NAME_CHARACTERS_MAX:
        raise InvalidId(f"service name has {len(checked)} characters; at most {NAME_CHARACTERS_MAX} are allowed")
    return checked


def dump_service(record: ServiceRecord) -> Document:
    """The document of a service."""
    stop = record.stop
    return {
        **record.extra,
        "owner": record.owner,
        "state": record.state,
        "fence": record.fence,
        "host": record.host,
        "started_by": record.started_by,
        "started_at": iso_of_ms(record.started_ms),
        "command": list(record.command),
        "folder": record.folder,
        "log": record.log,
        "grouped": record.grouped,
        "process": None if record.process is None else record.process.fields(),
        "supervisor": None if record.supervisor is None else record.supervisor.fields(),
        "stop": None if stop is None else _dump_stop(stop),
        "ended_at": None if record.ended_ms is None else iso_of_ms(record.ended_ms),
        "code": record.code,
        "detail": record.detail,
    }


def _dump_stop(stop: StopAsk) -> Document:
    return {
        "by": stop.by,
        "reason": stop.reason,
        "forced": stop.forced,
        "at": iso_of_ms(stop.at_ms),
        "grace_ms": stop.grace_ms,
    }


_KNOWN: Final = frozenset(
    (
        *("owner", "state", "fence", "host", "started_by", "started_at", "command", "folder", "log", "grouped"),
        *("process", "supervisor", "stop", "ended_at", "code", "detail"),
    )
)


def load_service(name: str, document: Document) -> ServiceRecord:
    """The service in a document. Raises `Corrupt` naming the first field that cannot be."""
    read = _Reader(name, document)
    state = read.text("state")
    if state not in STATES:
        read.wrong("state")
    stop = read.table("stop")
    ended = document.get("ended_at")
    return ServiceRecord(
        name=name,
        owner=read.text("owner"),
        state=state,
        fence=read.count("fence"),
        host=read.text("host"),
        started_by=read.text("started_by"),
        started_ms=read.moment("started_at"),
        command=read.words("command"),
        folder=read.text("folder"),
        log=read.text("log"),
        grouped=document.get("grouped") is True,
        process=read.process("process"),
        supervisor=read.process("supervisor"),
        stop=None if stop is None else _load_stop(name, stop),
        ended_ms=None if ended is None else read.moment("ended_at"),
        code=None if document.get("code") is None else read.count("code"),
        detail=read.text("detail"),
        extra={key: value for key, value in document.items() if key not in _KNOWN},
    )


def _load_stop(name: str, document: Document) -> StopAsk:
    read = _Reader(name, document)
    return StopAsk(
        by=read.text("by"),
        reason=read.text("reason"),
        forced=document.get("forced") is True,
        at_ms=read.moment("at"),
        grace_ms=read.count("grace_ms"),
    )


class _Reader:
    """Typed access to a document; every miss is `Corrupt` and names service and field."""

    def __init__(self, name: str, document: Document) -> None:
        self._name = name
        self._document = document

    def text(self, field: str) -> str:
        value = self._document.get(field)
        return value if isinstance(value, str) else self.wrong(field)

    def count(self, field: str) -> int:
        value = self._document.get(field)
        return value if type(value) is int and value >= 0 else self.wrong(field)

    def moment(self, field: str) -> int:
        try:
            return ms_of_iso(self.text(field))
        except (ValueError, OverflowError):
            self.wrong(field)

    def words(self, field: str) -> tuple[str, ...]:
        value = self._document.get(field)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            self.wrong(field)
        return tuple(value)

    def table(self, field: str) -> Document | None:
        value = self._document.get(field)
        return value if value is None or isinstance(value, dict) else self.wrong(field)

    def process(self, field: str) -> Process | None:
        table = self.table(field)
        if table is None:
            return None
        inner = _Reader(self._name, table)
        return Process(
            pid=inner.count("pid"),
            start=inner.count("start"),
            boot_id=inner.text("boot_id"),
            pid_ns=inner.text("pid_ns"),
        )

    def wrong(self, field: str) -> NoReturn:
        raise Corrupt(f"service {self._name!r}: field {field!r} cannot be read")

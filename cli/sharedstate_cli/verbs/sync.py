"""`claims sync`: mirror the task state to the board, and bring home what people changed there."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

from sharedstate.errors import EXIT_OK
from sharedstate.host import Host
from sharedstate.sync.board import Board
from sharedstate.sync.engine import Engine, SyncRules
from sharedstate.sync.memory import Memory
from sharedstate.sync.report import SyncReport
from sharedstate_cli.alone import alone, busy_report
from sharedstate_cli.boards import fault_report, joined, status_report, sync_report
from sharedstate_cli.hot import Usage
from sharedstate_cli.interrupts import Undivided
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session
from sharedstate_cli.wiring import board_name, choose_repository, opened_board

EVERY_MS_MIN = 1_000
EVERY_MS_MAX = 86_400_000
# The engine never waits. Where the board, or our own pace of new comments, asks for a few seconds, we do.
PAUSE_MS_MAX = 10_000
ROUNDS_S_MAX = 60.0


def sync(
    session: Session,
    *,
    repo: str | None,
    once: bool,
    every: int | None,
    dry_run: bool,
    policy: str | None,
    status: bool,
) -> Report:
    """One cycle, or one after the other until a signal; with `status` only what is known of the cycles so far.

    Single-flight: where another sync of this state root runs, nothing is done. A dry run asks the board and writes
    nothing; it may run beside another.
    """
    if once and every is not None:
        raise Usage("--once and --every contradict each other")
    if every is not None and not EVERY_MS_MIN <= every <= EVERY_MS_MAX:
        raise Usage("--every: from 1s to 24h")
    if every is not None and (dry_run or status):
        raise Usage("--every does not go with --dry-run or --status")
    choose_repository(session, repo)
    session.choose(sync_policy=policy)
    board_name(session)
    if status:
        return _status(session)
    with opened_board(session, read_only=dry_run) as board:
        engine = _engine(session, board)
        if dry_run:
            return _cycle(session, engine, board.name, dry_run=True)
        with alone(session, "sync") as other:
            if other is not None:
                return busy_report("sync", other)
            if every is None:
                return _cycle(session, engine, board.name)
            return _cycles(session, engine, board.name, every_ms=every)


def _engine(session: Session, board: Board) -> Engine:
    state = session.state
    settings = state.settings
    rules = SyncRules(
        policy=settings.sync_policy,
        retries_max=settings.max_retries,
        heartbeat_window_ms=settings.heartbeat_publish_ms,
    )
    return Engine(tasks=state.tasks, board=board, local=state.local_store, rules=rules)


def _cycle(session: Session, engine: Engine, board: str, *, dry_run: bool = False) -> Report:
    with _terminable():
        work = (lambda: _turn(engine, dry_run=True)) if dry_run else (lambda: _rounds(session.state.host, engine))
        done = session.busy(work, label=f"syncing with {board}")
    report = sync_report(done)
    if done.stopped:
        session.emit(report)
        raise KeyboardInterrupt
    return report


def _turn(engine: Engine, *, dry_run: bool = False) -> SyncReport:
    """One cycle of the engine. A first signal ends it after the item under way, a second one at once."""
    with Undivided(signal.SIGINT, signal.SIGTERM) as undivided:
        done = engine.sync(dry_run=dry_run, stop=lambda: undivided.noted)
    return done.replace(stopped=True) if undivided.noted else done


def _rounds(host: Host, engine: Engine) -> SyncReport:
    """One cycle, and more for what had to wait only a moment: ten new comments take ten pauses, not ten syncs."""
    deadline_s = host.monotonic_s() + ROUNDS_S_MAX
    done = _turn(engine)
    while not done.stopped and host.monotonic_s() < deadline_s:
        pause_ms = done.parked_until_ms - host.now().at_ms
        if not done.parked_until_ms or pause_ms > PAUSE_MS_MAX:
            break
        host.sleep(max(0, pause_ms) / 1000)
        done = joined(done, _turn(engine))
    return done


def _cycles(session: Session, engine: Engine, board: str, *, every_ms: int) -> Report:
    """Cycles until a signal, each reported at once; whatever goes wrong in one, the next one is tried."""
    host = session.state.host
    with _terminable():
        while True:
            next_s = host.monotonic_s() + every_ms / 1000
            try:
                report = _cycle(session, engine, board)
            except Exception as error:  # noqa: BLE001 - a daemon that ends with the first odd answer mirrors nothing
                report = fault_report(error, board=board)
            session.emit(report.replace(code=EXIT_OK))
            host.sleep(max(0.0, next_s - host.monotonic_s()))


def _status(session: Session) -> Report:
    state = session.state
    board = board_name(session)
    memory = Memory(state.local_store, board=board, frozen=True)
    waiting = tuple(sorted(memory.waiting(), key=lambda one: (one.not_before_ms, one.task)))
    return status_report(memory.status(), board=board, waiting=waiting, now=state.host.now())


@contextmanager
def _terminable() -> Generator[None]:
    """SIGTERM ends us as Ctrl-C does: at once while nothing is under way, else after the item that is."""
    try:
        before = signal.signal(signal.SIGTERM, _interrupt)
    except ValueError:  # not the main thread: no signal arrives here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt

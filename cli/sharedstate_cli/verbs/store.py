"""`claims store`: copy one store to another, make a store's tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from sharedstate.errors import EXIT_OK, EXIT_UNEXPECTED, BadSettings
from sharedstate.masking import masked_url
from sharedstate_cli.hot import Usage
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session

if TYPE_CHECKING:
    from sharedstate.store import Portable
    from sharedstate.transfer import TransferReport


def copy(session: Session, *, source: str, target: str) -> Report:
    """`store copy`: 0 when the target was read again and holds all of the source, else 1 with what differs."""
    from sharedstate.transfer import copy_store

    urls = (_url(source), _url(target))
    folder = urls[0].removeprefix("file://")
    if folder != urls[0] and not os.path.isdir(folder):
        raise Usage(f"FROM: no such folder: {folder[:200]!a}")
    if urls[0] == urls[1]:
        raise Usage(f"FROM and TO are the same store: {masked_url(source)}")
    opened: list[Portable] = []
    try:
        opened += [_opened(session, url) for url in urls]
        done = session.counting(lambda tell: copy_store(*opened, progress=tell), label="copying")
    finally:
        for store in opened:
            store.close()
    return _report(done, shown=(masked_url(urls[0]), masked_url(urls[1])))


def migrate(session: Session, *, plan: bool, url: str | None) -> Report:
    """`store migrate`: apply what the store lacks, or with `plan` only tell it."""
    session.choose(url=url)
    state = session.state
    does: Callable[..., list[str]] | None = getattr(state.store, "migrate", None)
    where = masked_url(state.settings.url) or state.root
    if does is None:
        return _migrated((), plan=plan, where=where, line="this store needs no migrations")
    steps = tuple(session.busy(lambda: does(plan=plan), label="migrating"))
    return _migrated(steps, plan=plan, where=where, line="everything is up to date")


def _url(text: str) -> str:
    """A URL as it is, a folder as the URL of a file store."""
    if "://" in text:
        scheme, _, rest = text.partition("://")
        return f"file://{os.path.abspath(rest)}" if scheme == "file" and rest.startswith("/") else text
    return f"file://{os.path.abspath(text)}"


def _opened(session: Session, url: str) -> Portable:
    store: Any = session.state.store_at(url)
    if not hasattr(store, "load_entries"):
        store.close()
        raise BadSettings(
            f"{masked_url(url)}: this kind of store cannot be copied", hint="docs/stores.md names those that can"
        )
    return cast("Portable", store)


def _report(done: TransferReport, *, shown: tuple[str, str]) -> Report:
    left = done.problem_count - len(done.problems)
    problems = (*done.problems, f"and {left} more") if left else done.problems
    verdict = "compared: the same" if done.verified else f"not the same: {done.problem_count} differences"
    empty = not (done.records or done.entries or done.same or done.problem_count)
    return Report(
        code=EXIT_OK if done.verified else EXIT_UNEXPECTED,
        document={
            "ok": done.verified,
            "from": shown[0],
            "to": shown[1],
            "records": done.records,
            "entries": done.entries,
            "same": done.same,
            "verified": done.verified,
            "problems": list(done.problems),
            "problem_count": done.problem_count,
        },
        lines=(
            f"copied {done.records} records and {done.entries} journal entries from {shown[0]} to {shown[1]}",
            f"{done.same} were there already; {verdict}",
        ),
        problems=problems,
        notes=(f"nothing stands in {shown[0]}: is that the store you mean?",) if empty else (),
    )


def _migrated(steps: tuple[str, ...], *, plan: bool, where: str, line: str) -> Report:
    did = "would apply" if plan else "applied"
    return Report(
        document={"ok": True, "store": where, "plan": plan, "steps": list(steps)},
        lines=tuple(f"{did} {step}" for step in steps) or (f"{where}: {line}",),
    )

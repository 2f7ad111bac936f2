"""What `claims doctor` says about a git store: git itself, the remote, this machine's own side."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharedstate.errors import Corrupt, StoreUnavailable
from sharedstate.findings import Finding, fine, trouble, warning
from sharedstate.host import Host
from sharedstate_adapters.git.home import Home
from sharedstate_adapters.git.objects import Damaged

if TYPE_CHECKING:
    from sharedstate_adapters.git.chain import Chain
    from sharedstate_adapters.git.remote import Remote

SLOW_MS = 3_000
LOOSE_MAX = 10_000


def examine(
    home: Home, chain: Chain, remote: Remote, *, host: Host, deadline_s: float, history_max: int
) -> list[Finding]:
    """The findings. Nothing is pushed."""
    where = remote.shown
    try:
        home.prepare(deadline_s=deadline_s)
        began_s = host.monotonic_s()
        state = chain.fresh(deadline_s=deadline_s)
    except StoreUnavailable as error:
        return [trouble("git_unreachable", where, str(error), error.hint)]
    except Corrupt as error:
        return [trouble("git_not_ours", where, str(error), error.hint, corrupt=True)]
    except Damaged as damage:
        return [_damaged(home, str(damage))]
    took_ms = int((host.monotonic_s() - began_s) * 1000)
    found = [_version(home, deadline_s), _reached(where, took_ms, serial=state.head.serial, depth=state.head.depth)]
    found.append(_allowed(remote, state.commit, deadline_s))
    memo = home.memo.load()
    found.extend(_history(where, state.head.depth, history_max, keeps=memo.keeps_history))
    found.append(_copy(home, memo.known, deadline_s))
    if memo.waiting:
        age_s = (host.now().boot_ms - memo.waiting[0].boot_ms) // 1000
        found.append(fine("git_waiting", where, f"{len(memo.waiting)} changes are on their way, for {age_s} s"))
    found.extend(_durability(remote.url, home, deadline_s))
    loose = sum(len(names) for _, _, names in os.walk(os.path.join(home.git.directory, "objects")))
    if loose > LOOSE_MAX:
        found.append(
            warning(
                "git_unpacked", home.folder, f"{loose} object files lie there unpacked", "run `claims sweep` regularly"
            )
        )
    return found


def _reached(where: str, took_ms: int, *, serial: int, depth: int) -> Finding:
    held = (
        f"{serial} transitions, {depth} of them in the history"
        if serial
        else "there is no state yet, the first change begins it"
    )
    what = f"answers in {took_ms} ms; {held}"
    if took_ms <= SLOW_MS:
        return fine("git_reached", where, what)
    return warning("git_slow", where, what, "each operation asks the remote: a nearer one, or another store, is faster")


def _version(home: Home, deadline_s: float) -> Finding:
    said = home.git.call("version", deadline_s=deadline_s).out.decode("utf-8", "replace").strip()
    return fine("git_version", "this machine", said or "git does not tell its version")


def _allowed(remote: Remote, commit: str, deadline_s: float) -> Finding:
    """Whether a push would be let in, as far as the remote tells without one: its hooks and rules are not asked."""
    why = remote.rehearse(commit, deadline_s=deadline_s)
    if not why:
        return fine(
            "git_push", remote.shown, "the remote takes pushes from here (its hooks are asked by a change only)"
        )
    step = "give this account the right to push, or use one that has it; docs/git-store.md, Rights"
    return trouble("git_push", remote.shown, f"the remote takes no push from here: {why}", step)


def _history(where: str, depth: int, history_max: int, *, keeps: bool) -> list[Finding]:
    if keeps:
        text = f"the remote refuses to begin its history anew; it has {depth} commits and grows"
        return [warning("git_history", where, text, "allow this ref to be rewound there (receive.denyNonFastForwards)")]
    if depth > 2 * history_max:
        text = f"{depth} commits since the history began, the setting says {history_max}"
        return [warning("git_history", where, text, "set SHARED_STATE_GIT_HISTORY_MAX alike on all machines")]
    return []


def _copy(home: Home, known: str, deadline_s: float) -> Finding:
    """Whether this machine's copy of the state it saw last is whole."""
    if not known:
        return fine("git_copy", home.folder, "nothing has been fetched yet")
    answer = home.git.call("rev-list", "--objects", "--quiet", "--max-count=1", known, deadline_s=deadline_s)
    if answer.status == 0:
        return fine("git_copy", home.folder, "this machine's copy of the latest state is whole")
    return _damaged(home, answer.said)


def _damaged(home: Home, why: str) -> Finding:
    step = "nothing: whoever meets the damage puts the copy aside and fetches anew"
    return warning("git_copy", home.folder, f"this machine's copy is damaged: {why}", step)


def _durability(url: str, home: Home, deadline_s: float) -> list[Finding]:
    """Whether a remote that lies on this machine brings its refs to stable storage."""
    if not os.path.isdir(url):
        return []
    answer = home.git.call(
        "config", "--file", os.path.join(url, "config"), "--get-all", "core.fsync", deadline_s=deadline_s
    )
    said = answer.out.decode("utf-8", "replace")
    if any(word in said for word in ("all", "reference")):
        return [fine("git_durable", url, "brings objects and refs to stable storage")]
    next_step = "in that repository: git config core.fsync all"
    return [warning("git_not_durable", url, "does not sync its refs: a power cut may undo the last pushes", next_step)]

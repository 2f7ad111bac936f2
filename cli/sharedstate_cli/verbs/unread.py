"""`claims unread`: what an agent has not acknowledged. A hot verb, for people, programs, and the hooks of shells."""

from __future__ import annotations

import os
from typing import Any

from sharedstate.claims.identity import find_worktree
from sharedstate.errors import Corrupt, StoreError
from sharedstate.messages.model import Unread
from sharedstate_cli.letters import (
    ack_words,
    count_of,
    guidance_document,
    letter_document,
    letter_line,
    quoted,
    seen,
    unknown_report,
)
from sharedstate_cli.mailboxes import TIMEOUT_S, mailbox
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session

SENDERS_MAX = 5
HOOK_TIMEOUT_S = 1.0  # for all gateways that stay silent; the hook has 1.5 s in all


def unread(session: Session, agent: str, *, phase: str | None, hook: bool) -> Report:
    """Unread letters and guidance, or that they are unknown (75). In a hook: one line, or none without news."""
    try:
        box = mailbox(session, timeout_s=HOOK_TIMEOUT_S if hook else TIMEOUT_S)
        looked = box.unread(agent, phase=phase, folder=_folder())
    except (StoreError, Corrupt) as error:
        return _unknown(agent, str(error), hook=hook)
    document = _document(looked)
    if looked.unknown:
        told = _unknown(looked.agent, looked.unknown, hook=hook, known=looked.count, **document)
        return told if hook else told.replace(lines=_lines(looked))
    document = {"ok": True, "agent": looked.agent, "count": looked.count, **document}
    if hook:
        return Report(document=document, lines=_hook_lines(looked))
    return Report(document=document, lines=(*_lines(looked), *_next_steps(looked)))


def _unknown(agent: str, detail: str, *, hook: bool, known: int = 0, **more: Any) -> Report:
    told = unknown_report(agent, detail, known=known, **more)
    return told.replace(problems=(detail,)) if hook else told  # the hook form says itself that it is unknown


def _folder() -> str | None:
    """The working copy around us, where guidance stands; without one the folder itself."""
    try:
        here = os.getcwd()
    except OSError:
        return None  # it was removed under our feet: no guidance there
    tree = find_worktree(here)
    return here if tree is None else tree.top


def _document(looked: Unread) -> dict[str, Any]:
    return {
        "up_to": looked.up_to,
        "letters": [letter_document(letter, body=False) for letter in looked.letters],
        "guidance": [guidance_document(change) for change in looked.guidance],
    }


def _lines(looked: Unread) -> tuple[str, ...]:
    lines = [] if looked.unknown else [f"{count_of(looked.count, 'letter')} unread"]
    lines += [letter_line(letter) for letter in looked.letters]
    lines += [f"guidance {change.change}: {change.path}" for change in looked.guidance]
    return tuple(lines)


def _next_steps(looked: Unread) -> list[str]:
    """Commands to go on with; only what was looked at is acknowledged."""
    agent = quoted(looked.agent)
    steps = [f"read them: claims inbox {agent}"] if looked.letters else []
    ack = ack_words(looked.letters, up_to=looked.up_to)
    ack += [f"--guidance {quoted(seen(change))}" for change in looked.guidance]
    return [*steps, f"then: claims ack {agent} {' '.join(ack)}"] if ack else steps


def _hook_lines(looked: Unread) -> tuple[str, ...]:
    """One line, or none. Names and kinds only: what others wrote has no place in a prompt, nor in front of an agent."""
    told = []
    if looked.count:
        by = list(dict.fromkeys(letter.sender for letter in looked.letters))
        more = f" and {len(by) - SENDERS_MAX} more" if len(by) > SENDERS_MAX else ""
        told.append(f"{count_of(looked.count, 'letter')} from {', '.join(by[:SENDERS_MAX])}{more}")
    if looked.guidance:
        told.append("guidance " + ", ".join(f"{change.path} {change.change}" for change in looked.guidance))
    if not told:
        return ()
    return (f"unread: {'; '.join(told)} (claims unread {quoted(looked.agent)})",)

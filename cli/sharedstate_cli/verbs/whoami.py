"""`claims whoami`: the owner that claims are made for."""

from __future__ import annotations

from sharedstate_cli.report import Report
from sharedstate_cli.session import Session


def whoami(session: Session) -> Report:
    """The canonical owner, where it was derived from, and the state root."""
    state = session.state
    identity = state.identity
    document = {
        "ok": True,
        "owner": identity.owner,
        "host": identity.host,
        "origin": identity.origin,
        "root": state.root,
    }
    return Report(document=document, lines=(identity.owner,))

"""`claims version`."""

from __future__ import annotations

import sys

from sharedstate import __version__
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session


def version(session: Session) -> Report:
    """The version of sharedstate, and of the Python that runs it."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    return Report(
        document={"ok": True, "version": __version__, "python": python},
        lines=(f"sharedstate {__version__} (Python {python})",),
    )

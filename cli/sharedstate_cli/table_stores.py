"""The commands about stores; a part of the one table."""

from __future__ import annotations

from typing import Final

from sharedstate_cli.grammar import Command, Param

STORES: Final = (
    Command(
        name="store copy",
        about="Copy everything from one store to another, then compare.",
        handler="sharedstate_cli.verbs.store:copy",
        params=(
            Param(name="source", metavar="FROM", required=True, ids="folder", about="URL of a store, or a folder."),
            Param(name="target", metavar="TO", required=True, ids="folder", about="URL of a store, or a folder."),
        ),
        details="Fences, journals with their sequences and watermarks are kept; nothing in the target is overwritten. "
        "Started again it goes on. Both should be quiet meanwhile. Exit code 0: compared and the same; 1: it is not.",
    ),
    Command(
        name="store migrate",
        about="Make the store's tables, or bring them up to date.",
        handler="sharedstate_cli.verbs.store:migrate",
        params=(
            Param(name="plan", flags=("--plan",), kind="flag", default=False, about="Only say what would be done."),
            Param(name="url", flags=("--url",), metavar="URL", about="Which store; default: SHARED_STATE_URL."),
        ),
        details="For PostgreSQL; other stores need none. Several at once are harmless. The first write does it, too, "
        "where its user may.",
    ),
)

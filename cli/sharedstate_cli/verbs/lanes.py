"""`claims lanes`: who works where, with which rights, reached by which endpoints."""

from __future__ import annotations

from sharedstate.messages import lanes as matrix_of_lanes
from sharedstate_cli.report import Grid, Report
from sharedstate_cli.session import Session

_COLUMNS = ("LANE", "ROLE", "RIGHTS", "ENDPOINTS", "NOTE")


def lanes(session: Session, *, markdown: bool) -> Report:
    """The lane matrix of the configuration."""
    settings = session.state.settings
    rows = matrix_of_lanes.matrix(settings)
    own = matrix_of_lanes.lane_of(settings)
    name = None if own is None else own.name
    document = {
        "ok": True,
        "lane": name,
        "lanes": [
            {
                "lane": row.lane,
                "role": row.role,
                "rights": list(row.rights),
                "endpoints": list(row.endpoints),
                "source": row.source,
            }
            for row in rows
        ],
    }
    if markdown:
        return Report(document=document, lines=tuple(matrix_of_lanes.markdown(rows).splitlines()))
    grid = Grid(
        columns=_COLUMNS,
        rows=tuple(
            (
                row.lane,
                row.role,
                " ".join(row.rights),
                " ".join(row.endpoints) or row.source,
                "ours" if row.lane == name else "",
            )
            for row in rows
        ),
        empty="no lanes are configured: everybody may do everything",
    )
    return Report(document=document, grid=grid)

"""Standard `logging`, without its 10 ms of start-up where nobody listens.

INFO (a success) is only worth saying when the application has imported `logging` to configure it; WARNING
(something went wrong that does not spoil the result) always is.
"""

from __future__ import annotations

import sys

LOGGER = "sharedstate"


def info(message: str, *arguments: object) -> None:
    """Log a success at INFO, if the application uses logging at all."""
    logging = sys.modules.get("logging")
    if logging is not None:
        logging.getLogger(LOGGER).info(message, *arguments)


def warn(message: str, *arguments: object) -> None:
    """Log a non-critical failure at WARNING."""
    import logging

    logging.getLogger(LOGGER).warning(message, *arguments)

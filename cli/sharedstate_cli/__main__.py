"""`python -m sharedstate_cli` is `claims`."""

from __future__ import annotations

import sys

from sharedstate_cli.start import main

if __name__ == "__main__":
    sys.exit(main())

"""The default store: JSON files under advisory kernel locks, in one directory tree.

`FileStore` is the whole public surface; `sharedstate.files.upkeep` is what `claims doctor` and the sweep use.
"""

from __future__ import annotations

from sharedstate.files.store import FileStore

__all__ = ["FileStore"]

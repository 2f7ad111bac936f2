"""Records, journal and beats in Redis: one Lua compare-and-set for each transition. See docs/redis-store.md."""

from __future__ import annotations

"""Records, journal and beats in PostgreSQL: one transaction for each transition. See docs/postgres-store.md."""

from __future__ import annotations

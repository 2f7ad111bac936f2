"""`claims selftest --url`: prove or refute, on that very store, what everything here relies on.

Real processes, each with a state root of its own, work in a namespace that no fleet uses and that is removed
afterwards. What is not refuted in the given time is no proof for ever; what is refuted is refuted.
"""

from __future__ import annotations

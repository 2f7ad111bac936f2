"""What tests of sharedstate, and on top of it, need: fake clock, memory store, simulated disk, faults, contracts.

Public, with stable names. Import from the modules: `clock.FakeHost`, `memory.MemoryStore`, `disk.SimDisk`,
`faults.FaultHost`, `simulation.Simulation`, `contracts.StoreContract`, `history.violations`.
Nothing here is imported by the library itself.
"""

from __future__ import annotations

"""Claims, task state, messages and wake-ups shared by a fleet of agents that work on one repository."""

"""Claims: this machine's holdings, and the one place that drives both ledgers (shared task state, then local claim)."""

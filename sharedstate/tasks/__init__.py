"""Task state: what all instances share about a task. A finite state machine, decided by pure functions."""

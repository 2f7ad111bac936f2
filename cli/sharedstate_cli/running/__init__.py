"""How `claims run` runs a program: start, signals, terminal, end, and a guard for the case that it is killed itself.

A hot path: nothing here imports subprocess or threading. One thread, one `poll`.
"""

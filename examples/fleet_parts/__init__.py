"""The parts of `examples/fleet.py`: task lists, worktrees, the agent, the screen, the proof."""

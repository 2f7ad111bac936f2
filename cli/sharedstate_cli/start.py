"""Where the installed command begins: until it can answer for itself, Ctrl-C ends it without a word.

Most of a hot verb's life is spent importing; in a loop of commands Ctrl-C hits that time, and a person saw a traceback
out of the import system.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Load the command and run it; returns its exit code."""
    interrupts = __import__("_signal")  # `signal` itself takes 0.5 ms, to give names to numbers
    usual = interrupts.getsignal(interrupts.SIGINT) is interrupts.default_int_handler
    if usual:  # else somebody (nohup, a shell's background job) wants something else
        interrupts.signal(interrupts.SIGINT, interrupts.SIG_DFL)
    if "--hook" in sys.argv and hasattr(os, "fork"):
        from sharedstate_cli import hook
        from sharedstate_cli.descriptors import guard_descriptors

        if hook.is_asked(sys.argv[1:]):
            if usual:
                interrupts.signal(interrupts.SIGINT, interrupts.default_int_handler)
            guard_descriptors()
            hook.guarded(sys.argv[1:])
            os._exit(0)
    from sharedstate_cli.main import main as command

    if usual:
        interrupts.signal(interrupts.SIGINT, interrupts.default_int_handler)
    return command()

"""What the whole run says at its end."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many operations the races and fault tests of stores did, by store."""
    sums: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties if report.when == "call" else ():
            if name == "operations" and isinstance(value, tuple | list):
                sums[str(value[0])] += int(value[1])
    if sums:
        told = ", ".join(f"{name} {count:,}" for name, count in sorted(sums.items()))
        terminalreporter.write_line(f"operations on stores: {told}")

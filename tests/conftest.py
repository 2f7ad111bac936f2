"""What the whole run says at its end."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many operations contract, race, fault and history tests did, by store and by the file of the tests."""
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    passed = {report.nodeid for report in terminalreporter.getreports("passed")}
    for report in terminalreporter.getreports(""):  # the last of a test, which has all that it noted
        for name, value in report.user_properties if report.when == "teardown" and report.nodeid in passed else ():
            if name == "operations" and isinstance(value, tuple | list):
                sums[str(value[0])][_proof(report.nodeid)] += int(value[1])
    if sums:
        terminalreporter.write_sep("-", "operations on stores, by proof")
    for store, proofs in sorted(sums.items()):
        told = ", ".join(f"{proof} {count:,}" for proof, count in proofs.most_common())
        terminalreporter.write_line(f"{store:<9}{sum(proofs.values()):>9,}: {told}")


def _proof(nodeid: str) -> str:
    """The name of the test's file, in words; a contract is one for all stores."""
    path = nodeid.partition("::")[0].rpartition("/")
    if path[0].endswith("contract"):
        return "contract"
    return path[2].removeprefix("test_").removesuffix(".py").replace("_", " ")

"""The checker over versions finds what was planted, and nothing in what is right."""

from __future__ import annotations

import pytest

from sharedstate.testing.versions import Step, violations_in_versions


def _wrote(mark: str, version: int, start: int, end: int, *, saw: str | None = None) -> Step:
    return Step(line="r", client="a", mark=mark, fate="told", version=version, saw=saw, start=start, end=end)


def _looked(version: int, start: int, end: int, *, saw: str | None = None) -> Step:
    return _wrote("", version, start, end, saw=saw)


def _failed(mark: str, start: int) -> Step:
    return Step(line="r", client="b", mark=mark, fate="failed", start=start)


def _died(mark: str, start: int) -> Step:
    return Step(line="r", client="c", mark=mark, fate="unknown", start=start)


def _kinds(steps: list[Step], marks: list[str]) -> list[str]:
    return [flaw.kind for flaw in violations_in_versions(steps, {"r": marks})]


def test_a_right_history_has_no_flaws() -> None:
    steps = [
        _looked(0, 0, 1, saw=""),
        _wrote("x", 1, 2, 5, saw=""),
        _wrote("y", 2, 3, 6, saw="x"),  # at the same time as x
        _failed("f", 7),
        _died("d", 8),
        _looked(2, 9, 10, saw="y"),  # the dead may come later: nobody knows when
        _wrote("z", 4, 11, 12, saw="d"),
        _died("e", 13),
    ]
    assert _kinds(steps, ["x", "y", "d", "z"]) == []


@pytest.mark.parametrize(
    "steps, marks, kind",
    [
        ([_wrote("x", 1, 0, 1), _wrote("y", 1, 2, 3)], ["y"], "lost"),
        ([_wrote("x", 1, 0, 1)], [], "lost"),
        ([_looked(3, 0, 1)], [], "lost"),
        ([_wrote("x", 1, 0, 1)], ["x", "x"], "twice"),
        ([_failed("f", 0)], ["f"], "ghost"),
        ([], ["n"], "ghost"),
        ([_wrote("x", 1, 0, 1), _looked(0, 2, 3)], ["x"], "stale"),
        ([_wrote("x", 2, 0, 1), _wrote("y", 1, 2, 3)], ["y", "x"], "stale"),
        ([_looked(1, 0, 1), _died("d", 2)], ["d"], "early"),
        ([_wrote("x", 1, 0, 1), _wrote("y", 2, 0, 3, saw="")], ["x", "y"], "torn"),
    ],
    ids=["overwritten", "gone", "gone-for-a-reader", "twice", "failed", "nobodys", "old", "backwards", "early", "torn"],
)
def test_a_planted_flaw_is_found(steps: list[Step], marks: list[str], kind: str) -> None:
    assert kind in _kinds(steps, marks)


def test_lines_are_apart() -> None:
    steps = [_wrote("x", 1, 0, 1), _wrote("y", 1, 2, 3).replace(line="other")]
    assert violations_in_versions(steps, {"r": ["x"], "other": ["y"]}) == []
    assert [flaw.line for flaw in violations_in_versions(steps, {"r": ["x"]})] == ["other"]

"""Is the history of a record one line of versions that everybody saw in that order? Pure checks over recorded steps.

Clients write a text that is theirs alone (a mark) and note what they saw and were told, with real starts and ends; in
the end the journal tells which mark made which version. `violations_in_versions` then finds acknowledged writes that
are gone, writes that took effect twice or although they had failed, readers and writers that saw less than what had
been acknowledged before they began. A journal that is appended to is such a line, too: the sequence is the version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from sharedstate.values import Value

Kind = Literal["lost", "twice", "ghost", "stale", "early", "torn"]


class Step(Value):
    """One write or look of one client.

    `mark`: what it wrote; "" for a look. `version`: the one it made or saw (1, 2, 3 …; 0: nothing was there). `saw`:
    the mark that stood there before, None when it was not told. `start` and `end` are comparable moments before the
    call and after the answer. `fate`: `told` (acknowledged), `failed` (an error that says that nothing was changed),
    `unknown` (the client died, or was told that nobody knows): then `version`, `saw` and `end` say nothing.
    """

    line: str
    client: str
    mark: str
    fate: Literal["told", "failed", "unknown"]
    version: int = 0
    saw: str | None = None
    start: int
    end: int = 0


class Flaw(Value):
    """One broken promise: `kind`, the line (record or journal) it happened on, and why."""

    kind: Kind
    line: str
    reason: str


def violations_in_versions(steps: Iterable[Step], lines: Mapping[str, Sequence[str]]) -> list[Flaw]:
    """Check what clients did and heard against what stands there: for each line its marks, from version 1 on."""
    by_line: dict[str, list[Step]] = {line: [] for line in lines}
    for step in steps:
        by_line.setdefault(step.line, []).append(step)
    found: list[Flaw] = []
    for line, known in by_line.items():
        marks = lines.get(line, ())
        found += _doubled(line, marks)
        found += _not_as_told(line, known, marks)
        found += _nobodys(line, known, marks)
        found += _out_of_order(line, known, marks)
    return found


def _doubled(line: str, marks: Sequence[str]) -> list[Flaw]:
    return [
        Flaw(kind="twice", line=line, reason=f"{mark} made {count} versions")
        for mark, count in Counter(marks).items()
        if count > 1
    ]


def _not_as_told(line: str, known: list[Step], marks: Sequence[str]) -> list[Flaw]:
    """What was acknowledged stands where it was said to stand, upon what it was decided upon."""
    found: list[Flaw] = []
    for step in known:
        if step.fate != "told":
            continue
        at = step.version
        if step.mark and (at < 1 or at > len(marks) or marks[at - 1] != step.mark):
            now = marks[at - 1] if 1 <= at <= len(marks) else "nothing"
            found.append(
                Flaw(kind="lost", line=line, reason=f"{step.client}: {step.mark} was version {at}; it is {now}")
            )
        elif at > len(marks):
            found.append(Flaw(kind="lost", line=line, reason=f"{step.client} saw version {at} of {len(marks)}"))
        if step.saw is None:
            continue
        before = at - 1 if step.mark else at
        stood = marks[before - 1] if 1 <= before <= len(marks) else ""
        if step.saw != stood:
            reason = f"{step.client} saw {step.saw or 'nothing'} at version {before}, which is {stood or 'nothing'}"
            found.append(Flaw(kind="torn", line=line, reason=reason))
    return found


def _nobodys(line: str, known: list[Step], marks: Sequence[str]) -> list[Flaw]:
    """Nothing stands there that failed, or that nobody wrote."""
    asked = {step.mark: step for step in known if step.mark}
    found: list[Flaw] = []
    for version, mark in enumerate(marks, start=1):
        step = asked.get(mark)
        if step is None:
            found.append(Flaw(kind="ghost", line=line, reason=f"version {version}, {mark}, was written by nobody"))
        elif step.fate == "failed":
            found.append(Flaw(kind="ghost", line=line, reason=f"{mark} had failed, and made version {version}"))
    return found


def _out_of_order(line: str, known: list[Step], marks: Sequence[str]) -> list[Flaw]:
    """Real time: nobody sees less than was acknowledged before he began, or what was asked for only after he ended."""
    versions = {mark: version for version, mark in enumerate(marks, start=1)}
    begun = {versions[step.mark]: step.start for step in known if step.mark in versions}
    found: list[Flaw] = []
    told = [step for step in known if step.fate == "told"]
    ends = sorted((step.end, step.version) for step in told)
    highest, position = 0, 0
    for step in sorted(told, key=lambda one: one.start):
        while position < len(ends) and ends[position][0] < step.start:
            highest = max(highest, ends[position][1])
            position += 1
        least = highest + 1 if step.mark else highest
        if step.version < least:
            reason = f"{step.client}: version {step.version} after {highest} had been told"
            found.append(Flaw(kind="stale", line=line, reason=reason))
        if begun.get(step.version, step.start) > step.end:
            reason = f"{step.client} saw version {step.version} before it was asked for"
            found.append(Flaw(kind="early", line=line, reason=reason))
    return found

"""Laws of merging state that was kept in branches: fences, losses, order of sides, repetition, conflict markers."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharedstate import jsonio
from sharedstate.merging.files import merge_files, repair_file
from sharedstate.merging.records import CONFLICTS, merge_documents

Document = dict[str, Any]
NAMES = ("note", "tags", "meta", "count", "updated_at", "priority")
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "b", "é"]), st.floats(0, 1)),
    lambda deeper: st.one_of(st.lists(deeper, max_size=2), st.dictionaries(st.sampled_from("xyz"), deeper, max_size=2)),
    max_leaves=4,
)
MOMENTS = st.integers(0, 59).map(lambda second: f"2026-03-01T12:00:{second:02d}.000Z")


@st.composite
def tasks(draw: st.DrawFn) -> Document:
    """A task as its record has it, more or less."""
    status = draw(st.sampled_from(["claimed", "complete", "failed", "abandoned"]))
    document = draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3))
    history = draw(st.lists(st.fixed_dictionaries({"at": MOMENTS, "event": st.sampled_from("pqr")}), max_size=3))
    lease = {"owner": draw(st.sampled_from(["ws/a", "ws/b"])), "digest": "d"}
    return {
        **document,
        "status": status,
        "fence": draw(st.integers(1, 5)),
        "attempts": draw(st.integers(1, 5)),
        "retries": 0,
        "last_error": None,
        "lease": lease,
        "history": sorted(history, key=lambda entry: (entry["at"], jsonio.text_of(entry))),
    }


DOCUMENTS = st.one_of(tasks(), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
TRIPLES = st.tuples(st.one_of(st.none(), DOCUMENTS), DOCUMENTS, DOCUMENTS)
ALL_OF_ONE_KIND = st.one_of(TRIPLES, st.tuples(tasks(), tasks(), tasks()))


def text(value: object) -> str:
    return jsonio.text_of(value)


def leaves(value: Any, path: str = "") -> set[tuple[str, str]]:
    """Every value that is no object, with its path."""
    if isinstance(value, dict) and value:
        return {found for name, item in value.items() for found in leaves(item, f"{path}.{name}" if path else name)}
    return set() if value == {} else {(path, text(value))}


def check_losses(base: Document | None, ours: Document, theirs: Document, merged: Document) -> None:
    """Whatever a side newly says is in its place, in the history, or under `conflicts`."""
    before = leaves(base or {})
    told = leaves({name: value for name, value in merged.items() if name != CONFLICTS})
    for item in merged.get(CONFLICTS, []):
        at = item["at"]
        told |= leaves(item["value"], "" if at == "ownership" else at)
    for side in (ours, theirs):
        for path, value in leaves(side) - before - told:
            if path in ("attempts", "retries", "fence") or path.endswith("_at"):
                continue  # the greater stands
            if path == "history":
                entries = json.loads(value)
                assert all(entry in merged["history"] for entry in entries)
                continue
            raise AssertionError(f"{path}={value} is lost")


@settings(max_examples=250, deadline=None)
@given(ALL_OF_ONE_KIND)
def test_no_fence_is_lowered_and_no_value_lost(triple: tuple[Document | None, Document, Document]) -> None:
    base, ours, theirs = copy.deepcopy(triple)
    merged = merge_documents(base, ours, theirs).value
    assert (base, ours, theirs) == triple, "the sides themselves are not touched"
    for side in (base or {}, ours, theirs):
        for counter in ("fence", "attempts"):
            if type(side.get(counter)) is int and type(merged.get(counter)) is int:
                assert merged[counter] >= side[counter]
    check_losses(base, ours, theirs, merged)


@settings(max_examples=250, deadline=None)
@given(ALL_OF_ONE_KIND)
def test_which_side_is_ours_makes_no_difference(triple: tuple[Document | None, Document, Document]) -> None:
    base, ours, theirs = triple
    assert text(merge_documents(base, ours, theirs).value) == text(merge_documents(base, theirs, ours).value)


@settings(max_examples=250, deadline=None)
@given(ALL_OF_ONE_KIND)
def test_merging_again_changes_nothing(triple: tuple[Document | None, Document, Document]) -> None:
    base, ours, theirs = triple
    merged = merge_documents(base, ours, theirs).value
    if base is None or not any(type(base.get(name)) is int for name in ("fence", "attempts")):  # else these are raised
        assert text(merge_documents(base, ours, ours).value) == text(ours)
    assert text(merge_documents(merged, merged, merged).value) == text(merged)
    for side in (ours, theirs):  # git merges with the side itself as ancestor once it was merged
        again = merge_documents(side, merged, side)
        assert text(again.value) == text(merged)
        assert not again.conflicts


@settings(max_examples=100, deadline=None)
@given(tasks(), DOCUMENTS)
def test_a_side_that_changed_nothing_gives_way(base: Document, other: Document) -> None:
    ours = {**other, **{name: base[name] for name in ("fence", "attempts", "retries")}}
    merged = merge_documents(base, ours, base)
    assert not merged.conflicts
    assert text(merged.value) == text(ours)


def test_completed_work_stays_complete_under_the_highest_fence() -> None:
    base = {"status": "claimed", "fence": 3, "attempts": 1, "lease": {"owner": "ws/a"}}
    done = {**base, "status": "complete"}
    taken = {**base, "fence": 4, "attempts": 2, "lease": {"owner": "ws/b"}}
    merged = merge_documents(base, done, taken)
    assert (merged.value["status"], merged.value["fence"], merged.value["attempts"]) == ("complete", 4, 2)
    assert merged.value[CONFLICTS] == [
        {"at": "ownership", "value": {"fence": 4, "lease": {"owner": "ws/b"}, "status": "claimed"}}
    ]
    reopened = merge_documents(done, {**done, "note": "x"}, {**taken, "fence": 5})
    assert (reopened.value["status"], reopened.value["note"]) == ("claimed", "x"), "an explicit reopen goes on"


# Files


def record(document: Document, *, revision: int = 1) -> bytes:
    """A record as the file store writes it."""
    envelope = {"schema": 1, "id": "T-1", "revision": revision, "live": None, "last_events": None}
    return jsonio.encode({**document, **envelope})


def journal(*entries: tuple[str, str]) -> bytes:
    """A journal with entries of these moments and texts."""
    lines = [f'{{"seq":{n},"at":"{at}","record":"","n":"{what}"}}\n' for n, (at, what) in enumerate(entries, start=1)]
    return "".join(lines).encode()


def marked(ours: bytes, theirs: bytes, *, common: bytes = b"", base: bytes | None = None) -> bytes:
    """A file as git leaves it."""
    middle = b"" if base is None else b"||||||| base\n" + base
    return common + b"<<<<<<< HEAD\n" + ours + middle + b"=======\n" + theirs + b">>>>>>> topic\n"


@settings(max_examples=150, deadline=None)
@given(tasks(), tasks(), tasks(), st.booleans())
def test_files_with_markers_are_merged_from_what_they_hold(
    base: Document, ours: Document, theirs: Document, with_base: bool
) -> None:
    raws = [record(side) for side in (base, ours, theirs)]
    broken = marked(raws[1], raws[2], base=raws[0] if with_base else None)
    repaired = repair_file(broken, journal=False)
    direct = merge_files(raws[0] if with_base else b"", raws[1], raws[2], journal=False)
    assert repaired.raw is not None
    assert repaired.raw == direct.raw
    found = jsonio.decode(repaired.raw, what="merged")
    assert found["fence"] == max(side["fence"] for side in ((base,) if with_base else ()) + (ours, theirs))
    assert found["live"] == (found["fence"] if found["status"] == "claimed" else None)


def test_the_revision_never_goes_back() -> None:
    base = {"a": 1, "b": 1}
    merged = merge_files(
        record(base), record({"a": 2, "b": 1}, revision=7), record({"a": 1, "b": 2}, revision=3), journal=False
    )
    assert merged.raw == record({"a": 2, "b": 2}, revision=8)
    assert merged.problems == ()


@pytest.mark.parametrize(
    "bad",
    [b'{"torn": ', b"\xff\xfe", b'{"schema": 2, "id": "T-1"}', b'{"no": "record"}', b"<<<<<<< HEAD\n{}\n", b"[]"],
    ids=repr,
)
def test_a_side_that_cannot_be_read_leaves_the_file_to_a_person(bad: bytes) -> None:
    good = record({"a": 1})
    for ours, theirs in ((bad, good), (good, bad)):
        merged = merge_files(b"", ours, theirs, journal=False)
        assert merged.raw is None
        assert merged.problems


LINES = st.lists(st.tuples(MOMENTS, st.sampled_from("abc")), max_size=4)


@settings(max_examples=200, deadline=None)
@given(LINES, LINES, LINES)
def test_journals_keep_every_entry_once_and_count_without_gaps(
    common: list[tuple[str, str]], one: list[tuple[str, str]], other: list[tuple[str, str]]
) -> None:
    base, ours, theirs = (journal(*sorted(common), *sorted(more)) for more in ([], one, other))
    merged = merge_files(base, ours, theirs, journal=True)
    assert merged == merge_files(base, theirs, ours, journal=True)
    assert merged.raw is not None
    entries = [jsonio.decode(line, what="line") for line in merged.raw.splitlines()]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    for more in (one, other):
        rest = [(entry["at"], entry["n"]) for entry in entries]
        for item in (*common, *more):
            rest.remove(item)
    assert merge_files(base, merged.raw, theirs, journal=True).raw == merged.raw
    assert merge_files(theirs, merged.raw, theirs, journal=True).raw == merged.raw


def test_unreadable_lines_of_a_journal_are_kept() -> None:
    whole = journal(("2026-03-01T12:00:00.000Z", "a"))
    merged = merge_files(whole, whole + b"torn{\n", whole, journal=True)
    assert merged.raw is not None
    assert b"torn{\n" in merged.raw
    assert merged.problems


# Planted bugs: the laws see them


def _lower_fence(base: Document | None, ours: Document, theirs: Document) -> Document:
    merged = merge_documents(base, ours, theirs).value
    return {**merged, "fence": ours["fence"]}


def _forget(base: Document | None, ours: Document, theirs: Document) -> Document:
    merged = merge_documents(base, ours, theirs).value
    return {name: value for name, value in merged.items() if name != CONFLICTS}


def test_planted_bugs_break_a_law() -> None:
    base = {"status": "claimed", "fence": 1, "note": "was", "lease": {"owner": "ws/a"}}
    ours, theirs = {**base, "fence": 2, "note": "one"}, {**base, "fence": 3, "note": "other"}
    assert _lower_fence(base, ours, theirs)["fence"] < 3
    with pytest.raises(AssertionError, match="lost"):
        check_losses(base, ours, theirs, _forget(base, ours, theirs))


@pytest.mark.parametrize("value", [7, {"x": 1}, None, "text"])
def test_a_field_that_happens_to_be_called_conflicts_is_not_lost(value: object) -> None:
    alike = merge_documents({"a": 1}, {"a": 1, CONFLICTS: value}, {"a": 2, CONFLICTS: value}).value
    assert alike == {"a": 2, CONFLICTS: value}
    noted = [{"at": CONFLICTS, "value": value}]
    for one, other in (({"a": 1, CONFLICTS: value}, {"a": 2}), ({"a": 2}, {"a": 1, CONFLICTS: value})):
        merged = merge_documents({"a": 1}, one, other).value
        assert merged == {"a": 2, CONFLICTS: noted}
        assert merge_documents({"a": 1}, merged, other).value == merged

"""Words for where a card stands: six are ours, aliases map to them, everything else is kept."""

from __future__ import annotations

import pytest

from sharedstate.sync import statuses
from sharedstate.sync.statuses import STATUSES, known, normal, same
from sharedstate.tasks.model import ABANDONED, CLAIMED, COMPLETE, FAILED, NEW


@pytest.mark.parametrize("status", STATUSES)
def test_our_words_mean_themselves(status: str) -> None:
    assert normal(status) == status


@pytest.mark.parametrize(
    "text, status",
    [
        ("To Do", "todo"),
        ("BACKLOG", "todo"),
        ("in_progress", "inprogress"),
        ("In-Progress", "inprogress"),
        ("  in  progress ", "inprogress"),
        ("In Review", "inreview"),
        ("pull-request", "inreview"),
        ("On Hold", "blocked"),
        ("Closed", "done"),
        ("merged", "done"),
        ("Resolved", "done"),
        ("wontfix", "cancelled"),
        ("Won't fix", "cancelled"),
        ("WON’T_FIX", "cancelled"),
        ("canceled", "cancelled"),
        ("not_planned", "cancelled"),
    ],
)
def test_aliases_are_compared_without_case_spaces_dashes_and_underscores(text: str, status: str) -> None:
    assert known(text) == normal(text) == status


def test_unknown_text_is_kept_as_it_is() -> None:
    assert known("Needs Design") is None
    assert normal("Needs Design") == "Needs Design"


def test_unknown_texts_are_compared_without_case_and_spaces_too() -> None:
    assert same("Needs Design", "needs-design")
    assert not same("Needs Design", "Needs Love")
    assert same(None, None)
    assert not same(None, "todo")


def test_no_alias_has_two_meanings() -> None:
    meanings: dict[str, set[str]] = {}
    for status, aliases in vars(statuses)["_ALIASES"].items():
        for text in (status, *aliases):
            meanings.setdefault(statuses.folded(text), set()).add(status)
    assert [text for text, meant in meanings.items() if len(meant) > 1] == []


@pytest.mark.parametrize(
    "task, status",
    [(NEW, "todo"), (CLAIMED, "inprogress"), (COMPLETE, "done"), (FAILED, "todo"), (ABANDONED, "todo")],
)
def test_a_task_has_its_place_on_the_board(task: str, status: str) -> None:
    assert statuses.status_of_task(task) == status


@pytest.mark.parametrize("task", [FAILED, ABANDONED])
def test_a_task_without_retries_left_is_blocked(task: str) -> None:
    assert statuses.status_of_task(task, exhausted=True) == "blocked"

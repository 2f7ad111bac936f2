"""The tree of faults: stable codes, exit codes, fitting built-in kinds, hints that nobody regrets following."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from sharedstate import errors


def _tree(root: type[errors.SharedStateError]) -> Iterator[type[errors.SharedStateError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


ALL = [kind for kind in dict.fromkeys(_tree(errors.SharedStateError)) if kind.__module__ == "sharedstate.errors"]
EXIT_CODES = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_code_hint_exit_code_and_a_promise(kind: type[errors.SharedStateError]) -> None:
    assert re.fullmatch(r"[a-z_]+", kind.code)
    assert kind.exit_code in EXIT_CODES - {0}
    assert kind.__doc__
    assert kind.exit_code != errors.EXIT_RETRY or kind.retryable, "try again means that trying again may help"


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in ALL]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    "kind, builtin",
    [
        (errors.InvalidInput, ValueError),
        (errors.InvalidId, ValueError),
        (errors.BadSettings, ValueError),
        (errors.Corrupt, ValueError),
        (errors.StoreError, OSError),
        (errors.StoreBusy, TimeoutError),
        (errors.ForkedStore, RuntimeError),
        (errors.ClaimLost, RuntimeError),
        (errors.ClaimRefused, RuntimeError),
    ],
)
def test_errors_are_also_of_the_fitting_builtin_kind(kind: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)
    assert issubclass(kind, errors.SharedStateError)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_no_hint_suggests_something_destructive(kind: type[errors.SharedStateError]) -> None:
    assert not re.search(r"\brm\b|delete|remove|--force|reset|clean|kill", kind.hint)


def test_a_hint_can_be_given_for_one_occasion() -> None:
    assert errors.StoreError("x", hint="look at the disk").hint == "look at the disk"
    assert errors.StoreBusy("x").hint == errors.StoreBusy.hint
    assert str(errors.StoreBusy("T-1: not free")) == "T-1: not free"


def test_a_refused_hold_says_why_and_how_to_exit() -> None:
    refused = errors.ClaimRefused("held", reason="existing_owner_active")
    assert (refused.reason, refused.exit_code) == ("existing_owner_active", errors.EXIT_REFUSED)
    assert errors.ClaimRefused("over", reason="max_retries_exceeded", exit_code=6).exit_code == errors.EXIT_EXHAUSTED

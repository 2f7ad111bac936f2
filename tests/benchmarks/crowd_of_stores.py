"""Several processes that begin together, each on a store of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier
from typing import Any

from tests.benchmarks.table import Broken

_PATIENCE_S = 120.0
Work = Callable[..., int]


def together(work: Work, arguments: Sequence[tuple[Any, ...]]) -> list[int]:
    """What each call of `work`, in a process of its own, returned."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(arguments))
    pipes, children = [], []
    for words in arguments:
        mine, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(work, barrier, words, theirs), daemon=True)
        child.start()
        theirs.close()
        pipes.append(mine)
        children.append(child)
    answers: list[int] = [pipe.recv() for pipe in pipes if pipe.poll(_PATIENCE_S)]
    for child in children:
        child.join(_PATIENCE_S)
    if len(answers) < len(arguments):
        raise Broken(f"{len(arguments) - len(answers)} of {len(arguments)} clients gave no answer")
    return answers


def _child(work: Work, barrier: Barrier, words: tuple[Any, ...], pipe: Any) -> None:
    barrier.wait(_PATIENCE_S)
    pipe.send(work(*words))
    pipe.close()

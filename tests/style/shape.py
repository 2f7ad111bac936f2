"""Rules on the shape of code: lengths, docstrings, names, parameters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.style.source import Source

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
VAGUE = frozenset(("manager", "helper", "utils", "data", "process"))
# A vague word that is the exact word for the thing it names: the whole name -> why.
EXACT = {"Process": "a process of the operating system, not a step of processing"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_CHECKED_DUNDERS = frozenset(("__init__", "__new__", "__call__"))


def file_is_short(source: Source) -> Iterator[str]:
    """At most `FILE_LINES_MAX` lines: a longer file holds two ideas."""
    count = len(source.text.splitlines())
    if count > FILE_LINES_MAX:
        yield source.at(count, f"{count} lines, at most {FILE_LINES_MAX}")


def functions_are_short(source: Source) -> Iterator[str]:
    """At most `FUNCTION_LINES_MAX` lines from `def` to the end; the docstring is free, or it would be kept short."""
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            count = _last_line(node) - node.lineno + 1 - _docstring_lines(node)
            if count > FUNCTION_LINES_MAX:
                yield source.at(node.lineno, f"{node.name} has {count} lines, at most {FUNCTION_LINES_MAX}")


def public_is_documented(source: Source) -> Iterator[str]:
    """Modules, and public classes, functions and methods of the packages, have a docstring.

    The name of a test in a public suite is its claim and needs no other words.
    """
    if not source.in_package:
        return
    if not ast.get_docstring(source.tree):
        yield source.at(1, "the module has no docstring")
    for node in _public(source.tree):
        if not ast.get_docstring(node) and not node.name.startswith("test_"):
            yield source.at(node.lineno, f"{node.name} has no docstring")


def names_are_exact(source: Source) -> Iterator[str]:
    """No vague word in the name of a module or class, and no function that is called nothing but one."""
    path = PurePosixPath(source.path)
    for part in (*path.parts[:-1], path.stem):
        yield from _vague(source, 1, part)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef):
            yield from _vague(source, node.lineno, node.name)
        elif isinstance(node, Function) and node.name.strip("_") in VAGUE - {"process"}:
            yield source.at(node.lineno, f"{node.name} says nothing")


def booleans_are_named(source: Source) -> Iterator[str]:
    """In public functions of the packages a boolean parameter can only be given by keyword."""
    if not source.in_package:
        return
    for node in _public(source.tree, dunders=_CHECKED_DUNDERS):
        if isinstance(node, Function) and not _is_accessor(node):
            for name in _positional_booleans(node):
                yield source.at(node.lineno, f"{node.name}: boolean `{name}` must be keyword-only")


def _vague(source: Source, line: int, name: str) -> Iterator[str]:
    found = {word.lower() for word in _WORD.findall(name)} & VAGUE
    if found and name not in EXACT:
        yield source.at(line, f"the name {name} contains the vague word {', '.join(sorted(found))}")


def _public(
    tree: ast.Module | ast.ClassDef, *, dunders: frozenset[str] = frozenset()
) -> Iterator[ast.ClassDef | Function]:
    for node in _statements(tree.body):
        if not isinstance(node, ast.ClassDef | Function):
            continue
        if (node.name.startswith("_") and node.name not in dunders) or _is_overload(node) or _is_setter(node):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from _public(node, dunders=dunders)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body, those under `if`, `else` and `try` included: they define public names too."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements(node.body)
            yield from _statements(node.orelse)
            for handler in getattr(node, "handlers", ()):
                yield from _statements(handler.body)


def _decorators(node: ast.ClassDef | Function) -> Iterator[str]:
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        yield ast.unparse(called).rpartition(".")[2]


def _is_overload(node: ast.ClassDef | Function) -> bool:
    return "overload" in _decorators(node)


def _is_setter(node: ast.ClassDef | Function) -> bool:
    return not {"setter", "deleter"}.isdisjoint(_decorators(node))


def _is_accessor(node: Function) -> bool:
    return _is_setter(node) or "property" in _decorators(node)


def _positional_booleans(node: Function) -> Iterator[str]:
    arguments = [*node.args.posonlyargs, *node.args.args]
    defaults = [None] * (len(arguments) - len(node.args.defaults)) + list(node.args.defaults)
    for argument, default in zip(arguments, defaults, strict=True):
        truth_value = isinstance(default, ast.Constant) and isinstance(default.value, bool)
        if truth_value or (argument.annotation is not None and _is_boolean(argument.annotation)):
            yield argument.arg


def _is_boolean(annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _is_boolean(ast.parse(annotation.value, mode="eval").body)
    if isinstance(annotation, ast.BinOp):
        return _is_boolean(annotation.left) or _is_boolean(annotation.right)
    if isinstance(annotation, ast.Subscript):
        return ast.unparse(annotation.value).endswith(("Optional", "Annotated")) and (
            "bool" in ast.unparse(annotation.slice).replace(",", " ").split()
        )
    return isinstance(annotation, ast.Name) and annotation.id == "bool"


def _last_line(node: Function) -> int:
    return node.end_lineno if node.end_lineno is not None else node.lineno


def _docstring_lines(node: Function) -> int:
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is None or first.end_lineno is None:
        return 0
    return first.end_lineno - first.lineno + 1

"""Frozen, keyword-only records: the base of every value in the library.

Why not `dataclasses`: importing it pulls in `inspect` and costs 9-11 ms, and each decorated class compiles code.
A `claims` verb has about 26 ms in all (3.5 times a bare interpreter), so values must be almost free to define.
Type checkers treat subclasses exactly as keyword-only frozen dataclasses.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, dataclass_transform


@dataclass_transform(kw_only_default=True, frozen_default=True, eq_default=True)
class Value:
    """A frozen record of named fields, compared by type and content.

    Fields are the annotated names of the class body, in order, with optional defaults; all are keyword-only.
    A missing or unknown field raises `TypeError`; assignment raises `AttributeError`. Fields named in the class
    keyword `hidden` (secrets) are masked in `repr`, so that no log line or traceback shows them.
    """

    _names: ClassVar[tuple[str, ...]] = ()
    _known: ClassVar[frozenset[str]] = frozenset()
    _defaults: ClassVar[dict[str, Any]] = {}
    _hidden: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, *, hidden: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = [name for name in cls.__dict__.get("__annotations__", ()) if not name.startswith("_")]
        cls._names = cls._names + tuple(name for name in own if name not in cls._names)
        cls._known = frozenset(cls._names)
        cls._defaults = {**cls._defaults, **{name: cls.__dict__[name] for name in own if name in cls.__dict__}}
        cls._hidden = cls._hidden | frozenset(hidden)

    def __init__(self, **fields: Any) -> None:
        held = self.__dict__
        held.update(self._defaults)
        held.update(fields)
        if held.keys() != self._known:
            self._complain(held)

    def _complain(self, held: dict[str, Any]) -> None:
        unknown = sorted(set(held) - set(self._names))
        missing = [name for name in self._names if name not in held]
        raise TypeError(f"{type(self).__name__}: unknown fields {unknown}, missing fields {missing}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; use replace({name}=…)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.__dict__[name] for name in self._names)))

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={'…' if name in self._hidden else repr(self.__dict__[name])}" for name in self._names
        )
        return f"{type(self).__name__}({shown})"

    def replace(self, **changes: Any) -> Self:
        """The same value with some fields changed; unknown names raise `TypeError`."""
        return type(self)(**{**self.__dict__, **changes})

    def fields(self) -> dict[str, Any]:
        """The fields by name, in declaration order (a new, shallow dictionary; secrets included)."""
        return {name: self.__dict__[name] for name in self._names}

"""Reads, compiled to what the driver takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.engine.interfaces import Dialect


def compile_query(
    query: sa.ClauseElement, dialect: Dialect
) -> tuple[str, tuple[Any, ...]]:
    """Return the text and the parameters of a statement that carries its values."""
    compiled = query.compile(
        dialect=dialect, compile_kwargs={"render_postcompile": True}
    )
    values = compiled.params
    names = getattr(compiled, "positiontup", None) or ()
    return str(compiled), tuple(values[name] for name in names)


class Query:
    """A read that is compiled once; its values are given by name."""

    __slots__ = ("_names", "_values", "sql")

    def __init__(self, query: sa.ClauseElement, dialect: Dialect) -> None:
        compiled = query.compile(
            dialect=dialect, compile_kwargs={"render_postcompile": True}
        )
        self.sql = str(compiled)
        self._names: tuple[str, ...] = tuple(
            getattr(compiled, "positiontup", None) or ()
        )
        self._values = dict(compiled.params)

    def with_values(self, **values: object) -> tuple[str, tuple[Any, ...]]:
        """Return what ``execute`` takes."""
        known = {**self._values, **values}
        return self.sql, tuple(known[name] for name in self._names)

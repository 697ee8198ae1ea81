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
    """A read that is compiled once, when it is first made; values go by name.

    A head that starts makes few of all that it may ever make. Two threads may come
    first together: both find the same.
    """

    __slots__ = ("_compiled", "_dialect", "_query")

    def __init__(self, query: sa.ClauseElement, dialect: Dialect) -> None:
        self._query = query
        self._dialect = dialect
        self._compiled: tuple[str, tuple[str, ...], dict[str, Any]] | None = None

    def with_values(self, **values: object) -> tuple[str, tuple[Any, ...]]:
        """Return what ``execute`` takes."""
        compiled = self._compiled
        if compiled is None:
            compiled = self._compiled = self._compile()
        sql, names, defaults = compiled
        known = {**defaults, **values}
        return sql, tuple(known[name] for name in names)

    def _compile(self) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        compiled = self._query.compile(
            dialect=self._dialect, compile_kwargs={"render_postcompile": True}
        )
        names = tuple(getattr(compiled, "positiontup", None) or ())
        return str(compiled), names, dict(compiled.params)

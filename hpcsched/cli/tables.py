"""Tables: drawn on terminals, plain columns where piped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hpcsched.cli.lines import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

#: Colour of each state, by its name for people.
STYLES: Final = {
    "Running": "green",
    "Dispatching": "green",
    "Online": "green",
    "Queued": "yellow",
    "Draining": "yellow",
    "Configuring": "dim",
    "Finished": "blue",
    "Failed": "bold red",
    "Offline": "red",
    "Canceled": "magenta",
    "Canceling": "magenta",
}


#: Columns that are cut where a terminal is too narrow.
FREE_TEXT: Final = frozenset({"NAME", "REASON", "NODES", "MEANING"})


@dataclass(slots=True)
class Table:
    """Rows of text.

    Attributes:
        columns: Headings.
        rows: As many texts each.
        numbers: Indices of the columns that are set to the right.
    """

    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    numbers: frozenset[int] = frozenset()

    def add(self, *cells: object) -> None:
        """Add a row."""
        self.rows.append([one_line(str(cell)) for cell in cells])


def plain(table: Table) -> str:
    """Return a table as columns that are as wide as they need to be."""
    widths = _widths(table, range(len(table.columns)))
    lines = [_cells(table, line, widths) for line in [table.columns, *table.rows]]
    return "\n".join("  ".join(cells).rstrip() for cells in lines)


def _widths(table: Table, used: Iterable[int]) -> dict[int, int]:
    lines = [table.columns, *table.rows]
    return {index: max(len(line[index]) for line in lines) for index in used}


def _cells(table: Table, line: Sequence[str], widths: Mapping[int, int]) -> list[str]:
    """Return the cells of a line at their widths, cut where they are too long."""
    cells = []
    for index, width in widths.items():
        text = line[index]
        if len(text) > width:
            text = text[: max(0, width - 1)] + "…"
        right = index in table.numbers
        cells.append(text.rjust(width) if right else text.ljust(width))
    return cells


def draw(table: Table, console: Console) -> None:
    """Draw a table on a terminal: states in colour, free text cut to its width.

    Columns without a value are left out; there is no room to waste.
    """
    from rich.text import Text

    used = [
        index
        for index in range(len(table.columns))
        if not table.rows or any(row[index] for row in table.rows)
    ]
    widths = _widths(table, used)
    _fit(table, widths, console.width)
    console.print(Text("  ".join(_cells(table, table.columns, widths)), "bold"))
    for row in table.rows:
        drawn = Text(no_wrap=True)
        for cell in _cells(table, row, widths):
            drawn.append(cell, STYLES.get(cell.strip(), ""))
            drawn.append("  ")
        drawn.rstrip()
        console.print(drawn, soft_wrap=True)


def _fit(table: Table, widths: dict[int, int], room: int) -> None:
    """Take from the widest columns of free text what a terminal has no room for."""
    free = [index for index in widths if table.columns[index] in FREE_TEXT]
    while free and sum(widths.values()) + 2 * (len(widths) - 1) > room:
        widest = max(free, key=lambda index: widths[index])
        if widths[widest] <= len(table.columns[widest]):
            return
        widths[widest] -= 1


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """Return one fact per line, the empty ones left out."""
    shown = [
        (name, one_line(str(value))) for name, value in pairs if value not in ("", None)
    ]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name + ':':<{width + 1}} {value}" for name, value in shown)

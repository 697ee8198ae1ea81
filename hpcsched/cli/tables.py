"""Tables: drawn on terminals, plain columns where piped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        self.rows.append([_clean(str(cell)) for cell in cells])


def _clean(text: str) -> str:
    """Keep a cell on its line, and control characters of others off the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def plain(table: Table) -> str:
    """Return a table as columns that are as wide as they need to be."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    texts = []
    for line in lines:
        cells = [
            cell.rjust(widths[i]) if i in table.numbers else cell.ljust(widths[i])
            for i, cell in enumerate(line)
        ]
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)


def draw(table: Table, console: Console) -> None:
    """Draw a table on a terminal, states in colour, cut to its width."""
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(table.columns):
        right = index in table.numbers
        drawn.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in table.rows:
        drawn.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console.print(drawn)


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """Return one fact per line, the empty ones left out."""
    shown = [
        (name, _clean(str(value))) for name, value in pairs if value not in ("", None)
    ]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name + ':':<{width + 1}} {value}" for name, value in shown)

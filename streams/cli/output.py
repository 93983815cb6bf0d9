"""What commands print: tables in which ids, topics and addresses are whole, and lines that can be copied.

In a terminal a cell that is too wide goes on in the next line. Elsewhere (a pipe, a file) a table is as wide as it has
to be, so that each row is one line, and what was searched for is found.
"""

import unicodedata

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 100_000
"""More columns than any table has: what it would take if it could."""


def table_of(*names: str) -> Table:
    """Return a table with these columns; nothing in them is cut."""
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def plain(text: str | None) -> Text:
    """Return text of a record as a cell: brackets are no markup, and control characters are shown and not obeyed."""
    return Text("".join(_visible(character) for character in text or ""))


def print_table(table: Table) -> None:
    """Print a table: folded to a terminal's width, else as wide as it is."""
    console = Console()
    if not console.is_terminal:
        for column in table.columns:
            column.no_wrap = True
        wanted = console.measure(table, options=console.options.update(width=WIDE)).maximum
        caption = len(str(table.caption or ""))
        console = Console(width=max(console.width, wanted, caption))
    console.print(table)


def print_line(text: str, style: str = "") -> None:
    """Print a line as it is, however long: a command in it can be copied."""
    Console().print(Text(text, style=style), soft_wrap=True)


def _visible(character: str) -> str:
    if unicodedata.category(character) not in {"Cc", "Cf", "Zl", "Zp"}:
        return character
    return character.encode("unicode_escape").decode()

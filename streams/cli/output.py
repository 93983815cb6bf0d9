"""What commands print: tables in which ids, topics and addresses are whole, and lines that can be copied.

In a terminal a cell that is too wide goes on in the next line. Elsewhere (a pipe, a file) a table is as wide as it has
to be, so that each row is one line, and what was searched for is found.
"""

import contextlib
import unicodedata
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

JsonLines = Annotated[bool, typer.Option("--json", help="One JSON object each.")]

WIDE = 100_000
"""More columns than any table has: what it would take if it could."""


def table_of(*names: str) -> Table:
    """Return a table with these columns; nothing in them is cut."""
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def add_row(table: Table, *cells: RenderableType | None, end_section: bool = False) -> None:
    """Add a row: text is shown as it is, whatever a record or an account holds; what has a style is a Text already."""
    shown = (plain(cell) if isinstance(cell, str | None) else cell for cell in cells)
    table.add_row(*shown, end_section=end_section)


def plain(text: str | None, style: str = "") -> Text:
    """Return text as a cell: brackets are no markup, and control characters are shown and not obeyed."""
    return Text(visible(text or ""), style=style)


def visible(text: str) -> str:
    """Return text with its control characters escaped: a terminal would obey them."""
    return "".join(_visible(character) for character in text)


def print_table(table: Table) -> None:
    """Print a table: folded to a terminal's width, else as wide as it is. Its caption is a line below it."""
    console = Console()
    caption, table.caption = table.caption, None  # rich would fold it to the width of the columns
    if not console.is_terminal:
        for column in table.columns:
            column.no_wrap = True
        wanted = console.measure(table, options=console.options.update(width=WIDE)).maximum
        console = Console(width=max(console.width, wanted))
    console.print(table)
    if caption:
        print_line(str(caption), style="italic")


def print_line(text: str, style: str = "") -> None:
    """Print a line as it is, however long: a command in it can be copied."""
    Console().print(plain(text, style), soft_wrap=True)


@contextlib.contextmanager
def progress_of(what: str) -> Iterator[Callable[[int], None]]:
    """Yield what shows `what` with a count, in one line of standard error while it lasts; nothing where that is no
    terminal."""
    with Console(stderr=True).status(what) as status:
        yield lambda count: status.update(f"{what}: {count:,}")


def _visible(character: str) -> str:
    if unicodedata.category(character) not in {"Cc", "Cf", "Zl", "Zp"}:
        return character
    return character.encode("unicode_escape").decode()

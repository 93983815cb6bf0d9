"""What commands print: tables in which ids, topics and addresses are whole, and lines that can be copied.

In a terminal a cell that is too wide goes on in the next line. Elsewhere (a pipe, a file) a table is as wide as it has
to be, so that each row is one line, and what was searched for is found.
"""

import contextlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

JsonLines = Annotated[bool, typer.Option("--json", help="One JSON object each.")]
OneJsonObject = Annotated[bool, typer.Option("--json", help="One JSON object.")]
OneJsonLine = Annotated[bool, typer.Option("--json", help="In one line, for other programs.")]
"""For what is JSON in any case."""

WIDE = 100_000
"""More columns than any table has: what it would take if it could."""
NARROWEST = 10
"""Of a terminal, for each column of a table: with less, words are cut to two or three letters a line."""


def table_of(*names: str) -> "Table":
    """Return a table with these columns; nothing in them is cut."""
    from rich.table import Table

    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def add_row(table: "Table", *cells: "RenderableType | None", end_section: bool = False) -> None:
    """Add a row: text is shown as it is, whatever a record or an account holds; what has a style is a Text already."""
    shown = (plain(cell) if isinstance(cell, str | None) else cell for cell in cells)
    table.add_row(*shown, end_section=end_section)


def plain(text: str | None, style: str = "") -> "Text":
    """Return text as a cell: brackets are no markup, and control characters are shown and not obeyed."""
    from rich.text import Text

    return Text(visible(text or ""), style=style)


def visible(text: str) -> str:
    """Return text with its control characters escaped: a terminal would obey them."""
    return "".join(_visible(character) for character in text)


def print_table(table: "Table") -> None:
    """Print a table: folded to a terminal's width, else as wide as it is. Its caption is a line below it."""
    from rich.console import Console

    console = Console()
    caption, table.caption = table.caption, None  # rich would fold it to the width of the columns
    if not console.is_terminal:
        for column in table.columns:
            column.no_wrap = True
        wanted = console.measure(table, options=console.options.update(width=WIDE)).maximum
        console = Console(width=max(console.width, wanted))
    console.print(fitted(table, console.width))
    if caption:
        print_line(str(caption), style="italic")


def live_console() -> "Console":
    """Return a console for what is shown again and again; without a terminal nothing is folded."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def fitted(table: "Table", width: int) -> "RenderableType":
    """Return a table where it fits, else its rows one below the other, a line `column: cell` for each cell.

    Empty cells are left out. The caption is not part of it.
    """
    from rich.console import Group

    if width >= NARROWEST * len(table.columns):
        return table
    rows = zip(*(column.cells for column in table.columns), strict=True)
    return Group(*(_as_lines([str(column.header) for column in table.columns], row) for row in rows))


def print_json(value: Any, *, one_line: bool) -> None:
    """Print a value as JSON: one line for programs, or indented for people."""
    typer.echo(orjson.dumps(value, option=0 if one_line else orjson.OPT_INDENT_2).decode())


def print_line(text: str, style: str = "") -> None:
    """Print a line as it is, however long: a command in it can be copied."""
    from rich.console import Console

    Console().print(plain(text, style), soft_wrap=True)


@contextlib.contextmanager
def progress_of(what: str) -> Iterator[Callable[[int], None]]:
    """Yield what shows `what` with a count, in one line of standard error while it lasts; nothing where that is no
    terminal."""
    from rich.console import Console

    with Console(stderr=True).status(what) as status:
        yield lambda count: status.update(f"{what}: {count:,}")


def _as_lines(names: Sequence[str], cells: "Iterable[RenderableType]") -> "Text":
    """Return a row as a block of lines, and an empty line."""
    from rich.text import Text

    shown = [
        (name, cell if isinstance(cell, Text) else Text(str(cell))) for name, cell in zip(names, cells, strict=True)
    ]
    lines = [Text.assemble((f"{name}: ", "bold"), cell) for name, cell in shown if cell]
    return Text("\n", overflow="fold").join([*lines, Text()])


def _visible(character: str) -> str:
    if unicodedata.category(character) not in {"Cc", "Cf", "Zl", "Zp"}:
        return character
    return character.encode("unicode_escape").decode()

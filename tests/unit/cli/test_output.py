"""Tables of commands: nothing is cut, and text of records is only text."""

import ast
import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from streams.cli import output
from streams.cli.output import add_row, print_line, print_table, progress_of, table_of, visible

COMMANDS = Path(output.__file__).parent
ID = "b1f0a0e5c9d84b7f9e3d2c1a0b9f8e7d"
PROGRAM = f"""
from streams.cli.output import print_line, print_table, table_of
table = table_of("id", "topic", "reason", "key")
table.add_row("{ID}", "x" * 60, "at: missing", "a" * 50)
print_table(table)
print_line("cm-streams job start " + "j" * 100)
"""


def test_without_a_terminal_each_row_is_one_whole_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    table = table_of("id", "topic", "reason", "key")
    table.add_row(ID, "t" * 100, "r e a s o n " * 30, "a@example.com")
    print_table(table)
    print_line("cm-streams job start " + "j" * 100)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert all(text in lines[3] for text in (ID, "t" * 100, ("r e a s o n " * 30).strip(), "a@example.com"))
    assert lines[5] == "cm-streams job start " + "j" * 100


@pytest.mark.parametrize("columns", ["80", "40"])
def test_in_a_terminal_cells_are_folded_and_lines_are_left_whole(columns: str) -> None:
    terminal, end = pty.openpty()
    environment = {**os.environ, "COLUMNS": columns, "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=end, env=environment)
    os.close(end)
    output = io.BytesIO()
    try:
        while part := os.read(terminal, 65536):
            output.write(part)
    except OSError:  # the other end was closed
        pass
    assert process.wait() == 0
    os.close(terminal)
    shown = output.getvalue().decode()
    assert not re.search(r"\x1b\[[0-9;]*\b(3|4|9|10)[0-7]", shown), "a colour, in spite of NO_COLOR"
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    lines = text.splitlines()
    assert "…" not in text
    columns = list(zip(*[line.split("│")[1:5] for line in lines if line.startswith("│")], strict=True))
    cells = ["".join(cell).replace(" ", "") for cell in columns]
    assert cells == [ID, "x" * 60, "at:missing", "a" * 50]
    assert lines[-1] == "cm-streams job start " + "j" * 100


def every_table() -> list[tuple[str, ...]]:
    """The columns of each table that a command prints, from its code."""
    return [
        tuple(name.value for name in call.args if isinstance(name, ast.Constant))
        for path in sorted(COMMANDS.glob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "table_of" and call.args
    ]


@pytest.mark.parametrize("names", [names for names in every_table() if names], ids=lambda names: "-".join(names))
@pytest.mark.parametrize("width", [80, 40, None], ids=["80 columns", "40 columns", "a pipe"])
def test_no_table_of_a_command_loses_a_character(
    names: tuple[str, ...], width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [f"{number}{ID}{name}".replace(" ", "") for number, name in enumerate(names)]
    table, shown = table_of(*names), io.StringIO()
    add_row(table, *cells)
    options = {"force_terminal": width is not None, "no_color": True, "color_system": None}
    monkeypatch.setattr(
        "rich.console.Console", lambda **given: Console(file=shown, **{"width": width or 80, **options, **given})
    )
    print_table(table)
    lines = shown.getvalue().splitlines()
    if width is None:
        assert all(cell in lines[3] for cell in cells), "a row is one line"
    elif "│" in shown.getvalue():
        rows = [line.split("│")[1:-1] for line in lines if line.startswith("│")]
        assert ["".join(parts).replace(" ", "") for parts in zip(*rows, strict=True)] == cells
        assert all(len(line) <= width for line in lines)
        assert min(len(part) - 2 for part in rows[0]) >= 4, "a column of a few characters cannot be read"
    else:
        text = "".join(line.strip() for line in lines)
        assert all(f"{name}:{cell}" in text.replace(": ", ":") for name, cell in zip(names, cells, strict=True))


@pytest.mark.parametrize(
    ("given", "shown"), [("[/x]", "[/x]"), ("[bold]a", "[bold]a"), ("\x1b[31mred\u202e", "\\x1b[31mred\\u202e")]
)
def test_text_of_a_record_is_no_markup_and_moves_no_cursor(
    given: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = table_of("key")
    add_row(table, given)
    print_table(table)
    assert shown in capsys.readouterr().out
    print_line(given)
    assert capsys.readouterr().out == f"{shown}\n"
    assert visible(given) == shown


@pytest.mark.parametrize("path", sorted(COMMANDS.glob("*.py")), ids=lambda path: path.stem)
def test_rows_are_added_in_one_place_and_no_text_is_markup(path: Path) -> None:
    """A cell that is a plain `str` would be read as markup: a key `[/x]` ended the whole command."""
    source = path.read_text(encoding="utf-8")
    assert path.name == "output.py" or not re.search(
        r"\.add_row\(|\.print\(table|\[/?(bold|red|green|yellow|dim)\b[^]]*\]", source
    )


def test_progress_is_for_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_of("people on the list") as progress:
        progress(1000)
    assert capsys.readouterr() == ("", "")


def test_progress_shows_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda **_options: Console(file=shown, force_terminal=True, width=80))
    with progress_of("people on the list") as progress:
        progress(1000)
    assert "people on the list: 1,000" in shown.getvalue()


def test_a_caption_is_one_line_however_narrow_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of("id")
    table.caption = "no consumer group has read anything yet"
    print_table(table)
    assert capsys.readouterr().out.splitlines()[-1] == "no consumer group has read anything yet"

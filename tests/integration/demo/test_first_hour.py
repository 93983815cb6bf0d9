"""docs/first-hour.md: its commands run as they are written, and print what it shows."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deadline import within
from tests.integration.demo.test_up import Up, environment, processes_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "first-hour.md"
MAKEFILE = DOCUMENT.parents[1] / "Makefile"
END = "end-of-command"


def sessions(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of the document's `console` blocks, and the lines that it shows of its output."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            yield command, [line for line in shown if line.strip(". ")]


def is_shown(line: str, output: str) -> bool:
    """Whether a line of output is what the document shows; `...` is any text."""
    pattern = ".*".join(map(re.escape, line.split("...")))
    return re.search(f"^{pattern}$", output, re.MULTILINE) is not None


def test_what_a_line_shows_is_compared() -> None:
    assert is_shown("a ... c", "x\na b c\n")
    assert not is_shown("a ... c", "x a b c\n")
    assert list(sessions("```console\n$ one\nout\n...\n$ two\n```\n```sh\nthree\n```")) == [
        ("one", ["out"]),
        ("two", []),
    ]


def test_the_first_terminal_runs_what_make_has() -> None:
    commands = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    targets = set(re.findall(r"make ([a-z]+)", "".join(commands)))
    assert targets == {"run"}
    assert "\nrun:" in MAKEFILE.read_text()


@pytest.mark.slow
def test_the_commands_of_the_first_hour_print_what_is_shown(tmp_path: Path) -> None:
    """From the second terminal on; what `make run` starts is started in a directory of its own, in one shell.

    The end of the story is not waited for: its first events have arrived. Ctrl-C ends all of it, as is written there.
    """
    with Up(tmp_path / ".data") as up:
        up.until(lambda: "people unsubscribed at Campaign Monitor" in up.output)  # what it published has arrived
        wrong = []
        steps = list(sessions(DOCUMENT.read_text()))
        script = "".join(f"{command}\necho {END} $?\n" for command, _shown in steps)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        shell = subprocess.run(
            ["bash", "-c", script],
            env={**environment(tmp_path / ".data"), "PATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        outputs = re.split(rf"^{END} (\d+)\n", shell.stdout, flags=re.MULTILINE)
        assert len(outputs) == 2 * len(steps) + 1, shell.stderr
        for (command, shown), output, code in zip(steps, outputs[0::2], outputs[1::2], strict=False):
            wrong += [f"$ {command}: {code}\n{output}"] if code != "0" else []
            wrong += [f"$ {command}\n{line}\nis not in\n{output}" for line in shown if not is_shown(line, output)]
        assert wrong == [], shell.stderr
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(10) == 0, up.output
        assert "Traceback" not in up.output
    within(10, lambda: not processes_of(tmp_path / ".data"))

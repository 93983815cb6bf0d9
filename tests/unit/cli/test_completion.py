"""Completion in real shells: each that is installed reads our script and is asked by its Tab key; bash always is."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.cli.verbs import VERBS

LINES = {
    "cm-streams ": (list(VERBS), []),
    "cm-streams dead": (["dead-letters"], ["auth"]),
    "cm-streams job c": (["create-export", "check"], ["start"]),
    "cm-streams dead-letters list --": (["--reason", "--json"], ["--follow"]),
}
"""What is typed before Tab -> words that are proposed, and words that are not."""

READY = "completion is ready"
SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        """bind 'set show-all-if-ambiguous on' 'set page-completions off' 'set bell-style none'
        source <(cm-streams completion bash)""",
    ),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit && compinit -u -D; source <(cm-streams completion zsh)"),
}
"""Shell -> how it is started on a terminal, and what it reads before the first Tab."""
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "TERM": "xterm",
    "COLUMNS": "200",
    "LINES": "60",
}


@contextmanager
def terminal(command: list[str], directory: Path) -> Iterator[int]:
    """Yield the other side of the terminal that a shell runs on."""
    ours, theirs = pty.openpty()
    environment = {**ENVIRONMENT, "HOME": str(directory)}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=directory, start_new_session=True
    )
    os.close(theirs)
    try:
        yield ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(shown: int, words: Iterable[str], seconds: float = 30) -> str:
    """Read what a terminal shows until all the words are in it, or the time is over."""
    text, end = "", time.monotonic() + seconds
    while not all(word in text for word in words) and time.monotonic() < end:
        if select.select([shown], [], [], 0.2)[0]:
            text += os.read(shown, 65_536).decode(errors="replace")
    return text


def wrong(line: str, shown: str) -> list[str]:
    """What a shell should have proposed and has not, or the other way round."""
    wanted, unwanted = LINES[line]
    faults = [f"{line}: no {word}" for word in wanted if word not in shown]
    return faults + [f"{line}: {word}" for word in unwanted if word in shown]


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_proposes_verbs_commands_and_options(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command, script = SHELLS[shell]
    faults = []
    with terminal(command, tmp_path) as keys:
        for line, (wanted, _unwanted) in LINES.items():
            os.write(keys, f"{script}; echo '{READY[:4]}''{READY[4:]}'\n".encode())
            assert READY in read_until(keys, [READY])
            os.write(keys, f"{line}\t".encode())
            faults += wrong(line, read_until(keys, wanted))
            os.write(keys, b"\x15")  # the line is emptied
            script = "true"
    assert faults == []


def test_fish_proposes_verbs_commands_and_options(tmp_path: Path) -> None:
    """Its pager is drawn for people: it is asked by what its Tab key asks."""
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    asked = "\n".join(f'complete -C "{line}"; echo {READY}' for line in LINES)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"cm-streams completion fish | source\n{asked}"],
        env={**ENVIRONMENT, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout.split(f"{READY}\n")
    assert [fault for line, text in zip(LINES, shown, strict=False) for fault in wrong(line, text)] == []
    assert len(shown) == len(LINES) + 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    command = [sys.executable, "-m", "streams.cli", "completion", shell]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"_CM_STREAMS_COMPLETE=complete_{shell}" in done.stdout

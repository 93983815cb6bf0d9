"""Completion in real shells: each that is installed reads our script and is asked as its Tab key does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli.__main__ import VERBS

ASKED = {
    "bash": """
source <(cm-streams completion bash)
COMP_WORDS=({words}) COMP_CWORD={last}
$(complete -p cm-streams | sed -E 's/.*-F ([^ ]+).*/\\1/') cm-streams
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    # zsh's completion needs a line editor: the variables are those that its script sets.
    "zsh": """
autoload -Uz compinit && compinit -u -D
source <(cm-streams completion zsh)
(( $+_comps[cm-streams] )) || exit 1
env _TYPER_COMPLETE_ARGS="{line}" _CM_STREAMS_COMPLETE=complete_zsh cm-streams
""",
    "fish": """
cm-streams completion fish | source
complete -C "{line}"
""",
}


def proposed(shell: str, line: str) -> str:
    """What a shell proposes for a line whose last word is being typed."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    words = line.split(" ")
    script = ASKED[shell].format(line=line, words=" ".join(f"'{word}'" for word in words), last=len(words) - 1)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = ["--norc", "--noprofile"] if shell == "bash" else []
    done = subprocess.run(
        [shell, *options, "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


@pytest.mark.parametrize("shell", ASKED)
@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        ("cm-streams ", list(VERBS), []),
        ("cm-streams dead", ["dead-letters"], ["auth"]),
        ("cm-streams job c", ["create-export", "check"], ["start"]),
        ("cm-streams dead-letters list --", ["--reason", "--json"], ["--follow"]),
    ],
)
def test_a_shell_proposes_verbs_commands_and_options(
    shell: str, line: str, wanted: list[str], unwanted: list[str]
) -> None:
    found = proposed(shell, line)
    assert all(word in found for word in wanted), found
    assert not any(word in found for word in unwanted), found


@pytest.mark.parametrize("shell", ASKED)
def test_each_shell_has_a_script(shell: str) -> None:
    command = [sys.executable, "-m", "streams.cli", "completion", shell]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"_CM_STREAMS_COMPLETE=complete_{shell}" in done.stdout

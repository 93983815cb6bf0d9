"""`cm-streams completion`: the script with which a shell completes verbs, commands and options.

The shell runs `cm-streams` at each Tab with the words so far in its environment, so what it proposes is always what
this release has.
"""

import enum
import os
from typing import Annotated

import typer
import typer.completion as typer_completion

PROGRAM = "cm-streams"
VARIABLE = "_CM_STREAMS_COMPLETE"
"""Set by the script when the shell wants proposals, as typer names it for this program."""


class Shell(enum.StrEnum):
    """Shells whose completion is supported."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell that will read it.", show_default=False)],
) -> None:
    """Print a script for completion by the shell, to be read at its start.

    bash: source <(cm-streams completion bash), in ~/.bashrc

    zsh: source <(cm-streams completion zsh), in ~/.zshrc behind compinit

    fish: cm-streams completion fish | source, in ~/.config/fish/config.fish
    """
    script = typer_completion.get_completion_script  # type: ignore[attr-defined]  # typer re-exports it
    typer.echo(script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell.value))


def answer_shells() -> None:
    """Have typer answer a shell that asks for proposals, where one does; else nothing is imported for it."""
    if VARIABLE in os.environ:
        typer_completion.completion_init()  # type: ignore[attr-defined]  # typer re-exports it

"""Exit codes: what each means, and which a command ends with. Help and the README's table are made of it."""

from collections.abc import Iterator
from typing import Any

from typer.core import TyperCommand

CODES = {
    0: "It is done.",
    1: "It could not be done, or something was found; a sentence names it.",
    2: "Wrong use: an unknown command, a missing or wrong option.",
    3: "There is no answer.",
    70: "It has failed; the log names why.",
    71: "Records wait, and for too long none was processed.",
    72: "It was paused for longer than its place in the group is kept.",
    73: "The rows could not be restored in time.",
    74: "The local store cannot be read or written, as on a full disk.",
    75: "A clean stop took too long.",
    78: "A setting, a topic or an address is wrong, or no broker answers: a restart alone does not help.",
    130: "Ctrl-C.",
}

USUAL = (0, 1, 2, 78, 130)
"""Of a command that asks the brokers, which most do."""
_WORKER = (0, 2, 70, 71, 72, 73, 74, 75, 78)
_SERVES = (0, 1, 2, 78)
"""Ctrl-C is a clean stop."""
_STORES = (0, 1, 2, 70, 73, 74, 78, 130)
_LOCAL = (0, 1, 2, 130)

UNUSUAL = {
    "worker profiles": _WORKER,
    "worker export": _WORKER,
    "connector": _SERVES,
    "webhooks": _SERVES,
    "console": _SERVES,
    "simulator": (0, 2, 78),
    "auth new-key": (0, 2),
    "export plan": (0, 1, 2, 3, 78, 130),
    "export reconcile": (0, 1, 2, 3, 78, 130),
    "validate": _LOCAL,
    "mapping check": _LOCAL,
    "mapping show": _LOCAL,
    "eval": (0, 2, 130),
    "explain": _LOCAL,
    "stores restore": _STORES,
    "stores discard": _STORES,
    "stores copy": _STORES,
    "completion": (0, 2),
}
"""Command -> its codes, where they are not the usual ones."""

MEANINGS = {
    ("up", 1): "A process failed; with --once also: the end was not what was expected.",
    ("up", 130): "Ctrl-C with --once; without it that is how it ends.",
    ("apply", 0): "The jobs are as the file has them.",
    ("apply", 1): "Something was refused, and nothing was written; with --dry-run also: something would change.",
    ("apply", 2): "The file is wrong, or an option.",
    ("auth test", 1): "It is refused, or a permission is missing.",
    ("job check", 1): "The job does not fit its account, or they could not be compared.",
    ("export plan", 3): "The job cannot be previewed; a sentence names why.",
    ("export reconcile", 1): "The list differs from what was delivered, or there is no such export.",
    ("export reconcile", 3): "They cannot be compared; a sentence names why.",
    ("validate", 1): "A line is faulty.",
    ("mapping check", 1): "A file cannot be used.",
    ("profile show", 1): "There is no profile.",
    ("check-topics", 78): "A topic is not as it should be, a setting is wrong, or no broker answers.",
}
"""(command, code) -> what it means there, where that is more than the code's own meaning."""


def codes_of(command: str) -> Iterator[tuple[str, str]]:
    """Yield (exit code, meaning) of a command, named by its words as `job list`."""
    for code in UNUSUAL.get(command, USUAL):
        yield str(code), MEANINGS.get((command, code), CODES[code])


class CommandWithCodes(TyperCommand):
    """A command whose help ends with its exit codes."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the exit codes below the options."""
        command = ctx.command_path.partition(" ")[2]
        with formatter.section("Exit codes"):
            formatter.write_dl(list(codes_of(command)))

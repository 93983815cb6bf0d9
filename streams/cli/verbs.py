"""`cm-streams`: one verb per thing that people do. Each group of them is a module, imported when it is used."""

import importlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from streams.cli import CONFIGURATION_ERROR, broker_seconds
from streams.cli.completion import answer_shells
from streams.cli.exit_codes import CODES, CommandWithCodes

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

# verb -> (module, attribute, help). A module is imported when its verb is used: `cm-streams lag` needs no Faust.
VERBS: dict[str, tuple[str, str, str]] = {
    "up": ("streams.cli.up", "up", "Start everything on this machine, with a demonstration."),
    "demo": ("streams.cli.demo", "demo", "Make the demonstration's jobs on processes that run, and play it."),
    "worker": ("streams.cli.processes", "worker", "Run a stream processor: export or profiles."),
    "connector": ("streams.cli.processes", "connector", "Run the import connector."),
    "webhooks": ("streams.cli.processes", "webhooks", "Run the webhook receiver."),
    "console": ("streams.cli.processes", "console", "Run the console: pages for authorizations and jobs."),
    "simulator": ("streams.cli.processes", "simulator", "Run a local Campaign Monitor."),
    "auth": ("streams.cli.authorizations", "app", "Authorizations: log in, add, test, list, rename, remove."),
    "token": ("streams.cli.tokens", "app", "Tokens for the console's API: create, list, revoke."),
    "job": ("streams.cli.jobs", "app", "Export and import jobs: create, edit, check, list, show, start, stop, remove."),
    "apply": ("streams.cli.jobs_file", "apply", "Make jobs equal to a file."),
    "get": ("streams.cli.jobs_file", "get", "Print jobs as a file that `apply` takes: get jobs -o yaml."),
    "audit": ("streams.cli.audit", "audit", "Changes that people made: who, when, what."),
    "account": ("streams.cli.account", "app", "What an account has: clients, lists, fields, segments."),
    "export": ("streams.cli.export", "app", "Plan an export, find and repair drift, list audiences."),
    "import": ("streams.cli.imports", "app", "Run an import and watch it."),
    "send-event": ("streams.cli.people", "send_event", "Publish one audience-membership event, rightly keyed."),
    "receipts": ("streams.cli.people", "receipts", "Receipts of audience-delivery, by person or job."),
    "validate": ("streams.cli.export", "validate", "Check audience-membership events, one JSON a line."),
    "mapping": ("streams.cli.mapping", "app", "Check, show and rebuild mappings."),
    "eval": ("streams.cli.mapping", "evaluate", "Evaluate mapping expressions, one JSON a line."),
    "explain": ("streams.cli.mapping", "explain", "Show what every mapping of a stream yields for a message."),
    "profile": ("streams.cli.profile", "app", "Show a person's profile: profile show EMAIL."),
    "erase": ("streams.cli.profile", "erase", "Erase a person everywhere."),
    "lag": ("streams.cli.topics", "lag", "Consumer lag by group, topic and partition."),
    "reset": ("streams.cli.topics", "reset", "Set a stopped processor's offsets of a topic back."),
    "stores": ("streams.cli.stores", "app", "A lost changelog: restore or rebuild it. More partitions: copy its rows."),
    "completion": ("streams.cli.completion", "completion", "Print the script for completion by bash, zsh or fish."),
    "check-topics": ("streams.cli.topics", "check_topics", "Check the topics, or create them."),
    "acls": ("streams.cli.acls", "acls", "Rules of access that brokers must have for each process."),
    "dead-letters": ("streams.cli.dead_letters", "app", "Dead letters: count, list, show, replay, discard."),
}


class Verbs(TyperGroup):
    """A group that imports a verb's module when the verb is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the verb's command, or None for an unknown verb."""
        if cmd_name not in VERBS:
            return None
        module, attribute, about = VERBS[cmd_name]
        return as_command(getattr(importlib.import_module(module), attribute), cmd_name, about)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the verbs from the table, without importing what is behind them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, about) for verb, (_module, _attribute, about) in VERBS.items()])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Propose verbs from the table, and options; no verb's module is imported."""
        from typer._click.shell_completion import CompletionItem

        found = [
            CompletionItem(verb, help=about) for verb, (_, _, about) in VERBS.items() if verb.startswith(incomplete)
        ]
        return [*found, *super(TyperGroup, self).shell_complete(ctx, incomplete)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write plain help: the rich one would import every verb."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in CODES.items()])


def as_command(target: Any, name: str, about: str) -> TyperCommand | TyperGroup:
    """Return a command for a typer app or a plain function; the help of each names its exit codes."""
    if isinstance(target, typer.Typer):
        app = target
    else:
        app = typer.Typer(add_completion=False)
        app.command(name=name, help=target.__doc__ or about)(target)
    for registered in app.registered_commands:
        if registered.cls is TyperCommand:
            registered.cls = CommandWithCodes
    app.rich_markup_mode = None  # its panels cut the names of options at 80 columns
    command = typer.main.get_command(app)
    command.name = name
    return command  # type: ignore[return-value]  # typer builds one of the two, and declares their common base


cli = typer.Typer(
    cls=Verbs,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they show local variables, and with them secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        typer.echo(f"cm-streams {importlib.metadata.version('cm-streams')}")
        raise typer.Exit


@cli.callback()
def about(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
    timeout: float = typer.Option(
        4.0, min=0.5, max=600, metavar="SECONDS", help="How long a command waits for the brokers' first answer."
    ),
) -> None:
    """Keep Kafka and Campaign Monitor in step: audiences out, subscribers and activity in, profiles from both."""
    broker_seconds.set(timeout)


def main() -> None:
    """Entry point: settings that are missing or wrong end in one sentence that names them."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would look for some in every installed package
    answer_shells()
    try:
        cli(prog_name="cm-streams")
    except ValueError as error:
        sentence = _wrong_setting(error)
        if not sentence:
            raise
        sys.stderr.write(sentence + "\n")
        sys.exit(CONFIGURATION_ERROR)


def _wrong_setting(error: ValueError) -> str:
    """Return the sentence for what settings raise; none for other errors, of commands that may need no settings."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    if isinstance(error, ValidationError):
        return settings_sentence(error)
    return unparsable_sentence(error) if isinstance(error, SettingsError) else ""


def settings_sentence(error: "ValidationError") -> str:
    """Return a sentence that names each wrong setting, what is wrong and how it is spelt in the environment.

    The value is never repeated: it may be a secret.
    """
    faults = []
    for fault in error.errors(include_input=False, include_url=False):
        name = "_".join(str(part) for part in fault["loc"])
        faults.append(f"{_environment_name(error.title, name)}: {fault['msg'].removeprefix('Value error, ')}")
    return "cm-streams cannot start, a setting is missing or wrong. " + "; ".join(faults)


def unparsable_sentence(error: "SettingsError") -> str:
    """Return a sentence that names a setting whose text is no JSON. The error holds the name of the field only."""
    from streams.readme import SETTINGS

    found = re.search(r'field "(\w+)"', str(error))
    field = found[1] if found else ""
    named = [_environment_name(settings.__name__, field) for settings in SETTINGS if field in settings.model_fields]
    return f"cm-streams cannot start, a setting is wrong. {' or '.join(named) or 'A setting'}: the text is not JSON"


def _environment_name(settings_class: str, field: str) -> str:
    from streams.readme import SETTINGS

    for settings in SETTINGS:
        if settings.__name__ == settings_class:
            prefix = str(settings.model_config.get("env_prefix", ""))
            return f"{prefix}{field}".upper()
    return field

"""`cm-streams acls`: the least that brokers must allow each process, from what the code declares."""

import enum
from dataclasses import asdict
from typing import Annotated, get_args

import typer

from connectors.kafka.acls import AccessRule, Usage, access_of, commands, dead_letter_inputs
from connectors.kafka.settings import KafkaSettings
from schemas.topic import Process
from streams.cli.control import refusals
from streams.cli.output import JsonLines, add_row, print_json, print_table, table_of


class ProcessName(enum.StrEnum):
    """What `--process` takes; a contract test compares it with `Process`."""

    EXPORT_WORKER = "export-worker"
    PROFILE_WORKER = "profile-worker"
    CONNECTOR = "connector"
    WEBHOOKS = "webhooks"
    CONSOLE = "console"
    CLI = "cli"


def acls(
    process: Annotated[
        list[ProcessName] | None, typer.Option("--process", help="Only for this process; may be repeated.")
    ] = None,
    principal: Annotated[
        str | None, typer.Option(help="Who runs it, as brokers name them; without it User:PROCESS.")
    ] = None,
    as_commands: Annotated[
        bool, typer.Option("--commands", help="As commands for kafka-acls.sh, which adds the rules.")
    ] = False,
    as_json: JsonLines = False,
) -> None:
    """Print the rules of access (ACLs) that each process needs, and no more. Brokers are not asked.

    Run it with the settings of the process: names of topics and groups, and mapped streams, follow from them.
    """
    with refusals():
        kafka = KafkaSettings()
        chosen = process or list(ProcessName)
        rules = [
            (principal or f"User:{name}", name.value, rule) for name in chosen for rule in process_access(kafka, name)
        ]
    if as_commands:
        for who, _name, rule in rules:
            for line in commands([rule], who, kafka.bootstrap_servers or "HOST:9092"):
                typer.echo(line)
    elif as_json:
        for who, name, rule in rules:
            print_json({"process": name, "principal": who, **asdict(rule)}, one_line=True)
    else:
        table = table_of("process", "principal", "resource", "name", "operations", "why")
        for who, name, rule in rules:
            shown = rule.name + ("*" if rule.pattern == "prefixed" else "")
            add_row(table, name, who, rule.resource, shown, ", ".join(rule.operations), rule.why)
        print_table(table)


def process_access(kafka: KafkaSettings, process: str) -> list[AccessRule]:
    """Return the rules for one process, by the settings of this environment.

    Raises:
        MappingError, FileNotFoundError: the mapped streams cannot be read.
    """
    (name,) = (known for known in get_args(Process) if known == process)
    return access_of(name, kafka.names(), _usage(kafka, name))


def _usage(kafka: KafkaSettings, process: Process) -> Usage:
    """Return the groups, transactional ids and further topics of a process, by the functions that it uses itself."""
    from connectors.control.authorizations import lock_group as authorization_lock
    from connectors.control.users import lock_group as users_lock
    from connectors.importer.settings import ImporterSettings
    from connectors.webhook.settings import WebhookSettings
    from schemas.topics import TOPICS
    from streams.dead_letters.replays import replay_group
    from streams.export.settings import ExportSettings
    from streams.profile.rebuild import rebuild_app_id
    from streams.profile.settings import ProfileSettings, catalog_of, source_topics

    prefix, profile = kafka.topic_prefix, ProfileSettings()
    groups: dict[Process, str] = {
        "export-worker": ExportSettings().consumer_group(prefix),
        "profile-worker": profile.consumer_group(prefix),
        "connector": ImporterSettings().consumer_group(prefix),
        # An operator's machine has no secret of the receiver; the group does not depend on it.
        "webhooks": WebhookSettings.model_validate({"secret": "not used here: 16+"}).consumer_group(prefix),
    }
    refreshes = {authorization_lock(kafka, ""): "writes an authorization alone"}
    match process:
        case "export-worker" | "webhooks":
            return Usage({groups[process]: "shares its partitions"}, refreshes)
        case "connector":
            group = groups[process]
            return Usage({group: "shares its partitions"}, refreshes, transactions=(group + "-",))
    known = set(map(kafka.names().__getitem__, TOPICS))
    added = tuple(topic for topic in source_topics(kafka, catalog_of(profile)).values() if topic not in known)
    if process == "profile-worker":
        return Usage({groups[process]: "shares its partitions"}, {}, sources=added)
    replays = tuple(replay_group(kafka, kafka.names()[role]) for role in dead_letter_inputs())
    replays += tuple(replay_group(kafka, topic) for topic in added)
    joined = {users_lock(kafka): "writes users alone", **dict.fromkeys(replays, "sends dead letters again")}
    rebuilds: tuple[str, ...] = ()
    if process == "cli":
        joined |= dict.fromkeys(groups.values(), "lag, reset, rebuild")
        rebuilds = (prefix + rebuild_app_id(profile, ""),)
    return Usage(
        joined, refreshes, temporary=rebuilds, seen=tuple(groups.values()), transactions=replays, sources=added
    )

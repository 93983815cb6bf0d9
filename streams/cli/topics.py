"""`cm-streams check-topics`: the topics against the table in schemas/topics.py."""

from collections.abc import Sequence
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from connectors.kafka.admin import TopicReport, TopicsRefusedError
from connectors.kafka.admin import check_topics as checked
from connectors.kafka.settings import KafkaSettings
from streams.cli.refusals import refusals


def check_topics(
    create: Annotated[bool, typer.Option("--create", help="Make the topics that are missing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a topic.")] = False,
) -> None:
    """Check that every topic is as it should be; exit code 78 and a sentence for each that is not.

    Topics that exist are never changed.
    """
    with refusals():
        reports = checked(KafkaSettings(), create=create)
        if as_json:
            for report in reports:
                typer.echo(as_object(report))
        else:
            Console().print(as_table(reports))
        problems = [problem for report in reports for problem in report.problems]
        if problems:
            raise TopicsRefusedError(problems)


def as_object(report: TopicReport) -> str:
    """Return one topic as JSON."""
    return orjson.dumps(
        {
            "topic": report.wanted.name,
            "partitions": report.wanted.partitions,
            "replication_factor": report.wanted.replication_factor,
            "config": dict(report.wanted.config),
            "created": report.created,
            "problems": report.problems,
        }
    ).decode()


def as_table(reports: Sequence[TopicReport]) -> Table:
    """Return all topics as a table."""
    table = Table("topic", "partitions", "replicas", "cleanup", "state")
    for report in reports:
        wanted = report.wanted
        state = "[red]wrong[/red]" if report.problems else "created" if report.created else "as it should be"
        cleanup = wanted.config["cleanup.policy"]
        table.add_row(wanted.name, str(wanted.partitions), str(wanted.replication_factor), cleanup, state)
    return table

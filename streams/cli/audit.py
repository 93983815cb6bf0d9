"""`cm-streams audit`: the changes that people made, by command, page or API."""

from collections.abc import Iterator
from typing import Annotated

import typer

from connectors.control.audit import newest_changes
from schemas.control import AuditRecord
from streams.cli.control import kafka_settings, refusals
from streams.cli.output import JsonLines, add_row, print_table, table_of


def audit(
    kind: Annotated[str | None, typer.Option(help="Only changes of this kind: job, authorization, user, ...")] = None,
    changed: Annotated[
        str | None, typer.Option("--id", help="Only changes of this job, authorization or user.")
    ] = None,
    who: Annotated[str | None, typer.Option(help="Only changes by this person.")] = None,
    last: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
    as_json: JsonLines = False,
) -> None:
    """Show the changes that people made, the oldest first: who, when, what, before and after without secrets."""
    with refusals():
        newest = newest_changes(kafka_settings(), last, kind=kind, changed=changed, who=who)
    found = [change.record for change in reversed(newest)]
    if as_json:
        for record in found:
            typer.echo(record.to_bytes().decode())
        return
    table = table_of("when (UTC)", "who", "by", "kind", "id", "action", "changes")
    for record in found:
        what = ", ".join(_lines(record)) if record.action == "edit" else ""
        when = f"{record.at:%Y-%m-%d %H:%M:%S}"
        add_row(table, when, record.who, record.via, record.kind, record.id, record.action, what)
    print_table(table)


def _lines(record: AuditRecord) -> Iterator[str]:
    for change in record.changes:
        yield f"{change.field}: {change.before or 'none'} -> {change.after or 'none'}"

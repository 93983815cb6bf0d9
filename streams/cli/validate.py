"""`cm-streams validate < events.jsonl`: each line's fault, with its field path, before anything is published."""

import sys
import time
from typing import Annotated

import orjson
import typer

from streams.cli.refusals import FAILED
from streams.export.intake.decode import FUTURE_TOLERANCE_MS, UnreadableEvent, decode


def validate(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a faulty line, for other programs.")] = False,
) -> None:
    """Check audience-membership events from standard input, one JSON a line; also CloudEvents and Lytics triggers.

    Prints `line N: where: what` for each fault, and a summary. Ends with 1 when a line is faulty.
    """
    lines = faults = 0
    now = int(time.time() * 1000)
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if not line.strip():
            continue
        lines += 1
        event = decode(line.strip(), (), number, now)
        if isinstance(event, UnreadableEvent):
            faults += 1
            _show(number, event.stage, event.reason, as_json)
        elif event.at >= now + FUTURE_TOLERANCE_MS:
            faults += 1
            _show(number, "schema", "at: lies in the future, and would be cut", as_json)
    if not as_json:
        typer.echo(f"{lines} lines, {faults} faulty" if faults else f"{lines} lines, all good")
    if faults:
        raise typer.Exit(FAILED)


def _show(number: int, stage: str, reason: str, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps({"line": number, "stage": str(stage), "reason": reason}))
    else:
        typer.echo(f"line {number}: {reason}")

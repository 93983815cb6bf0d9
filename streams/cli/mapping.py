"""`cm-streams mapping`, `eval` and `explain`: mappings checked, shown and tried out."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import orjson
import typer

from schemas.envelope import EpochMillis
from streams.control.mappings import ExplainError, explained_as_object, explained_message, value_text
from streams.mapping.catalog import load_catalog, read_catalog
from streams.mapping.compile.evaluate import NO_VALUE, Dated, Explained, evaluator
from streams.mapping.dates import read_instant
from streams.mapping.syntax.expressions import MappingError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Check, show and rebuild mappings.")

FILES = typer.Argument(help="Mapping files; several are also checked against each other.")
DIRECTORIES = typer.Option(
    [], "--dir", help="Directory of .lql files; may be repeated. Default: the built-in mappings."
)
MAX_LINE_BYTES = 8 << 20
"""A line of `eval`; longer ones are answered with an error."""


@app.command()
def check(files: list[Path] = FILES) -> None:
    """Check mapping files: exit code 1 and file:line:column when one cannot be used."""
    try:
        catalog = read_catalog([(str(file), _text_of(file)) for file in files])
    except MappingError as error:
        _fail(str(error))
    for name, stream in catalog.streams.items():
        typer.echo(f"{stream.mapping.file}: stream {name}, {len(stream.mapping.mappings)} mappings, all right")
    typer.echo(f"{len(catalog.layout.fields)} profile fields, version {catalog.version}")


@app.command()
def show(stream: str = typer.Argument("", help="Only this stream."), directories: list[Path] = DIRECTORIES) -> None:
    """Show the Python function that each stream's mappings are compiled to."""
    try:
        catalog = load_catalog(*directories)
    except (MappingError, OSError) as error:
        _fail(str(error))
    if stream and stream not in catalog.streams:
        _fail(f"there is no stream {stream}; there are {', '.join(catalog.streams)}")
    typer.echo(f"# mapping version {catalog.version}")
    for name, compiled in catalog.streams.items():
        if stream in ("", name):
            typer.echo(f"\n{compiled.source}")


@app.command()
def rebuild(
    switch: bool = typer.Option(False, "--switch", help="Put the rebuilt profiles in place; stop the workers before."),
    diff: bool = typer.Option(False, "--diff", help="Only show which profiles differ from the running ones."),
    as_json: bool = typer.Option(False, "--json", help="One JSON line for each profile that differs."),
) -> None:
    """Rebuild all profiles under the configured mappings, beside the running ones.

    1. `rebuild` with the new mappings configured (PROFILE_MAPPING_DIR, ...), while the workers run with the old ones;

    2. `rebuild --diff` shows what would change;

    3. stop the workers, `rebuild --switch`, start them with the new mappings.
    """
    from streams.cli.control import kafka_settings, record, refusals
    from streams.process import StreamsSettings
    from streams.profile.rebuild import Rebuild, RebuildError, RebuildProgress
    from streams.profile.settings import ProfileSettings

    def report(progress: RebuildProgress) -> None:
        typer.echo(f"{progress.done} of {progress.total} records", err=True)

    with refusals():
        try:
            kafka = kafka_settings()
            work = Rebuild(StreamsSettings(), kafka, ProfileSettings())
            if switch or not diff:
                action = "switch" if switch else "rebuild"
                asyncio.run(record(kafka, "mapping", work.catalog.version, action))
            if switch:
                typer.echo(f"{asyncio.run(work.switch())} records written to {work.running}", err=True)
                work.clean()
                return
            if not diff:
                asyncio.run(work.build(report))
            count = 0
            for found in work.differences():
                count += 1
                typer.echo(_difference(found.email, found.fields, as_json))
            typer.echo(f"{count} profiles differ under version {work.catalog.version} ({work.shadow})", err=True)
        except (RebuildError, MappingError, FileNotFoundError) as error:
            _fail(str(error))


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as failure:
        return _fail(f"{file} cannot be read: {failure.strerror}")
    except UnicodeDecodeError as fault:
        return _fail(f"{file} is no text in UTF-8: {fault.reason} at byte {fault.start}")


def _difference(email: str, fields: dict[str, tuple[Any, Any]], as_json: bool) -> str:
    if as_json:
        changes = {name: {"now": now, "rebuilt": rebuilt} for name, (now, rebuilt) in fields.items()}
        return orjson.dumps({"email": email, "fields": changes}).decode()
    lines = [f"    {name}: {value_text(now)} -> {value_text(rebuilt)}" for name, (now, rebuilt) in fields.items()]
    return "\n".join([email, *lines])


def evaluate() -> None:
    """Evaluate JSON lines {"expr": "...", "message": {...}, "at": "RFC 3339"} from standard input.

    Each gives one line: {"value": ...}, {"no_value": true} or {"error": "..."}. A condition gives true or false. With
    "messages": [...] the value is the field after folding them in order; "kind" applies a field's kind.
    """
    write, flush = sys.stdout.buffer.write, sys.stdout.buffer.flush
    for line in sys.stdin.buffer:
        if line.strip():
            write(answer(line) + b"\n")
            flush()


def explain(
    stream: str = typer.Argument(help="The stream that the message belongs to."),
    directories: list[Path] = DIRECTORIES,
    as_json: bool = typer.Option(False, "--json", help="One JSON line for each mapping."),
) -> None:
    """Show every mapping of a stream for the message on standard input: condition, value, or why there is none."""
    try:
        catalog = load_catalog(*directories)
        made = explained_message(catalog, stream, sys.stdin.buffer.read(), datetime.now(UTC))
    except (ExplainError, MappingError, OSError) as error:
        _fail(str(error))
    for found in made:
        typer.echo(orjson.dumps(explained_as_object(found)).decode() if as_json else _as_text(found))


def answer(line: bytes) -> bytes:
    """Return the answer to one line of `eval`; whatever is wrong with it becomes {"error": ...}."""
    try:
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"the line has {len(line)} bytes; the limit is {MAX_LINE_BYTES}")
        value = _evaluated(orjson.loads(line))
        return orjson.dumps({"no_value": True} if value is NO_VALUE else {"value": value})
    except (ValueError, TypeError, RecursionError, orjson.JSONEncodeError) as error:
        return orjson.dumps({"error": str(error).encode("utf-8", "replace").decode()})


def _evaluated(asked: Any) -> Any:
    if not isinstance(asked, dict) or not isinstance(asked.get("expr"), str):
        raise ValueError('a line is a JSON object with "expr", "message" or "messages", and perhaps "at"')
    kind = asked.get("kind")
    if kind is not None and not isinstance(kind, str):
        raise ValueError('"kind" is the name of a kind, as text')
    compiled = evaluator(asked["expr"], kind)
    if "messages" in asked:
        return compiled.of_messages(list(_dated(asked["messages"], asked.get("at"))))
    return compiled.of_message(_one(asked.get("message", {}), asked.get("at")))


def _one(message: Any, at: Any) -> Dated:
    if not isinstance(message, dict):
        raise ValueError('"message" is a JSON object')
    return Dated(message, _instant(at) if at is not None else _time_of(message))


def _dated(messages: Any, at: Any) -> Iterator[Dated]:
    """The messages with their times: own wrapper `{"message": ..., "at": ...}`, own field `at`, or the line's `at`.

    The line's `at` may also be a list, one time for each message.
    """
    if not isinstance(messages, list):
        raise ValueError('"messages" is a list of JSON objects')
    times = at if isinstance(at, list) else [at] * len(messages)
    if len(times) != len(messages):
        raise ValueError(f'"at" has {len(times)} times for {len(messages)} messages')
    for message, given in zip(messages, times, strict=True):
        own = message
        wrapped = isinstance(message, dict) and isinstance(message.get("message"), dict)
        if wrapped and set(message) <= {"message", "at", "event_id"}:
            own, given = message["message"], message.get("at", given)
        if not isinstance(own, dict):
            raise ValueError("a message is a JSON object")
        shared = own is message and not isinstance(at, list) and "at" in own
        event_id = message.get("event_id", own.get("event_id"))
        time = _time_of(own) if shared or given is None else _instant(given)
        yield Dated(own, _optional(given) if time is None else time, event_id if isinstance(event_id, str) else None)


def _instant(text: Any) -> EpochMillis:
    found = read_instant(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f'"at" is not an RFC 3339 date and time: {text!r}')
    return found


def _optional(text: Any) -> EpochMillis | None:
    return None if text is None else _instant(text)


def _time_of(message: dict[str, Any]) -> EpochMillis | None:
    at = message.get("at")
    return read_instant(at) if isinstance(at, str) else None


def _as_text(found: Explained) -> str:
    lines = [f"{found.field}  <-  {found.expression}  ({found.kind})"]
    if found.condition is not None:
        holds = {True: "true", False: "false", None: "cannot be evaluated"}[found.holds]
        lines.append(f"    IF {found.condition}: {holds}")
    shown = f"no value: {found.why}" if found.value is None else orjson.dumps(found.value).decode()
    return "\n".join([*lines, f"    = {shown}"])


def _fail(problem: str) -> NoReturn:
    typer.echo(problem, err=True)
    raise typer.Exit(1)

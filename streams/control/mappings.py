"""Mappings as people look at them: the files, what they make of a message, and what a rebuild would change."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from streams.mapping.catalog import Catalog
from streams.mapping.compile.evaluate import Explained
from streams.mapping.compile.evaluate import explain as explained
from streams.mapping.dates import read_instant
from streams.mapping.syntax.check import kind_of
from streams.mapping.syntax.expressions import spell

if TYPE_CHECKING:  # with them comes Kafka, which commands about files do without
    from connectors.kafka.settings import KafkaSettings
    from streams.profile.rebuild import ProfileDifference


class ExplainError(ValueError):
    """A message cannot be explained; the text is the sentence."""


class MappingOfField(NamedTuple):
    """How one stream gives a field its value."""

    stream: str
    expression: str
    condition: str | None
    kind: str


class RebuildChanges(NamedTuple):
    """Profiles that would change, and whether there are more."""

    version: str
    shown: list["ProfileDifference"]
    has_more: bool


def explained_message(
    catalog: Catalog, stream: str, text: str | bytes, now: datetime, field: str | None = None
) -> list[Explained]:
    """Return what every mapping of a stream, or of one field, makes of a message (pure).

    A message without a time of its own is taken as of `now`. Raises ExplainError.
    """
    if stream not in catalog.streams:
        raise ExplainError(f"there is no stream {stream}; there are {', '.join(catalog.streams)}")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ExplainError(f"the message is no JSON: {error}") from None
    if not isinstance(message, dict):
        raise ExplainError("the message is no JSON object")
    at = message.get("at")
    instant = read_instant(at) if isinstance(at, str) else None
    mapped = catalog.streams[stream].mapping
    if field is not None:
        mapped = replace(mapped, mappings=tuple(found for found in mapped.mappings if found.field == field))
    return list(explained(mapped, message, int(now.timestamp() * 1000) if instant is None else instant))


def mappings_of(catalog: Catalog, field: str) -> Iterator[MappingOfField]:
    """Yield the mappings of a field, by stream (pure)."""
    for name, stream in catalog.streams.items():
        for mapping in stream.mapping.mappings:
            if mapping.field == field:
                condition = None if mapping.condition is None else spell(mapping.condition)
                yield MappingOfField(name, spell(mapping.expression), condition, kind_of(mapping))


def explained_as_object(found: Explained) -> dict[str, Any]:
    """Return what one mapping made of a message as JSON; what does not apply is left out."""
    stated = {name: getattr(found, name) for name in ("field", "expression", "kind", "condition", "holds")}
    return {key: value for key, value in stated.items() if value is not None} | (
        {"no_value": True, "why": found.why} if found.value is None else {"value": found.value}
    )


def value_text(value: Any) -> str:
    """Return a field's value as JSON text; absent where there is none."""
    return "absent" if value is None else orjson.dumps(value).decode()


def rebuild_changes(kafka: "KafkaSettings", count: int) -> RebuildChanges:
    """Return profiles that differ between the running ones and those that `cm-streams mapping rebuild` has built.

    Blocks. Raises RebuildError where nothing is built, MappingError, FileNotFoundError.
    """
    from streams.process import StreamsSettings
    from streams.profile.rebuild import Rebuild
    from streams.profile.settings import ProfileSettings

    work = Rebuild(StreamsSettings(), kafka, ProfileSettings())
    with closing(work.differences()) as differences:
        found = list(islice(differences, count + 1))
    return RebuildChanges(work.catalog.version, found[:count], len(found) > count)

"""A person as pages and programs see them: what topics hold, names of audiences, and the events behind a field."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from connectors.kafka.settings import KafkaSettings
from schemas.identity import key_of
from streams.control.audiences import audience_names
from streams.control.mappings import explained_message, value_text
from streams.control.people import KnownPerson, PersonEvent, person
from streams.export.rules.jobs import AudienceNames
from streams.mapping.catalog import Catalog
from streams.profile.settings import ProfileSettings, catalog_of

READ_SECONDS = 12.0
"""For a person's partitions, each to its end; less than a page waits."""


class ValueFromEvent(NamedTuple):
    """An event that gives a field a value by itself."""

    event: PersonEvent
    value: str


class PersonView(NamedTuple):
    """What is known of a person, and what is needed to show it."""

    found: KnownPerson
    names: AudienceNames
    catalog: Catalog
    values: list[ValueFromEvent]
    """Of the field that is looked at."""


def person_view(kafka: KafkaSettings, address: str, field: str = "") -> PersonView:
    """Read what is known of a normalised address. Blocks. Raises ReadError, SnapshotError, MappingError."""
    catalog = catalog_of(ProfileSettings())
    found = person(kafka, key_of(address), catalog.streams, READ_SECONDS)
    names = audience_names(kafka) if found.audiences or found.lists else AudienceNames()
    values = list(field_values(catalog, found.events, field)) if field else []
    return PersonView(found, names, catalog, values)


def field_values(catalog: Catalog, events: Sequence[PersonEvent], field: str) -> Iterator[ValueFromEvent]:
    """Yield the events that give a field a value, each by itself (pure)."""
    for event in events:
        appended = datetime.fromtimestamp(event.record.timestamp_ms / 1_000, UTC)
        for made in explained_message(catalog, event.stream, event.record.value or b"", appended, field):
            if made.value is not None:
                yield ValueFromEvent(event, value_text(made.value))


def audience_name(names: AudienceNames, audience: str) -> str:
    """Return what people read for an audience: its name, or its id where no event has named it (pure)."""
    entry = names.get(audience)
    return audience if entry is None else entry.name

"""People, by e-mail address: audiences, lists, receipts, profile with mappings and events; and how to be forgotten."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from schemas.identity import digest_of, key_of, normalise_email
from streams.console.context import Console, Route, Visit
from streams.control.audiences import audience_names
from streams.control.mappings import explained_message, mappings_of, value_text
from streams.control.people import KnownPerson, PersonEvent, delete_subscriber, person
from streams.export.rules.jobs import AudienceNames
from streams.mapping.catalog import Catalog
from streams.profile.settings import ProfileSettings, catalog_of

READ_SECONDS = 12.0
"""For a person's partitions, each to its end; less than a page waits."""
ERASE_SECONDS = 10.0
"""For a profile worker's receipt; without one the request is stored."""


class ValueFromEvent(NamedTuple):
    """An event that gives a field a value by itself."""

    event: PersonEvent
    value: str


class PersonView(NamedTuple):
    """What the page shows of a person."""

    found: KnownPerson
    names: AudienceNames
    catalog: Catalog
    values: list[ValueFromEvent]
    """Of the field that is looked at."""


async def show(visit: Visit) -> web.StreamResponse:
    """Show the form, and what is known of an address."""
    return await _shown(visit, visit.asked("email"), visit.asked("field"))


async def erase(visit: Visit) -> web.StreamResponse:
    """Forget a person: on the lists that are checked, then the profile, under this and every former address."""
    from streams.profile.erasure import NoReceiptError
    from streams.profile.erasure import erase as ask

    console, given = visit.console, visit.text("email")
    address = normalise_email(given)
    if address is None or normalise_email(visit.text("confirm")) != address:
        fault = "Nothing was erased: the address that confirms it is another one."
        return await _shown(visit, given, "", 422, fault)
    await console.audit.note("person", digest_of(address), "erase")
    deleted = []
    for list_id in visit.texts("list"):
        job = next((job for job in console.jobs.exports().values() if job.list_id == list_id), None)
        if job is None:
            raise LookupError(f"No job exports to list {list_id}.")
        await delete_subscriber(await console.apis.api(job.authorization_id), list_id, address)
        deleted.append(list_id)
    lists = f" Deleted from {len(deleted)} list{'s' if len(deleted) > 1 else ''}." if deleted else ""
    try:
        receipt = await ask(console.kafka, address, ERASE_SECONDS)
    except NoReceiptError as late:
        return visit.page("sentence.html", 202, heading="Erasure is stored", sentence=f"{late}.{lists}")
    outcome = "The profile is erased." if receipt.outcome == "erased" else "There was no profile under this address."
    sentence = f"{outcome}{lists} Receipt {receipt.request_id}, {receipt.erased_at}."
    return visit.page("sentence.html", heading="Erased", sentence=sentence)


async def _shown(visit: Visit, given: str, field: str, status: int = 200, fault: str = "") -> web.StreamResponse:
    address = normalise_email(given) if given else None
    faults = [fault] if fault else []
    if given and address is None:
        status, faults = 422, [*faults, "This is no e-mail address."]
    if address is None:
        return visit.page("people.html", status, faults=faults, given=given)
    view = await visit.console.reads.of(lambda: _view(visit.console, address, field))
    jobs = {job.list_id: job.name or job.id for job in visit.console.jobs.exports().values()}
    return visit.page(
        "person.html",
        status,
        faults=faults,
        email=address,
        field=field,
        person=view.found,
        name_of=lambda audience: _name(view.names, audience),
        job_of=lambda list_id: jobs.get(list_id, ""),
        can_delete=jobs.keys() & {held.list_id for held in view.found.lists},
        fields=list(_fields(view.found.profile or {})),
        mappings=list(mappings_of(view.catalog, field)),
        values=view.values,
        text_of=lambda message: orjson.dumps(message, option=orjson.OPT_INDENT_2).decode(),
        day=_day,
    )


def _view(console: Console, address: str, field: str) -> PersonView:
    """Read what is known. Blocks. Raises ReadError, SnapshotError, MappingError."""
    catalog = catalog_of(ProfileSettings())
    found = person(console.kafka, key_of(address), catalog.streams, READ_SECONDS)
    names = audience_names(console.kafka) if found.audiences or found.lists else AudienceNames()
    values = list(field_values(catalog, found.events, field)) if field else []
    return PersonView(found, names, catalog, values)


def field_values(catalog: Catalog, events: Sequence[PersonEvent], field: str) -> Iterator[ValueFromEvent]:
    """Yield the events that give a field a value, each by itself (pure)."""
    for event in events:
        appended = datetime.fromtimestamp(event.record.timestamp_ms / 1_000, UTC)
        for made in explained_message(catalog, event.stream, event.record.value or b"", appended, field):
            if made.value is not None:
                yield ValueFromEvent(event, value_text(made.value))


def _fields(profile: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in profile.items():
        yield name, value if isinstance(value, str) else value_text(value)


def _name(names: AudienceNames, audience: str) -> str:
    entry = names.get(audience)
    return audience if entry is None else entry.name


def _day(ms: int | None) -> str:
    if ms is None or ms < 0:
        return "not known"
    return f"{datetime.fromtimestamp(ms / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"


ROUTES = (
    Route("GET", "/people", "viewer", show),
    Route("POST", "/people/erase", "operator", erase),
)

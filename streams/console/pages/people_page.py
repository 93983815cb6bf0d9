"""People, by e-mail address: audiences, lists, receipts, profile with mappings and events; and how to be forgotten."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from schemas.identity import normalise_email
from streams.console.context import Route, Visit
from streams.control.erasures import erase_person
from streams.control.mappings import mappings_of, value_text
from streams.control.person_views import audience_name, person_view


async def show(visit: Visit) -> web.StreamResponse:
    """Show the form, and what is known of an address."""
    return await _shown(visit, visit.asked("email"), visit.asked("field"))


async def erase(visit: Visit) -> web.StreamResponse:
    """Forget a person: on the lists that are checked, then the profile, under this and every former address."""
    console, given = visit.console, visit.text("email")
    address = normalise_email(given)
    if address is None or normalise_email(visit.text("confirm")) != address:
        fault = "Nothing was erased: the address that confirms it is another one."
        return await _shown(visit, given, "", 422, fault)
    done = await erase_person(
        console.kafka, console.audit, console.jobs, console.apis.api, address, visit.texts("list")
    )
    lists = f" Deleted from {len(done.deleted)} list{'s' if len(done.deleted) > 1 else ''}." if done.deleted else ""
    if done.receipt is None:
        return visit.sentence(202, "Erasure is stored", f"{done.late}.{lists}")
    receipt = done.receipt
    outcome = "The profile is erased." if receipt.outcome == "erased" else "There was no profile under this address."
    sentence = f"{outcome}{lists} Receipt {receipt.request_id}, {receipt.erased_at}."
    return visit.sentence(200, "Erased", sentence)


async def _shown(visit: Visit, given: str, field: str, status: int = 200, fault: str = "") -> web.StreamResponse:
    address = normalise_email(given) if given else None
    faults = [fault] if fault else []
    if given and address is None:
        status, faults = 422, [*faults, "This is no e-mail address."]
    if address is None:
        return visit.page("people.html", status, faults=faults, given=given)
    view = await visit.console.reads.of(lambda: person_view(visit.console.kafka, address, field))
    jobs = {job.list_id: job.name or job.id for job in visit.console.jobs.exports().values()}
    return visit.page(
        "person.html",
        status,
        faults=faults,
        email=address,
        field=field,
        person=view.found,
        name_of=lambda audience: audience_name(view.names, audience),
        job_of=lambda list_id: jobs.get(list_id, ""),
        can_delete=jobs.keys() & {held.list_id for held in view.found.lists},
        fields=list(_fields(view.found.profile or {})),
        mappings=list(mappings_of(view.catalog, field)),
        values=view.values,
        text_of=lambda message: orjson.dumps(message, option=orjson.OPT_INDENT_2).decode(),
        day=_day,
    )


def _fields(profile: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in profile.items():
        yield name, value if isinstance(value, str) else value_text(value)


def _day(ms: int | None) -> str:
    if ms is None or ms < 0:
        return "not known"
    return f"{datetime.fromtimestamp(ms / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"


ROUTES = (
    Route("GET", "/people", "viewer", show),
    Route("POST", "/people/erase", "operator", erase),
)

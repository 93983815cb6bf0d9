"""One person by e-mail address: what is known, the events behind a field, an event sent, and erasure."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import ConfigDict, Field, RootModel

from schemas.audience_delivery import DeliveryReceipt
from schemas.audience_membership import AudienceChange, AudienceMembership, AudienceSnapshot
from schemas.cm_profile import ErasureReceipt
from schemas.envelope import Instant
from schemas.identity import normalise_email
from streams.console.api.operation import ApiAnswer, Call, Operation, RequestBody
from streams.console.api.problems import ApiRefusal
from streams.control.erasures import NotExportedError, erase_person
from streams.control.mappings import mappings_of
from streams.control.people import NoAddressError, PersonEvent, publish_event
from streams.control.person_views import audience_name, person_view


class PersonAudienceAnswer(ApiAnswer):
    """An audience that the person was in."""

    audience: str
    name: str
    inside: bool
    since: Instant | None = Field(description="Event time of the last change; null: before the first snapshot.")


class PersonOnListAnswer(ApiAnswer):
    """What a list is known to hold for the person."""

    address: str | None = Field(description="The subscriber's address; null: not known to be on the list.")
    audiences: list[str]
    code: int = Field(description="Campaign Monitor's code of the refusal in force; 0: none.")
    list: str


class PersonEventAnswer(ApiAnswer):
    """A record behind the profile."""

    stream: str
    topic: str
    partition: int
    offset: int
    appended_at: Instant
    message: dict[str, Any]


class PersonAnswer(ApiAnswer):
    """What is known of an address: empty where nothing is."""

    email: str = Field(description="As it is the key of records.")
    audiences: list[PersonAudienceAnswer]
    lists: list[PersonOnListAnswer]
    receipts: list[DeliveryReceipt] = Field(description="The newest 200, the newest first.")
    profile: dict[str, Any] | None = Field(description="Every field with its value; null: there is no profile.")
    events: list[PersonEventAnswer] = Field(description="The newest 200 records behind it, the newest first.")


class FieldMappingAnswer(ApiAnswer):
    """How one stream gives a field its value."""

    stream: str
    expression: str
    condition: str | None
    kind: str


class FieldValueAnswer(PersonEventAnswer):
    """An event that gives a field a value by itself."""

    value: str = Field(description="As JSON.")


class FieldAnswer(ApiAnswer):
    """A field of a profile, and where its value is from."""

    field: str
    value: Any = Field(description="Null: the profile has none.")
    mappings: list[FieldMappingAnswer]
    events: list[FieldValueAnswer]


class ErasureRequest(RequestBody):
    """An erasure, which is confirmed by the address."""

    confirm: str = Field(max_length=320, description="The address again.")
    lists: list[str] = Field(
        default_factory=list, max_length=100, description="Lists of jobs, from which the subscriber is deleted, too."
    )


class ErasureAnswer(ApiAnswer):
    """What was erased."""

    outcome: Literal["erased", "unknown", "stored"] = Field(
        description="unknown: there was no profile. stored: no worker has answered yet; one does it as soon as it runs."
    )
    deleted_from: list[str]
    receipt: ErasureReceipt | None


class _Change(AudienceChange):
    model_config = ConfigDict(extra="forbid", title="ChangeEvent")


class _Snapshot(AudienceSnapshot):
    model_config = ConfigDict(extra="forbid", title="SnapshotEvent")


class EventRequest(RootModel[Annotated[_Change | _Snapshot, Field(discriminator="change")]]):
    """A change of one person's audiences, as upstream publishes it."""


class EventAnswer(ApiAnswer):
    """Where the event is."""

    topic: str
    partition: int
    offset: int


async def show_person(call: Call) -> PersonAnswer:
    """Show a person: audiences, what each list holds, receipts, the profile, and the events behind it."""
    address = _address(call)
    view = await call.console.reads.of(lambda: person_view(call.console.kafka, address))
    found = view.found
    return PersonAnswer(
        email=address,
        audiences=[
            PersonAudienceAnswer(
                audience=known.audience,
                name=audience_name(view.names, known.audience),
                inside=known.inside,
                since=None if known.since_ms is None else _instant(known.since_ms),
            )
            for known in found.audiences
        ],
        lists=[
            PersonOnListAnswer(list=held.list_id, address=held.address, audiences=held.audiences, code=held.code)
            for held in found.lists
        ],
        receipts=found.receipts,
        profile=found.profile,
        events=[PersonEventAnswer(**_event(event)) for event in found.events],
    )


async def show_field(call: Call) -> FieldAnswer:
    """Show a field of a profile: its value, the mappings that make it, and the events that give it a value."""
    address, field = _address(call), call.part("field")
    view = await call.console.reads.of(lambda: person_view(call.console.kafka, address, field))
    mappings = list(mappings_of(view.catalog, field))
    profile = view.found.profile or {}
    if not mappings and field not in profile:
        raise ApiRefusal(404, f"There is no field {field}.")
    return FieldAnswer(
        field=field,
        value=profile.get(field),
        mappings=[FieldMappingAnswer(**mapping._asdict()) for mapping in mappings],
        events=[FieldValueAnswer(**_event(found.event), value=found.value) for found in view.values],
    )


async def erase(call: Call) -> ErasureAnswer:
    """Forget a person: on the lists that are named, then the profile, under this and every former address."""
    console, address, body = call.console, _address(call), call.sent(ErasureRequest)
    if normalise_email(body.confirm) != address:
        raise ApiRefusal(409, "Nothing was erased: the address that confirms it is another one.")
    try:
        done = await erase_person(console.kafka, console.audit, console.jobs, console.apis.api, address, body.lists)
    except NotExportedError as fault:
        raise ApiRefusal(409, f"{fault}") from None
    outcome = "stored" if done.receipt is None else done.receipt.outcome
    return ErasureAnswer(outcome=outcome, deleted_from=done.deleted, receipt=done.receipt)


async def send_event(call: Call) -> EventAnswer:
    """Publish one event to audience-membership, in the partition of the person's key."""
    console, sent = call.console, call.sent(EventRequest).root
    try:
        place = await publish_event(console.kafka, console.producer, console.audit, AudienceMembership(sent))
    except NoAddressError as fault:
        raise ApiRefusal(422, f"{fault}.") from None
    except orjson.JSONEncodeError:
        raise ApiRefusal(422, "A number of the event has more than 64 bits.") from None
    return EventAnswer(topic=place.topic, partition=place.partition, offset=place.offset)


def _address(call: Call) -> str:
    """Return the normalised address of the path. Raises ApiRefusal."""
    address = normalise_email(call.part("email"))
    if address is None:
        raise ApiRefusal(422, "This is no e-mail address.")
    return address


def _event(event: PersonEvent) -> dict[str, Any]:
    record = event.record
    return {
        "stream": event.stream,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "appended_at": _instant(record.timestamp_ms),
        "message": event.message,
    }


def _instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)


PERSON = "/people/{email}"

OPERATIONS = (
    Operation(method="GET", path=PERSON, needs="viewer", handle=show_person, answer=PersonAnswer, problems=(422,)),
    Operation(
        method="GET",
        path=f"{PERSON}/fields/{{field}}",
        needs="viewer",
        handle=show_field,
        answer=FieldAnswer,
        problems=(422,),
    ),
    Operation(
        method="POST",
        path=f"{PERSON}/erase",
        needs="operator",
        handle=erase,
        body=ErasureRequest,
        answer=ErasureAnswer,
        problems=(502,),
    ),
    Operation(
        method="POST",
        path="/events",
        needs="operator",
        handle=send_event,
        body=EventRequest,
        answer=EventAnswer,
        status=201,
    ),
)

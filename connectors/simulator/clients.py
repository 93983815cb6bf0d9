"""Clients: details, people, templates, primary contact, and the agency's own calls."""

from connectors.simulator.call import EMPTY, Answer, Call, Route
from connectors.simulator.entities import Client, Json
from connectors.simulator.errors import ApiError
from connectors.simulator.zones import LABELS, zone_of


def details(call: Call) -> Answer:
    """Answer a client's details, its API key in clear included; the contact only when it is one person."""
    client = call.client()
    basics: Json = {
        "ClientID": client.client_id,
        "CompanyName": client.name,
        "Country": client.country,
        "TimeZone": client.zone_label,
    }
    answer: Json = {"ApiKey": client.api_key}
    if len(client.people) == 1:
        person = client.people[0]
        basics |= {"ContactName": person["Name"], "EmailAddress": person["EmailAddress"]}
        answer["AccessDetails"] = {"Username": person["EmailAddress"], "AccessLevel": person["AccessLevel"]}
    billing = {"Credits": 0, "Currency": "EUR", "ClientPays": False, "CanPurchaseCredits": True, **client.billing}
    return Answer({**answer, "BasicDetails": basics, "BillingDetails": billing})


def create(call: Call) -> Answer:
    """Create a client and answer its id as a bare string."""
    name, zone, country = _basics(call)
    return Answer(call.state.add_client(name, zone, country, account=call.identity.account).client_id, 201)


def set_basics(call: Call) -> Answer:
    """Change name, zone and country: every date of the client is read in the new zone from now on."""
    client = call.client()
    client.name, client.zone_label, client.country = _basics(call)
    client.zone = zone_of(client.zone_label)
    return EMPTY


def delete(call: Call) -> Answer:
    """Delete a client with everything in it."""
    client = call.client()
    for one in list(client.lists.values()):
        call.state.remove_list(one)
    client.deleted = True
    return EMPTY


def people(call: Call) -> Answer:
    """Answer all people of a client, or the one of `email`."""
    client, email = call.client(), call.query.get("email")
    return Answer(_person(client, email) if email else client.people)


def add_person(call: Call) -> Answer:
    """Add a person; without a password an invitation waits."""
    client, body = call.client(), call.body()
    person = {
        "EmailAddress": str(body.get("emailaddress", "")),
        "Name": str(body.get("name", "")),
        "AccessLevel": int(body.get("accesslevel") or 0),
        "Status": "Active" if body.get("password") else "Waiting",
    }
    client.people.append(person)
    return Answer({"EmailAddress": person["EmailAddress"]}, 201)


def update_person(call: Call) -> Answer:
    """Change a person."""
    person, body = _person(call.client(), call.query.get("email")), call.body()
    for key in ("EmailAddress", "Name", "AccessLevel"):
        person[key] = body.get(key.lower(), person[key])
    return Answer({"EmailAddress": person["EmailAddress"]})


def remove_person(call: Call) -> Answer:
    """Remove a person."""
    client = call.client()
    client.people.remove(_person(client, call.query.get("email")))
    return EMPTY


def primary_contact(call: Call) -> Answer:
    """Answer the client's primary contact."""
    return Answer({"EmailAddress": call.client().primary_contact})


def set_primary_contact(call: Call) -> Answer:
    """Make one of the people the primary contact."""
    client = call.client()
    client.primary_contact = str(_person(client, call.query.get("email"))["EmailAddress"])
    return primary_contact(call)


def templates(call: Call) -> Answer:
    """Answer a client's templates."""
    return Answer(call.client().templates)


def template(call: Call) -> Answer:
    """Answer one template."""
    for client in call.state.clients.values():
        for one in client.templates:
            if one["TemplateID"] == call.path["templateid"]:
                call.require(client)
                return Answer(one)
    raise ApiError(404)


def _basics(call: Call) -> tuple[str, str, str]:
    body = call.body()
    zone = str(body.get("timezone") or "")
    if zone not in LABELS:
        raise ApiError(400, "Invalid TimeZone")
    return str(body.get("companyname") or ""), zone, str(body.get("country") or "")


def _person(client: Client, email: str | None) -> Json:
    for person in client.people:
        if str(person["EmailAddress"]).lower() == (email or "").lower():
            return person
    raise ApiError(1)


ROUTES = (
    Route("POST", "/clients", create, "AdministerAccount"),
    Route("GET", "/clients/{clientid}", details),
    Route("DELETE", "/clients/{clientid}", delete, "AdministerAccount"),
    Route("PUT", "/clients/{clientid}/setbasics", set_basics, "AdministerAccount"),
    Route("GET", "/clients/{clientid}/people", people, "AdministerPersons"),
    Route("POST", "/clients/{clientid}/people", add_person, "AdministerPersons"),
    Route("PUT", "/clients/{clientid}/people", update_person, "AdministerPersons"),
    Route("DELETE", "/clients/{clientid}/people", remove_person, "AdministerPersons"),
    Route("GET", "/clients/{clientid}/primarycontact", primary_contact, "AdministerPersons"),
    Route("PUT", "/clients/{clientid}/primarycontact", set_primary_contact, "AdministerPersons"),
    Route("GET", "/clients/{clientid}/templates", templates, "ManageTemplates"),
    Route("GET", "/templates/{templateid}", template, "ManageTemplates"),
)

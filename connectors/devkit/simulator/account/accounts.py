"""An account and its clients: dates, zones, countries, administrators, people, templates, and an agency's calls."""

from connectors.devkit.simulator.data.entities import Json
from connectors.devkit.simulator.data.fields import COUNTRIES
from connectors.devkit.simulator.data.zones import LABELS, local_text, zone_of
from connectors.devkit.simulator.protocol.call import NO_BODY, ApiCall, Endpoint, EndpointResult
from connectors.devkit.simulator.protocol.errors import SimulatedApiError


def clients(call: ApiCall) -> EndpointResult:
    """Answer the clients that the credential sees."""
    seen = [client for client in call.state.clients.values() if not client.deleted and call.identity.may_see(client)]
    return EndpointResult([{"ClientID": client.client_id, "Name": client.name} for client in seen])


def system_date(call: ApiCall) -> EndpointResult:
    """Answer the time in the account's zone."""
    return EndpointResult({"SystemDate": local_text(call.state.clock.now(), call.identity.account.zone)})


def time_zones(_call: ApiCall) -> EndpointResult:
    """Answer the labels of time zones."""
    return EndpointResult(list(LABELS))


def countries(_call: ApiCall) -> EndpointResult:
    """Answer the names of countries."""
    return EndpointResult(list(COUNTRIES))


def billing_details(call: ApiCall) -> EndpointResult:
    """Answer the credits; agencies only."""
    _agency_only(call)
    return EndpointResult({"Credits": call.identity.account.credits})


def admins(call: ApiCall) -> EndpointResult:
    """Answer all administrators, or the one of `email`."""
    found = call.identity.account.admins
    email = call.query.get("email")
    return EndpointResult(_person(found, email) if email else found)


def add_admin(call: ApiCall) -> EndpointResult:
    """Invite an administrator."""
    body = call.body()
    email = str(body.get("emailaddress", ""))
    call.identity.account.admins.append({"EmailAddress": email, "Name": body.get("name", ""), "Status": "Waiting"})
    return EndpointResult({"EmailAddress": email}, 201)


def update_admin(call: ApiCall) -> EndpointResult:
    """Change an administrator's name and address."""
    person = _person(call.identity.account.admins, call.query.get("email"))
    body = call.body()
    person |= {"EmailAddress": body.get("emailaddress", person["EmailAddress"]), "Name": body.get("name", "")}
    return EndpointResult({"EmailAddress": person["EmailAddress"]})


def remove_admin(call: ApiCall) -> EndpointResult:
    """Remove an administrator."""
    call.identity.account.admins.remove(_person(call.identity.account.admins, call.query.get("email")))
    return NO_BODY


def account_contact(call: ApiCall) -> EndpointResult:
    """Answer the account's primary contact."""
    return EndpointResult({"EmailAddress": call.identity.account.primary_contact})


def set_account_contact(call: ApiCall) -> EndpointResult:
    """Make an administrator the primary contact."""
    person = _person(call.identity.account.admins, call.query.get("email"))
    call.identity.account.primary_contact = str(person["EmailAddress"])
    return account_contact(call)


def _agency_only(call: ApiCall) -> None:
    if not call.identity.account.agency:
        raise SimulatedApiError(403)


def _person(people: list[Json], email: str | None) -> Json:
    for person in people:
        if str(person["EmailAddress"]).lower() == (email or "").lower():
            return person
    raise SimulatedApiError(1)


ACCOUNT_ROUTES = (
    Endpoint("GET", "/clients", clients),
    Endpoint("GET", "/systemdate", system_date),
    Endpoint("GET", "/timezones", time_zones),
    Endpoint("GET", "/countries", countries),
    Endpoint("GET", "/billingdetails", billing_details, "AdministerAccount"),
    Endpoint("GET", "/admins", admins, "AdministerPersons"),
    Endpoint("POST", "/admins", add_admin, "AdministerPersons"),
    Endpoint("PUT", "/admins", update_admin, "AdministerPersons"),
    Endpoint("DELETE", "/admins", remove_admin, "AdministerPersons"),
    Endpoint("GET", "/primarycontact", account_contact, "AdministerPersons"),
    Endpoint("PUT", "/primarycontact", set_account_contact, "AdministerPersons"),
)


def details(call: ApiCall) -> EndpointResult:
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
    billing = {**_BILLING, **client.billing}
    return EndpointResult({**answer, "BasicDetails": basics, "BillingDetails": billing})


def create(call: ApiCall) -> EndpointResult:
    """Create a client and answer its id as a bare string."""
    name, zone, country = _basics(call)
    return EndpointResult(call.state.add_client(name, zone, country, account=call.identity.account).client_id, 201)


def set_basics(call: ApiCall) -> EndpointResult:
    """Change name, zone and country: every date of the client is read in the new zone from now on."""
    client = call.client()
    client.name, client.zone_label, client.country = _basics(call)
    client.zone = zone_of(client.zone_label)
    return NO_BODY


def delete(call: ApiCall) -> EndpointResult:
    """Delete a client with everything in it."""
    client = call.client()
    for subscriber_list in list(client.lists.values()):
        call.state.remove_list(subscriber_list)
    client.deleted = True
    return NO_BODY


def people(call: ApiCall) -> EndpointResult:
    """Answer all people of a client, or the one of `email`."""
    client, email = call.client(), call.query.get("email")
    return EndpointResult(_person(client.people, email) if email else client.people)


def add_person(call: ApiCall) -> EndpointResult:
    """Add a person; without a password an invitation waits."""
    client, body = call.client(), call.body()
    person = {
        "EmailAddress": str(body.get("emailaddress", "")),
        "Name": str(body.get("name", "")),
        "AccessLevel": int(body.get("accesslevel") or 0),
        "Status": "Active" if body.get("password") else "Waiting",
    }
    client.people.append(person)
    return EndpointResult({"EmailAddress": person["EmailAddress"]}, 201)


def update_person(call: ApiCall) -> EndpointResult:
    """Change a person."""
    person, body = _person(call.client().people, call.query.get("email")), call.body()
    for key in ("EmailAddress", "Name", "AccessLevel"):
        person[key] = body.get(key.lower(), person[key])
    return EndpointResult({"EmailAddress": person["EmailAddress"]})


def remove_person(call: ApiCall) -> EndpointResult:
    """Remove a person."""
    client = call.client()
    client.people.remove(_person(client.people, call.query.get("email")))
    return NO_BODY


def primary_contact(call: ApiCall) -> EndpointResult:
    """Answer the client's primary contact."""
    return EndpointResult({"EmailAddress": call.client().primary_contact})


def set_primary_contact(call: ApiCall) -> EndpointResult:
    """Make one of the people the primary contact."""
    client = call.client()
    client.primary_contact = str(_person(client.people, call.query.get("email"))["EmailAddress"])
    return primary_contact(call)


def templates(call: ApiCall) -> EndpointResult:
    """Answer a client's templates."""
    return EndpointResult(call.client().templates)


def template(call: ApiCall) -> EndpointResult:
    """Answer one template."""
    for client in call.state.clients.values():
        for found in client.templates:
            if found["TemplateID"] == call.path["templateid"]:
                call.require(client)
                return EndpointResult(found)
    raise SimulatedApiError(404)


def _basics(call: ApiCall) -> tuple[str, str, str]:
    body = call.body()
    zone = str(body.get("timezone") or "")
    if zone not in LABELS:
        raise SimulatedApiError(400, "Invalid TimeZone")
    return str(body.get("companyname") or ""), zone, str(body.get("country") or "")


_BILLING: Json = {
    "CanPurchaseCredits": True,
    "Credits": 0,
    "ClientPays": False,
    "Currency": "EUR",
    "BaseRatePerRecipient": 1.0,
    "MarkupPerRecipient": 0.0,
    "BaseDeliveryRate": 5.0,
    "MarkupOnDelivery": 0.0,
    "BaseDesignSpamTestRate": 5.0,
    "MarkupOnDesignSpamTest": 0.0,
}

CLIENT_ROUTES = (
    Endpoint("POST", "/clients", create, "AdministerAccount"),
    Endpoint("GET", "/clients/{clientid}", details),
    Endpoint("DELETE", "/clients/{clientid}", delete, "AdministerAccount"),
    Endpoint("PUT", "/clients/{clientid}/setbasics", set_basics, "AdministerAccount"),
    Endpoint("GET", "/clients/{clientid}/people", people, "AdministerPersons"),
    Endpoint("POST", "/clients/{clientid}/people", add_person, "AdministerPersons"),
    Endpoint("PUT", "/clients/{clientid}/people", update_person, "AdministerPersons"),
    Endpoint("DELETE", "/clients/{clientid}/people", remove_person, "AdministerPersons"),
    Endpoint("GET", "/clients/{clientid}/primarycontact", primary_contact, "AdministerPersons"),
    Endpoint("PUT", "/clients/{clientid}/primarycontact", set_primary_contact, "AdministerPersons"),
    Endpoint("GET", "/clients/{clientid}/templates", templates, "ManageTemplates"),
    Endpoint("GET", "/templates/{templateid}", template, "ManageTemplates"),
)

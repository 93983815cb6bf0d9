"""An account and its clients: dates, zones, countries, administrators, people, templates, and an agency's calls."""

from connectors.devkit.simulator.data.entities import Json
from connectors.devkit.simulator.data.fields import COUNTRIES
from connectors.devkit.simulator.data.zones import LABELS, local_text, zone_of
from connectors.devkit.simulator.protocol.call import EMPTY, Answer, Call, Route
from connectors.devkit.simulator.protocol.errors import ApiError


def clients(call: Call) -> Answer:
    """Answer the clients that the credential sees."""
    seen = [one for one in call.state.clients.values() if not one.deleted and call.identity.may_see(one)]
    return Answer([{"ClientID": one.client_id, "Name": one.name} for one in seen])


def system_date(call: Call) -> Answer:
    """Answer the time in the account's zone."""
    return Answer({"SystemDate": local_text(call.state.clock.now(), call.identity.account.zone)})


def time_zones(_call: Call) -> Answer:
    """Answer the labels of time zones."""
    return Answer(list(LABELS))


def countries(_call: Call) -> Answer:
    """Answer the names of countries."""
    return Answer(list(COUNTRIES))


def billing_details(call: Call) -> Answer:
    """Answer the credits; agencies only."""
    _agency_only(call)
    return Answer({"Credits": call.identity.account.credits})


def admins(call: Call) -> Answer:
    """Answer all administrators, or the one of `email`."""
    found = call.identity.account.admins
    email = call.query.get("email")
    return Answer(_person(found, email) if email else found)


def add_admin(call: Call) -> Answer:
    """Invite an administrator."""
    body = call.body()
    email = str(body.get("emailaddress", ""))
    call.identity.account.admins.append({"EmailAddress": email, "Name": body.get("name", ""), "Status": "Waiting"})
    return Answer({"EmailAddress": email}, 201)


def update_admin(call: Call) -> Answer:
    """Change an administrator's name and address."""
    person = _person(call.identity.account.admins, call.query.get("email"))
    body = call.body()
    person |= {"EmailAddress": body.get("emailaddress", person["EmailAddress"]), "Name": body.get("name", "")}
    return Answer({"EmailAddress": person["EmailAddress"]})


def remove_admin(call: Call) -> Answer:
    """Remove an administrator."""
    call.identity.account.admins.remove(_person(call.identity.account.admins, call.query.get("email")))
    return EMPTY


def account_contact(call: Call) -> Answer:
    """Answer the account's primary contact."""
    return Answer({"EmailAddress": call.identity.account.primary_contact})


def set_account_contact(call: Call) -> Answer:
    """Make an administrator the primary contact."""
    person = _person(call.identity.account.admins, call.query.get("email"))
    call.identity.account.primary_contact = str(person["EmailAddress"])
    return account_contact(call)


def _agency_only(call: Call) -> None:
    if not call.identity.account.agency:
        raise ApiError(403)


def _person(people: list[Json], email: str | None) -> Json:
    for person in people:
        if str(person["EmailAddress"]).lower() == (email or "").lower():
            return person
    raise ApiError(1)


ACCOUNT_ROUTES = (
    Route("GET", "/clients", clients),
    Route("GET", "/systemdate", system_date),
    Route("GET", "/timezones", time_zones),
    Route("GET", "/countries", countries),
    Route("GET", "/billingdetails", billing_details, "AdministerAccount"),
    Route("GET", "/admins", admins, "AdministerPersons"),
    Route("POST", "/admins", add_admin, "AdministerPersons"),
    Route("PUT", "/admins", update_admin, "AdministerPersons"),
    Route("DELETE", "/admins", remove_admin, "AdministerPersons"),
    Route("GET", "/primarycontact", account_contact, "AdministerPersons"),
    Route("PUT", "/primarycontact", set_account_contact, "AdministerPersons"),
)


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
    return Answer(_person(client.people, email) if email else client.people)


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
    person, body = _person(call.client().people, call.query.get("email")), call.body()
    for key in ("EmailAddress", "Name", "AccessLevel"):
        person[key] = body.get(key.lower(), person[key])
    return Answer({"EmailAddress": person["EmailAddress"]})


def remove_person(call: Call) -> Answer:
    """Remove a person."""
    client = call.client()
    client.people.remove(_person(client.people, call.query.get("email")))
    return EMPTY


def primary_contact(call: Call) -> Answer:
    """Answer the client's primary contact."""
    return Answer({"EmailAddress": call.client().primary_contact})


def set_primary_contact(call: Call) -> Answer:
    """Make one of the people the primary contact."""
    client = call.client()
    client.primary_contact = str(_person(client.people, call.query.get("email"))["EmailAddress"])
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


CLIENT_ROUTES = (
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

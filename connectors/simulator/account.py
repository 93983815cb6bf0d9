"""Account-level resources: clients, dates, zones, countries, billing, administrators, primary contact."""

from connectors.simulator.call import EMPTY, Answer, Call, Route
from connectors.simulator.countries import COUNTRIES
from connectors.simulator.dates import local_text
from connectors.simulator.entities import Json
from connectors.simulator.errors import ApiError
from connectors.simulator.zones import LABELS


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


def primary_contact(call: Call) -> Answer:
    """Answer the account's primary contact."""
    return Answer({"EmailAddress": call.identity.account.primary_contact})


def set_primary_contact(call: Call) -> Answer:
    """Make an administrator the primary contact."""
    person = _person(call.identity.account.admins, call.query.get("email"))
    call.identity.account.primary_contact = str(person["EmailAddress"])
    return primary_contact(call)


def _agency_only(call: Call) -> None:
    if not call.identity.account.agency:
        raise ApiError(403)


def _person(people: list[Json], email: str | None) -> Json:
    for person in people:
        if str(person["EmailAddress"]).lower() == (email or "").lower():
            return person
    raise ApiError(1)


ROUTES = (
    Route("GET", "/clients", clients),
    Route("GET", "/systemdate", system_date),
    Route("GET", "/timezones", time_zones),
    Route("GET", "/countries", countries),
    Route("GET", "/billingdetails", billing_details, "AdministerAccount"),
    Route("GET", "/admins", admins, "AdministerPersons"),
    Route("POST", "/admins", add_admin, "AdministerPersons"),
    Route("PUT", "/admins", update_admin, "AdministerPersons"),
    Route("DELETE", "/admins", remove_admin, "AdministerPersons"),
    Route("GET", "/primarycontact", primary_contact, "AdministerPersons"),
    Route("PUT", "/primarycontact", set_primary_contact, "AdministerPersons"),
)

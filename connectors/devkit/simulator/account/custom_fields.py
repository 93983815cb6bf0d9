"""Custom fields of a list: create, rename, options, delete."""

from typing import Any

from connectors.devkit.simulator.data.entities import SubscriberList
from connectors.devkit.simulator.data.fields import DATA_TYPES, SELECTS, SimulatedField, key_of
from connectors.devkit.simulator.protocol.call import NO_BODY, ApiCall, Endpoint, EndpointResult
from connectors.devkit.simulator.protocol.errors import SimulatedApiError, undeserialisable
from connectors.devkit.simulator.subscribers.submission import flag


def custom_fields(call: ApiCall) -> EndpointResult:
    """Answer the fields of a list."""
    return EndpointResult(
        [
            {
                "FieldName": field.name,
                "Key": field.key,
                "DataType": field.data_type,
                "FieldOptions": field.shown_options(),
                "VisibleInPreferenceCenter": field.visible,
            }
            for field in call.list().fields.values()
        ]
    )


def create(call: ApiCall) -> EndpointResult:
    """Create a field and answer its key as a bare string."""
    target, body = call.list(), call.body()
    name = _name(target, body)
    data_type = next((known for known in DATA_TYPES if known.lower() == str(body.get("datatype", "")).lower()), None)
    if data_type is None:
        raise SimulatedApiError(259)
    options = _options(call, body)
    if options and data_type not in SELECTS:
        raise SimulatedApiError(256)
    if not options and data_type in SELECTS:
        raise SimulatedApiError(257)
    limit = call.state.settings.max_fields
    if limit is not None and len(target.fields) >= limit:
        raise SimulatedApiError(254, f"The list has its {limit} custom fields already")
    made = target.add_field(name, data_type, options, _visible(body, True))
    return EndpointResult(made.key, 201)


def update(call: ApiCall) -> EndpointResult:
    """Rename a field and answer its new key as a bare string."""
    target, body = call.list(), call.body()
    field = _field(target, call.path["key"])
    field.rename(_name(target, body, field))
    field.visible = _visible(body, field.visible)
    target.fields_changed()
    return EndpointResult(field.key)


def update_options(call: ApiCall) -> EndpointResult:
    """Replace or extend the options of a select field; values of removed options are removed too."""
    target, body = call.list(), call.body()
    field = _field(target, call.path["key"])
    options = _options(call, body)
    if field.data_type not in SELECTS:
        raise SimulatedApiError(256)
    if flag(body, "keepexistingoptions", "options"):
        options = field.options + [text for text in options if text not in field.options]
    if not options:
        raise SimulatedApiError(257)
    _check_count(call, options)
    target.set_options(field, options)
    return NO_BODY


def delete(call: ApiCall) -> EndpointResult:
    """Delete a field with everybody's values in it."""
    target = call.list()
    del target.fields[_field(target, call.path["key"]).number]
    target.fields_changed()
    return NO_BODY


def _field(target: SubscriberList, key: str) -> SimulatedField:
    for field in target.fields.values():
        if field.key.lower() == key.lower():
            return field
    raise SimulatedApiError(253)


def _name(target: SubscriberList, body: dict[str, Any], own: SimulatedField | None = None) -> str:
    name = body.get("fieldname")
    if name is not None and not isinstance(name, str):
        raise undeserialisable("customField")
    if not name or not name.strip():
        raise SimulatedApiError(254)
    key = key_of(name).lower()
    if any(field.key.lower() == key and field is not own for field in target.fields.values()):
        raise SimulatedApiError(255)
    return name


def _options(call: ApiCall, body: dict[str, Any]) -> list[str]:
    options = body.get("options") or []
    if not isinstance(options, list) or not all(isinstance(text, str) for text in options):
        raise undeserialisable("options")
    # The double pipe joins the options of a field in older forms of the call.
    unique = list(dict.fromkeys(part for text in options for part in text.split("||") if part))
    _check_count(call, unique)
    return unique


def _check_count(call: ApiCall, options: list[str]) -> None:
    limit = call.state.settings.max_options
    if limit is not None and len(options) > limit:
        raise SimulatedApiError(257, f"A field takes {limit} options at most")


def _visible(body: dict[str, Any], default: bool) -> bool:
    return flag(body, "visibleinpreferencecenter", "customField") if "visibleinpreferencecenter" in body else default


ROUTES = (
    Endpoint("GET", "/lists/{listid}/customfields", custom_fields),
    Endpoint("POST", "/lists/{listid}/customfields", create, "ManageLists", "customField"),
    Endpoint("PUT", "/lists/{listid}/customfields/{key}", update, "ManageLists", "customField"),
    Endpoint("PUT", "/lists/{listid}/customfields/{key}/options", update_options, "ManageLists", "options"),
    Endpoint("DELETE", "/lists/{listid}/customfields/{key}", delete, "ManageLists"),
)

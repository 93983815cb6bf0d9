"""Custom fields of a list: create, rename, options, delete."""

from typing import Any

from connectors.devkit.simulator.data.entities import SubscriberList
from connectors.devkit.simulator.data.fields import DATA_TYPES, SELECTS, CustomField, key_of
from connectors.devkit.simulator.protocol.call import EMPTY, Answer, Call, Route
from connectors.devkit.simulator.protocol.errors import ApiError, undeserialisable
from connectors.devkit.simulator.subscribers.submission import flag


def custom_fields(call: Call) -> Answer:
    """Answer the fields of a list."""
    return Answer(
        [
            {
                "FieldName": one.name,
                "Key": one.key,
                "DataType": one.data_type,
                "FieldOptions": one.shown_options(),
                "VisibleInPreferenceCenter": one.visible,
            }
            for one in call.list().fields.values()
        ]
    )


def create(call: Call) -> Answer:
    """Create a field and answer its key as a bare string."""
    target, body = call.list(), call.body()
    name = _name(target, body)
    data_type = next((known for known in DATA_TYPES if known.lower() == str(body.get("datatype", "")).lower()), None)
    if data_type is None:
        raise ApiError(259)
    options = _options(call, body)
    if options and data_type not in SELECTS:
        raise ApiError(256)
    if not options and data_type in SELECTS:
        raise ApiError(257)
    limit = call.state.settings.max_fields
    if limit is not None and len(target.fields) >= limit:
        raise ApiError(254, f"The list has its {limit} custom fields already")
    made = target.add_field(name, data_type, options, _visible(body, True))
    return Answer(made.key, 201)


def update(call: Call) -> Answer:
    """Rename a field and answer its new key as a bare string."""
    target, body = call.list(), call.body()
    one = _field(target, call.path["key"])
    one.rename(_name(target, body, one))
    one.visible = _visible(body, one.visible)
    target.fields_changed()
    return Answer(one.key)


def update_options(call: Call) -> Answer:
    """Replace or extend the options of a select field; values of options that go away are gone."""
    target, body = call.list(), call.body()
    one = _field(target, call.path["key"])
    options = _options(call, body)
    if one.data_type not in SELECTS:
        raise ApiError(256)
    if flag(body, "keepexistingoptions", "options"):
        options = one.options + [text for text in options if text not in one.options]
    if not options:
        raise ApiError(257)
    _check_count(call, options)
    one.options = options
    target.fields_changed()
    return EMPTY


def delete(call: Call) -> Answer:
    """Delete a field with everybody's values in it."""
    target = call.list()
    del target.fields[_field(target, call.path["key"]).number]
    target.fields_changed()
    return EMPTY


def _field(target: SubscriberList, key: str) -> CustomField:
    for one in target.fields.values():
        if one.key.lower() == key.lower():
            return one
    raise ApiError(253)


def _name(target: SubscriberList, body: dict[str, Any], own: CustomField | None = None) -> str:
    name = body.get("fieldname")
    if name is not None and not isinstance(name, str):
        raise undeserialisable("customField")
    if not name or not name.strip():
        raise ApiError(254)
    key = key_of(name).lower()
    if any(one.key.lower() == key and one is not own for one in target.fields.values()):
        raise ApiError(255)
    return name


def _options(call: Call, body: dict[str, Any]) -> list[str]:
    options = body.get("options") or []
    if not isinstance(options, list) or not all(isinstance(text, str) for text in options):
        raise undeserialisable("options")
    unique = list(dict.fromkeys(text for text in options if text))
    _check_count(call, unique)
    return unique


def _check_count(call: Call, options: list[str]) -> None:
    limit = call.state.settings.max_options
    if limit is not None and len(options) > limit:
        raise ApiError(257, f"A field takes {limit} options at most")


def _visible(body: dict[str, Any], default: bool) -> bool:
    return flag(body, "visibleinpreferencecenter", "customField") if "visibleinpreferencecenter" in body else default


ROUTES = (
    Route("GET", "/lists/{listid}/customfields", custom_fields),
    Route("POST", "/lists/{listid}/customfields", create, "ManageLists", "customField"),
    Route("PUT", "/lists/{listid}/customfields/{key}", update, "ManageLists", "customField"),
    Route("PUT", "/lists/{listid}/customfields/{key}/options", update_options, "ManageLists", "options"),
    Route("DELETE", "/lists/{listid}/customfields/{key}", delete, "ManageLists"),
)

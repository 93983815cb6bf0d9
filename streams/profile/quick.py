"""A contract's messages, decoded and checked in one go: a microsecond for what pydantic takes ten for.

What passes keeps the contract (tests prove it). What does not may keep it all the same: ask the contract itself.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Required, TypedDict

import msgspec

from schemas.cm_user import FieldValue
from schemas.envelope import Message as Contract
from streams.domain.mapping.compile import Message

Decode = Callable[[bytes], Message]

UNUSUAL = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for a message that it cannot vouch for."""

_FieldValue = TypedDict("_FieldValue", dict.fromkeys(FieldValue.model_fields, Required[str]))  # type: ignore[misc]
_DEGREES = msgspec.Meta(ge=-1_000_000, le=1_000_000)
_TYPES: dict[str, Any] = {
    "schema_version": Annotated[int, msgspec.Meta(ge=1)],
    "event_id": Annotated[str, msgspec.Meta(max_length=128)] | None,
    "source": Literal["campaign", "journey", "webhook"],
    "echo": bool,
    # A whole number stays one: as text it has no point.
    "latitude": Annotated[int, _DEGREES] | Annotated[float, _DEGREES] | None,
    "longitude": Annotated[int, _DEGREES] | Annotated[float, _DEGREES] | None,
    "custom_fields": list[_FieldValue],
}
"""Types of fields that are not texts."""


def quick_shape(contract: type[Contract]) -> type[msgspec.Struct]:
    """Return the type of a contract's messages: an attribute for each field, None where a message has none.

    It has `old_email` and `echo` beside them, whatever these hold.
    """
    return _shape_of(contract, {"old_email": Any, "echo": Any})


def quick_decoder(shape: type[msgspec.Struct]) -> Decode:
    """Return a decoder that yields the contract's fields and drops unknown ones; it raises one of UNUSUAL.

    What it skips it does not look at: whether the message is UTF-8 has to be seen beforehand.
    """
    return msgspec.json.Decoder(shape).decode


def quick_check(contract: type[Contract]) -> Decode:
    """Return what `quick_decoder` would decode with, for its verdict alone."""
    return msgspec.json.Decoder(_shape_of(contract, {})).decode


def _shape_of(contract: type[Contract], others: dict[str, Any]) -> type[msgspec.Struct]:
    fields: dict[str, tuple[Any, ...]] = {name: (kind, None) for name, kind in others.items()}
    for name, field in contract.model_fields.items():
        if field.is_required():
            fields[name] = (_TYPES.get(name, str),)
        else:
            fields[name] = (_TYPES.get(name, str | None), None)
    named = [(name, *rest) for name, rest in fields.items()]
    # No cycles can come of JSON, so the collector need not know of the messages.
    return msgspec.defstruct(contract.__name__, named, kw_only=True, gc=False)

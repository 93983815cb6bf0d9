"""Records -> messages that can be folded, or the reason why not.

Most messages are what our own connectors write: those are decoded and checked in one go (see `quick_decoder`).
Whatever is unusual is validated by the contract itself.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any, Literal, Required, TypedDict

import msgspec
import orjson
from pydantic import ValidationError

from schemas.cm_user import FieldValue
from schemas.dead_letter import Stage
from schemas.envelope import EpochMillis
from schemas.envelope import Message as Contract
from schemas.identity import MAX_KEY_BYTES, normalise_email
from streams.batches import MOVED_FROM, Record
from streams.mapping.catalog import CONTRACTS
from streams.mapping.compile.compiler import CompiledStream, StreamMessage, YieldOne, compile_value, look_up
from streams.mapping.dates import EPOCH, MILLISECOND, in_range, parse_date, read_instant
from streams.mapping.syntax.expressions import Field, FunctionCall

LARGEST_MESSAGE = 1 << 18
"""Bytes; a larger one is no event of a person."""
_ADDRESSES_REMEMBERED = 50_000


class UnusableRecord(Exception):  # noqa: N818 - a verdict, not an error
    """The message cannot be used."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


class ProfileEvent(msgspec.Struct, gc=False):
    """A message that can be folded."""

    message: StreamMessage
    ms: EpochMillis
    event_id: str | None
    echo: bool
    repeat: bool
    old_email: Any
    record: Record


class Reader:
    """Reads the records of one stream."""

    def __init__(self, stream: CompiledStream, future_tolerance_ms: int) -> None:
        self._contract = contract = CONTRACTS.get(stream.mapping.stream)
        self._shape = quick_shape(contract) if contract and stream.attributes else None
        self._decode = quick_decoder(self._shape) if self._shape else None
        self._check = quick_check(contract) if contract else None
        self._tolerance = future_tolerance_ms
        self._keys: dict[str, bytes] = {}
        key = stream.mapping.key
        argument = key.arguments[0] if isinstance(key, FunctionCall) else key
        self._field = argument.name if isinstance(argument, Field) else ""
        self._given: YieldOne = compile_value(argument, attributes=stream.attributes)
        self._spelt = self._get_spelt(attributes=stream.attributes)

    def read(self, record: Record) -> tuple[bytes, ProfileEvent]:
        """Return the profile's key and the event. Raises UnusableRecord."""
        value = record.value
        if value is None:
            raise UnusableRecord(Stage.DECODE, "the record has no value")
        if len(value) > LARGEST_MESSAGE:
            raise UnusableRecord(Stage.SCHEMA, f"a message of {len(value)} bytes; the limit is {LARGEST_MESSAGE}")
        ms = None
        if self._decode is not None:
            try:
                if not value.isascii():
                    value.decode()
                message = self._decode(value)
                ms = read_instant(message.at)
            except UNUSUAL:
                pass
        if ms is None:
            message, ms = self._unusual(value, record)
        if ms > record.timestamp + self._tolerance and record.timestamp > 0:
            ms = record.timestamp
        spelt = self._spelt(message)
        key = (self._keys.get(spelt) if spelt.__class__ is str else None) or self._key_of(message, ms)
        if self._decode is not None:
            event_id, old_email, echo, repeat = message.event_id, message.old_email, message.echo, message.repeat
        else:
            event_id, old_email = message.get("event_id"), message.get("old_email")
            echo, repeat = message.get("echo"), message.get("repeat")
        if event_id is None and record.headers:
            event_id = _origin_of(record)
        elif event_id.__class__ is not str:
            event_id = None
        return key, ProfileEvent(message, ms, event_id, echo is True, repeat is True, old_email, record)

    def _get_spelt(self, *, attributes: bool) -> Callable[[StreamMessage], Any]:
        """A function that returns how a message spells the address, where one field holds it."""
        field = self._field
        if not field:
            return lambda message: None
        return attrgetter(field) if attributes else lambda message: look_up(message, field)

    def _unusual(self, value: bytes, record: Record) -> tuple[StreamMessage, EpochMillis]:
        """A message that has to be seen as it was written, or which the contract has to validate; and its time."""
        try:
            message = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise UnusableRecord(Stage.DECODE, f"not JSON: {error}") from None
        if message.__class__ is not dict:
            raise UnusableRecord(Stage.SCHEMA, "the message is no JSON object")
        given = message.get("at")
        at = read_instant(given) if given.__class__ is str else None
        if self._contract is None:
            times = (at, _loose_instant(given), in_range(record.timestamp))
            return message, next((ms for ms in times if ms is not None), 0)
        if at is None or not self._is_quickly_valid(value):
            try:
                checked = self._contract.model_validate_json(value)
            except ValidationError as error:
                raise UnusableRecord(Stage.SCHEMA, _faults_of(error)) from None
            if at is None:
                at = in_range((checked.at - EPOCH) // MILLISECOND)
        if at is None:
            raise UnusableRecord(Stage.SCHEMA, "at: not a date and time")
        return message if self._shape is None else self._shaped(message), at

    def _shaped(self, message: dict[str, Any]) -> StreamMessage:
        """The message as an object, its values as they were written."""
        shape: Any = self._shape
        return shape(**{name: message.get(name) for name in shape.__struct_fields__})

    def _is_quickly_valid(self, value: bytes) -> bool:
        """Whether the quick decoder accepts it; when not, the contract may all the same."""
        if self._decode is not None or self._check is None:
            return False
        try:
            self._check(value)
        except UNUSUAL:
            return False
        return True

    def _key_of(self, message: StreamMessage, ms: EpochMillis) -> bytes:
        given, spelt = self._given(message, ms), self._spelt(message)
        address = normalise_email(given) if isinstance(given, str) else None
        if address is None:
            problem = "there is none" if spelt is None else "it is not one address"
            raise UnusableRecord(Stage.IDENTITY, f"{self._field or 'the key'}: no valid e-mail address, {problem}")
        key = address.encode()
        if len(key) > MAX_KEY_BYTES:
            raise UnusableRecord(Stage.IDENTITY, f"an address of {len(key)} bytes; the limit is {MAX_KEY_BYTES}")
        if spelt.__class__ is str:
            if len(self._keys) >= _ADDRESSES_REMEMBERED:
                self._keys.clear()
            self._keys[spelt] = key
        return bytes(key)


def _origin_of(record: Record) -> str | None:
    """Where a moved record was first: the id of an event without one."""
    found = next((origin for name, origin in record.headers if name == MOVED_FROM), None)
    return found.decode(errors="replace") if found else None


def _loose_instant(given: Any) -> EpochMillis | None:
    """The time of an added stream's message, in any form in which a message field can name a date."""
    if isinstance(given, bool) or not isinstance(given, str | int):
        return None
    return parse_date(str(given))


def _faults_of(error: ValidationError) -> str:
    """What is wrong, without the value: it may be anything."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'message'}: {fault['msg']}" for fault in faults[:5])


Decode = Callable[[bytes], StreamMessage]

UNUSUAL = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for a message that it cannot vouch for."""

_FieldValue = TypedDict("_FieldValue", dict.fromkeys(FieldValue.model_fields, Required[str]))  # type: ignore[misc]
_DEGREES = msgspec.Meta(ge=-1_000_000, le=1_000_000)
_TYPES: dict[str, Any] = {
    "schema_version": Annotated[int, msgspec.Meta(ge=1)],
    "event_id": Annotated[str, msgspec.Meta(max_length=128)] | None,
    "source": Literal["campaign", "journey", "webhook", "export"],
    "echo": bool,
    "repeat": bool,
    # A whole number stays one: as text it has no point.
    "latitude": Annotated[int, _DEGREES] | Annotated[float, _DEGREES] | None,
    "longitude": Annotated[int, _DEGREES] | Annotated[float, _DEGREES] | None,
    "custom_fields": list[_FieldValue],
}
"""Types of fields that are not texts."""


def quick_shape(contract: type[Contract]) -> type[msgspec.Struct]:
    """Return the type of a contract's messages: an attribute for each field, None where a message has none.

    It has `old_email`, `echo` and `repeat` beside them, whatever these hold.
    """
    return _shape_of(contract, {"old_email": Any, "echo": Any, "repeat": Any})


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

"""Records -> messages that can be folded, or the reason why not.

Most messages are what our own connectors write: their fields are checked by type only, which agrees with the contract
(tests prove it) and costs a microsecond. Whatever is unusual is put to the contract itself.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from schemas.cm_activity import CmActivity
from schemas.cm_user import CmUser
from schemas.dead_letter import Stage
from schemas.envelope import Message as Contract
from schemas.identity import MAX_KEY_BYTES
from streams.batches import Record
from streams.domain.mapping.compile import CompiledStream, Message, compile_value, look_up
from streams.domain.mapping.dates import EPOCH, MILLISECOND, Millis, parse_date
from streams.domain.mapping.expressions import Call, Field
from streams.domain.mapping.instants import Instant, instant_at, read_instant

CONTRACTS: dict[str, type[Contract]] = {"cm_activity": CmActivity, "cm_user": CmUser}
"""Streams whose messages have a contract; an added stream's are JSON objects."""
LARGEST_MESSAGE = 1 << 18
"""Bytes; a larger one is no event of a person."""
LONGEST_ID = 128
_ADDRESSES_REMEMBERED = 200_000
_SHAPES_REMEMBERED = 1_000
SOURCES = frozenset(("campaign", "journey", "webhook"))
ORIGIN_HEADER = "rekeyed-from"
"""Where a record stood that we moved to its key's partition: topic, partition, offset."""


class Refused(Exception):  # noqa: N818 - a verdict, not an error
    """The message cannot be used."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


class Event(NamedTuple):
    """A message that can be folded."""

    message: Message
    ms: Millis
    shown: str
    event_id: str | None
    counted: bool
    record: Record


class Reader:
    """Reads the records of one stream."""

    def __init__(self, stream: CompiledStream, future_tolerance_ms: int) -> None:
        self._contract = CONTRACTS.get(stream.mapping.stream)
        self._classes = _classes(self._contract) if self._contract else {}
        self._required = _required(self._contract) if self._contract else ()
        self._shapes: dict[tuple[str, ...], tuple[type, ...]] = {}
        self._tolerance = future_tolerance_ms
        self._keys: dict[str, bytes] = {}
        argument = stream.mapping.key.arguments[0] if isinstance(stream.mapping.key, Call) else None
        self._field = argument.name if isinstance(argument, Field) else None
        self._address: Callable[[Message, Millis | None], Any] = compile_value(stream.mapping.key)

    def read(self, record: Record) -> tuple[bytes, Event]:
        """Return the profile's key and the event. Raises Refused."""
        value = record.value
        if value is None:
            raise Refused(Stage.DECODE, "the record has no value")
        try:
            message = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise Refused(Stage.DECODE, f"not JSON: {error}") from None
        if message.__class__ is not dict:
            raise Refused(Stage.SCHEMA, "the message is no JSON object")
        at = self._checked(message, value, record)
        if at[0] > record.timestamp + self._tolerance and record.timestamp > 0:
            at = instant_at(record.timestamp) or at
        key = self._key_of(message, at[0])
        event_id = message.get("event_id")
        if event_id is None and record.headers:
            event_id = next((origin.decode() for name, origin in record.headers if name == ORIGIN_HEADER), None)
        elif event_id.__class__ is not str:
            event_id = None
        return key, Event(message, at[0], at[1], event_id, message.get("echo") is not True, record)

    def _checked(self, message: dict[str, Any], value: bytes, record: Record) -> Instant:
        """The message time of a message that keeps its contract."""
        if len(value) > LARGEST_MESSAGE:
            raise Refused(Stage.SCHEMA, f"a message of {len(value)} bytes; the limit is {LARGEST_MESSAGE}")
        given = message.get("at")
        at = read_instant(given) if given.__class__ is str else None
        if self._contract is None:
            return at or _loose_instant(given) or instant_at(record.timestamp) or (0, "1970-01-01T00:00:00.000Z")
        if at is None or not self._surely_valid(message):
            try:
                checked = self._contract.model_validate_json(value)
            except ValidationError as error:
                raise Refused(Stage.SCHEMA, _told(error)) from None
            if at is None:
                at = instant_at((checked.at - EPOCH) // MILLISECOND)
        if at is None:
            raise Refused(Stage.SCHEMA, "at: not a date and time")
        return at

    def _surely_valid(self, message: dict[str, Any]) -> bool:
        """Whether the types of the fields alone show that the contract is kept."""
        wanted = self._shapes.get(names := tuple(message)) or self._shape_of(names)
        if tuple(map(type, message.values())) != wanted:
            return False
        get = message.get
        return bool(
            get("schema_version", 1) >= 1
            and len(get("event_id", "")) <= LONGEST_ID
            and get("source", "campaign") in SOURCES
            and ("custom_fields" not in message or _are_field_values(message["custom_fields"]))
        )

    def _shape_of(self, names: tuple[str, ...]) -> tuple[type, ...]:
        """The classes that messages with these fields in this order must have; () when a required one is missing.

        A producer writes few shapes, so this is made once and compared in one go. An unknown field may be a text;
        one that is something else makes the message unusual, which costs time and nothing else.
        """
        if len(self._shapes) >= _SHAPES_REMEMBERED:
            self._shapes.clear()
        complete = all(name in names for name in self._required)
        shape = self._shapes[names] = tuple(self._classes.get(name, str) for name in names) if complete else ()
        return shape

    def _key_of(self, message: Message, ms: Millis) -> bytes:
        if self._field is not None:
            text = message.get(self._field)
            if text.__class__ is str:
                key = self._keys.get(text)
                if key is not None:
                    return key
        address = self._address(message, ms)
        if address is None:
            field = self._field or "the key"
            found = look_up(message, self._field) if self._field else None
            problem = "there is none" if found is None else "it is not one address"
            raise Refused(Stage.IDENTITY, f"{field}: no valid e-mail address, {problem}")
        key = address.encode()
        if len(key) > MAX_KEY_BYTES:
            raise Refused(Stage.IDENTITY, f"an address of {len(key)} bytes; the limit is {MAX_KEY_BYTES}")
        if self._field is not None and message.get(self._field).__class__ is str:
            if len(self._keys) >= _ADDRESSES_REMEMBERED:
                self._keys.clear()
            self._keys[message[self._field]] = key
        return bytes(key)


def _loose_instant(given: Any) -> Instant | None:
    """The time of an added stream's message, in any form in which a message field can name a date."""
    if isinstance(given, bool) or not isinstance(given, str | int):
        return None
    ms = parse_date(str(given))
    return None if ms is None else instant_at(ms)


def _are_field_values(fields: Any) -> bool:
    return all(
        field.__class__ is dict and field.get("key").__class__ is str and field.get("value").__class__ is str
        for field in fields
    )


def _classes(contract: type[Contract]) -> dict[str, type]:
    """The class that each field's JSON value must have to be surely valid."""
    named = {"schema_version": int, "echo": bool, "latitude": float, "longitude": float, "custom_fields": list}
    return {name: named.get(name, str) for name in contract.model_fields}


def _required(contract: type[Contract]) -> tuple[str, ...]:
    return tuple(name for name, field in contract.model_fields.items() if field.is_required())


def _told(error: ValidationError) -> str:
    """What is wrong, without the value: it may be anything."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'message'}: {fault['msg']}" for fault in faults[:5])

"""Records -> messages that can be folded, or the reason why not.

Most messages are what our own connectors write: those are decoded and checked in one go (see `quick`). Whatever is
unusual is put to the contract itself.
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
from streams.domain.mapping.compile import CompiledStream, Message, compile_value, inputs_of, look_up
from streams.domain.mapping.dates import EPOCH, MILLISECOND, Millis, in_range, parse_date
from streams.domain.mapping.expressions import Call, Field
from streams.domain.mapping.instants import read_instant
from streams.profile.quick import UNUSUAL, quick_check, quick_decoder

CONTRACTS: dict[str, type[Contract]] = {"cm_activity": CmActivity, "cm_user": CmUser}
"""Streams whose messages have a contract; an added stream's are JSON objects."""
LARGEST_MESSAGE = 1 << 18
"""Bytes; a larger one is no event of a person."""
_ADDRESSES_REMEMBERED = 50_000
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
    event_id: str | None
    counted: bool
    record: Record


class Reader:
    """Reads the records of one stream."""

    def __init__(self, stream: CompiledStream, future_tolerance_ms: int) -> None:
        self._contract = contract = CONTRACTS.get(stream.mapping.stream)
        inputs = inputs_of(stream.mapping)
        self._decode = quick_decoder(contract, inputs) if contract else None
        self._check = quick_check(contract) if contract else None
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
        if len(value) > LARGEST_MESSAGE:
            raise Refused(Stage.SCHEMA, f"a message of {len(value)} bytes; the limit is {LARGEST_MESSAGE}")
        ms = None
        if self._decode is not None:
            try:
                message = self._decode(value)
                ms = read_instant(message["at"])
            except UNUSUAL:
                pass
        if ms is None:
            message, ms = self._unusual(value, record)
        if ms > record.timestamp + self._tolerance and record.timestamp > 0:
            ms = record.timestamp
        get = message.get
        text = get(self._field) if self._field is not None else None
        key = (self._keys.get(text) if text.__class__ is str else None) or self._key_of(message, ms)
        event_id = get("event_id")
        if event_id is None and record.headers:
            event_id = next((origin.decode() for name, origin in record.headers if name == ORIGIN_HEADER), None)
        elif event_id.__class__ is not str:
            event_id = None
        return key, Event(message, ms, event_id, get("echo") is not True, record)

    def _unusual(self, value: bytes, record: Record) -> tuple[Message, Millis]:
        """A message that has to be seen as it was written, or whose contract has to be asked; and its time."""
        try:
            message = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise Refused(Stage.DECODE, f"not JSON: {error}") from None
        if message.__class__ is not dict:
            raise Refused(Stage.SCHEMA, "the message is no JSON object")
        given = message.get("at")
        at = read_instant(given) if given.__class__ is str else None
        if self._contract is None:
            times = (at, _loose_instant(given), in_range(record.timestamp))
            return message, next((ms for ms in times if ms is not None), 0)
        if at is None or not self._surely_valid(value):
            try:
                checked = self._contract.model_validate_json(value)
            except ValidationError as error:
                raise Refused(Stage.SCHEMA, _told(error)) from None
            if at is None:
                at = in_range((checked.at - EPOCH) // MILLISECOND)
        if at is None:
            raise Refused(Stage.SCHEMA, "at: not a date and time")
        return message, at

    def _surely_valid(self, value: bytes) -> bool:
        """Whether a quick look shows that the contract is kept."""
        if self._decode is not None or self._check is None:
            return False
        try:
            self._check(value)
        except UNUSUAL:
            return False
        return True

    def _key_of(self, message: Message, ms: Millis) -> bytes:
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


def _loose_instant(given: Any) -> Millis | None:
    """The time of an added stream's message, in any form in which a message field can name a date."""
    if isinstance(given, bool) or not isinstance(given, str | int):
        return None
    return parse_date(str(given))


def _told(error: ValidationError) -> str:
    """What is wrong, without the value: it may be anything."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'message'}: {fault['msg']}" for fault in faults[:5])

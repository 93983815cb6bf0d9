"""A record of `audience-membership` as an event, or the sentence why it is none. Pure.

Four shapes are accepted unchanged: the contract's own, CloudEvents 1.0 (structured, binary), and Lytics audience
triggers. Event time: an instant that lies further in the future than the tolerance, compared with the time of append,
is cut to append plus tolerance, so that a clock that is ahead cannot block true later events for longer than that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import ValidationError

from schemas.audience_membership import AudienceChange, AudienceSnapshot
from schemas.cm_activity import CmActivity
from schemas.dead_letter import Stage
from schemas.envelope import EpochMillis
from schemas.identity import MAX_KEY_BYTES, normalise_email
from schemas.membership_command import LEAVE, BeginTransfer, read_command
from streams.export.intake import formats
from streams.export.rules.membership import MembershipEvent, RankedChange
from streams.export.rules.row import ENTER, EXIT

try:
    from streams.export.intake import native_decode
except ImportError:  # there was no C compiler
    native_decode = None  # type: ignore[assignment]

# Clocks of servers differ by seconds; minutes mean that one is wrong.
FUTURE_TOLERANCE_MS: EpochMillis = 300_000
# A field is written again with every change of the person; a value of this size is no field but a document.
MAX_FIELD_BYTES = 16_384
# Rows are JSON, and hold fields some levels down; the encoder ends at 254.
MAX_FIELD_LEVELS = 100


@dataclass(frozen=True, slots=True)
class UnreadableEvent:
    """Why a record cannot be used: the sentence names the field's path."""

    reason: str
    stage: Stage


def decode(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    position: int,
    appended: EpochMillis,
    key: bytes | None = None,
) -> MembershipEvent | UnreadableEvent:
    """Read one record. `position` is its offset, `appended` the time of its append. Never raises.

    A record that raises costs its whole batch several times over: the runtime has to find it by halving the batch.
    """
    try:
        return _decoded(value, headers, position, appended, key)
    except Exception as fault:
        return UnreadableEvent(f"no membership event: {type(fault).__name__}", Stage.SCHEMA)


def _decoded(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    position: int,
    appended: EpochMillis,
    key: bytes | None,
) -> MembershipEvent | UnreadableEvent:
    if not value:
        return UnreadableEvent("the record has no value", Stage.DECODE)
    if headers and any(name == LEAVE for name, _ in headers):
        return _leaving(key, value, position, appended)
    try:
        body = orjson.loads(value)
    except ValueError as fault:
        return UnreadableEvent(f"no JSON: {fault}", Stage.DECODE)
    if not isinstance(body, dict):
        return UnreadableEvent(f"a JSON object is required, not {type(body).__name__}", Stage.DECODE)
    if native_decode is not None and not headers:
        usual = native_decode.event_of(body, position, appended, FUTURE_TOLERANCE_MS, millis_of, fault_of_field)
        if usual is not None:
            return usual
    try:
        messages = _unwrapped(body, headers)
    except formats.EnvelopeError as fault:
        return UnreadableEvent(str(fault), Stage.SCHEMA)
    if not messages:
        return UnreadableEvent("data.segment_events: at least one is required", Stage.SCHEMA)
    event = fast(messages[0], position, appended) if len(messages) == 1 else None
    return event or _checked(messages, position, appended)


def _leaving(
    key: bytes | None, value: bytes, position: int, appended: EpochMillis
) -> MembershipEvent | UnreadableEvent:
    """Read the export's own record: the person of this key has another address since then."""
    try:
        command = read_command(value)
        email = (key or b"").decode()
    except ValueError as fault:
        return UnreadableEvent(str(fault), Stage.SCHEMA)
    if not isinstance(command, BeginTransfer):
        return UnreadableEvent(f"do: {LEAVE} is the header of another command", Stage.SCHEMA)
    return MembershipEvent(email, command.at, (), None, {}, (), position, appended, leaves_to=command.to)


def fast(message: dict[str, Any], position: int, appended: EpochMillis) -> MembershipEvent | None:
    """Read the common shape, an enter or exit in every respect as in the contract, without pydantic; else None.

    The same in C, where it was compiled: `native_decode.pyx`; a test compares both.
    """
    email, at, user = message.get("email"), message.get("at"), message.get("user", _NOBODY)
    change = message.get("change")
    rank = _RANKS.get(change) if type(change) is str else None
    audience = message.get("audience")
    if rank is None or type(audience) is not dict or type(email) is not str or type(at) is not str:
        return None
    audience_id, name = audience.get("id"), audience.get("name")
    if type(audience_id) is not str or type(name) is not str or type(user) is not dict:
        return None
    if not (0 < len(audience_id) <= 250 and 0 < len(name) <= 250):
        return None
    event_id = message.get("event_id", "")
    if not message.keys() <= _COMMON or message.get("schema_version", 1) != 1 or len(at) < _SECONDS:
        return None
    if type(event_id) is not str or len(event_id) > 128:
        return None
    normal = normalise_email(email)
    millis = millis_of(at)
    if normal is None or millis is None or len(normal) > MAX_KEY_BYTES // 4 or fault_of_field(user):
        return None
    at_millis = min(millis, appended + FUTURE_TOLERANCE_MS)
    changes = (RankedChange(audience_id, rank, at_millis),)
    return MembershipEvent(normal, at_millis, changes, None, user, ((audience_id, name),), position, appended)


_RANKS = {"enter": ENTER, "exit": EXIT}
_NOBODY: dict[str, Any] = {}
_SECONDS = len("2026-01-01T00:00:00")
_COMMON = frozenset({"schema_version", "event_id", "email", "change", "audience", "at", "user"})


def _unwrapped(body: dict[str, Any], headers: Sequence[tuple[str, bytes]]) -> list[dict[str, Any]]:
    if (attributes := formats.binary_headers(headers)) is not None:
        body = formats.with_binary_headers(body, attributes)
    elif formats.is_structured(body):
        body = formats.data_of(body)
    if formats.is_trigger(body):
        return formats.to_changes(body)
    return [body]


def _checked(messages: list[dict[str, Any]], position: int, appended: EpochMillis) -> MembershipEvent | UnreadableEvent:
    people: list[AudienceChange | AudienceSnapshot] = []
    for number, message in enumerate(messages):
        if isinstance(user := message.get("user"), dict) and (fault := fault_of_field(user)) is not None:
            return UnreadableEvent(fault, Stage.SCHEMA)
        if "at" not in message and len(messages) > 1:
            message["at"] = datetime.fromtimestamp(appended / 1000, UTC).isoformat()
        try:
            people.append(validated(message))
        except ValidationError as fault:
            where = f"segment_events[{number}]: " if len(messages) > 1 else ""
            return UnreadableEvent(where + sentence(fault), Stage.SCHEMA)
    first = people[0]
    email = normalise_email(first.email)
    if email is None:
        return UnreadableEvent("email: no e-mail address", Stage.IDENTITY)
    if len(email.encode()) > MAX_KEY_BYTES:
        return UnreadableEvent(f"email: longer than {MAX_KEY_BYTES} bytes", Stage.IDENTITY)
    previous = normalise_email(first.previous_email) if first.previous_email is not None else None
    if first.previous_email is not None and previous is None:
        return UnreadableEvent("previous_email: no e-mail address", Stage.IDENTITY)
    return _event(people, email, None if previous == email else previous, position, appended)


def validated(message: dict[str, Any]) -> AudienceChange | AudienceSnapshot:
    """Check one message against the contract. Raises pydantic's ValidationError."""
    if message.get("change") == "snapshot":
        return AudienceSnapshot.model_validate_json(orjson.dumps(message))
    return AudienceChange.model_validate_json(orjson.dumps(message))


def sentence(fault: ValidationError) -> str:
    """Return which fields are wrong, by path, and what is wrong with each; never the value: it is personal."""
    faults = []
    for error in fault.errors(include_input=False, include_url=False):
        # A snapshot has a schema of its own, so the one of changes does not name it.
        is_change = error["loc"] == ("change",) and error["type"] == "literal_error"
        wrong = "Input should be 'enter', 'exit' or 'snapshot'" if is_change else error["msg"]
        faults.append(f"{'.'.join(str(part) for part in error['loc']) or 'value'}: {wrong}")
    return "; ".join(faults)


def _event(
    people: list[AudienceChange | AudienceSnapshot],
    email: str,
    previous: str | None,
    position: int,
    appended: EpochMillis,
) -> MembershipEvent:
    cut: Callable[[datetime], EpochMillis] = lambda at: min(  # noqa: E731
        int(at.timestamp() * 1000), appended + FUTURE_TOLERANCE_MS
    )
    first = people[0]
    if isinstance(first, AudienceSnapshot):
        names = tuple((audience.id, audience.name) for audience in first.audiences)
        ids = frozenset(audience.id for audience in first.audiences)
        return MembershipEvent(email, cut(first.at), (), ids, first.user, names, position, appended, previous)
    audience_changes = [message for message in people if isinstance(message, AudienceChange)]
    changes = tuple(
        RankedChange(message.audience.id, _RANKS[message.change], cut(message.at)) for message in audience_changes
    )
    names = tuple((message.audience.id, message.audience.name) for message in audience_changes)
    return MembershipEvent(
        email, max(change.at for change in changes), changes, None, first.user, names, position, appended, previous
    )


def millis_of(text: str) -> EpochMillis | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1000)


def fault_of_field(user: dict[str, Any]) -> str | None:
    """Return what is wrong with the first field that is too large, or nested too deep to be stored; None: nothing."""
    for name, value in user.items():
        if isinstance(value, list | dict):
            try:
                text = orjson.dumps(value)
            except TypeError:  # the encoder's own limit
                return f"user.{name}: nested deeper than {MAX_FIELD_LEVELS} levels"
            if text.count(b"[") + text.count(b"{") > MAX_FIELD_LEVELS and _is_deeper(value, MAX_FIELD_LEVELS):
                return f"user.{name}: nested deeper than {MAX_FIELD_LEVELS} levels"
        elif isinstance(value, str) and len(value) > 64:
            text = orjson.dumps(value)
        else:
            continue
        if len(text) > MAX_FIELD_BYTES:
            return f"user.{name}: more than {MAX_FIELD_BYTES} bytes"
    return None


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, list | dict):
        return False
    return not levels or any(
        _is_deeper(inner, levels - 1) for inner in (value.values() if isinstance(value, dict) else value)
    )


def not_ahead(activity: CmActivity, appended: EpochMillis) -> CmActivity:
    """Return activity whose time is cut to append plus tolerance, as membership's is: else nobody could enter later."""
    latest = datetime.fromtimestamp((appended + FUTURE_TOLERANCE_MS) / 1000, UTC)
    return activity if activity.at <= latest else activity.model_copy(update={"at": latest})

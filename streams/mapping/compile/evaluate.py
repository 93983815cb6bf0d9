"""What the tools `eval` and `explain` are made of: one expression on one message or on several in order, and why a
message gives a field its value, or none.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from schemas.envelope import EpochMillis
from streams.mapping.compile.compiler import (
    FoldMessage,
    StreamMessage,
    YieldOne,
    compile_condition,
    compile_stream,
    compile_value,
    look_up,
    uses_time,
)
from streams.mapping.conditions import first, has_value
from streams.mapping.dates import DateValue, rfc3339
from streams.mapping.fields import Fields, Shape
from streams.mapping.fields.layout import layout_of
from streams.mapping.functions import Reducer, Yields
from streams.mapping.kinds import presentable, texts_of, to_number, to_text
from streams.mapping.syntax.check import check_condition, check_mapping, kind_of, reducer_of, yields
from streams.mapping.syntax.expressions import (
    Condition,
    Field,
    FunctionCall,
    Mapping,
    StreamMapping,
    spell,
    walk,
)
from streams.mapping.syntax.parse import parse_mapping

NO_VALUE = object()
"""What evaluating gives when there is no value."""


@dataclass(frozen=True, slots=True)
class Dated:
    """A message with its time, and the id by which a repetition is known."""

    message: Dictionary[str, Any]
    at: EpochMillis | None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluator:
    """A compiled expression."""

    mapping: Mapping
    test: YieldOne | None
    yielded: tuple[YieldOne, ...]
    fold: FoldMessage | None
    shape: Shape | None

    def of_message(self, dated: Dated) -> Any:
        """Return what one message yields: a JSON value, True or False for a condition, or NO_VALUE."""
        mapping, ms = self.mapping, dated.at
        if self.fold is None:
            return _decided(self.yielded[0](dated.message, ms)) if self._timed(dated) else NO_VALUE
        if not self._timed(dated) or (self.test is not None and self.test(dated.message, ms) is not True):
            return NO_VALUE
        if mapping.kind is not None:
            return self.of_messages([dated])
        return _shown(mapping, [part(dated.message, ms) for part in self.yielded])

    def of_messages(self, messages: Sequence[Dated]) -> Any:
        """Return the field after folding the messages in this order; one whose event id came before is left out."""
        if self.fold is None or self.shape is None:
            return self.of_message(messages[-1]) if messages else NO_VALUE
        if self.mapping.kind is None and isinstance(self.mapping.expression, Field):
            return self._latest(_once(messages))
        fields = Fields(self.shape)
        for arrival, dated in enumerate(_once(messages)):
            if self._timed(dated):
                self.fold(fields, dated.message, dated.at or 0, arrival, True, "", [])
        return fields.public().get(self.mapping.field, NO_VALUE)

    def _latest(self, messages: Sequence[Dated]) -> Any:
        """A plain field without a kind: the latest value as it came."""
        newest, value = None, NO_VALUE
        for arrival, dated in enumerate(messages):
            stamp, this = (dated.at or 0, arrival), self.of_message(dated)
            if this is not NO_VALUE and (newest is None or stamp > newest):
                newest, value = stamp, this
        return value

    def _timed(self, dated: Dated) -> bool:
        """Whether the message has the time that the expression asks for."""
        parts = [self.mapping.expression, *([self.mapping.condition] if self.mapping.condition is not None else [])]
        return dated.at is not None or not any(map(uses_time, parts))


@lru_cache(maxsize=4096)
def evaluator(text: str, kind: str | None = None) -> Evaluator:
    """Return the evaluator of `expression [IF condition] [AS field] [KIND kind]`. Raises MappingError."""
    mapping = parse_mapping(f"{text}\nKIND {kind}" if kind else text)
    if isinstance(mapping.expression, Condition):
        check_condition(mapping.expression, "<expression>")
        return Evaluator(mapping, None, (compile_condition(mapping.expression),), None, None)
    check_mapping(mapping, "<expression>")
    test = None if mapping.condition is None else compile_condition(mapping.condition)
    stream = StreamMapping("expression", "user", FunctionCall("none", ()), (mapping,))
    layout = layout_of([stream])
    yielded = tuple(map(compile_value, reducer_of(mapping.expression)[1]))
    return Evaluator(mapping, test, yielded, compile_stream(stream, layout).fold, Shape(layout))


def _once(messages: Sequence[Dated]) -> list[Dated]:
    seen: set[str] = set()
    kept = []
    for dated in messages:
        if dated.event_id is None or dated.event_id not in seen:
            kept.append(dated)
        if dated.event_id is not None:
            seen.add(dated.event_id)
    return kept


def _decided(condition: bool | None) -> Any:
    return NO_VALUE if condition is None else condition


def _shown(mapping: Mapping, values: list[Any]) -> Any:
    """What one message yields before the field's kind is applied, as JSON."""
    reducer, arguments = reducer_of(mapping.expression)
    value = values[0]
    if reducer is not Reducer.LATEST and yields(arguments[0]) is Yields.INSTANT and value is not None:
        value = rfc3339(value)
    match reducer:
        case Reducer.COUNT:
            return 1 if has_value(value) else NO_VALUE
        case Reducer.SET:
            texts = sorted(set(texts_of(value)[0]))
            return texts or NO_VALUE
        case Reducer.VALUECT:
            text = to_text(first(value)) if has_value(first(value)) else None
            return {text: 1} if text else NO_VALUE
        case Reducer.MAP:
            key, held = first(value), values[1]
            text = to_text(key) if has_value(key) else None
            return {text: _public(held)} if text and has_value(held) else NO_VALUE
        case Reducer.MIN | Reducer.MAX if yields(arguments[0]) is not Yields.INSTANT:
            number = to_number(value) if has_value(value) else None
            return NO_VALUE if number is None else number
    if yields(arguments[0]) is Yields.INSTANT and isinstance(value, int):
        value = rfc3339(value)
    value = _public(value)
    empty_list = isinstance(mapping.expression, FunctionCall) and value == []
    return value if has_value(value) or empty_list else NO_VALUE


def _public(value: Any) -> Any:
    """A value as JSON has it: dates as RFC 3339, text without broken bytes."""
    if isinstance(value, str):
        return presentable(value)
    if value.__class__ is DateValue:
        return rfc3339(value)
    if isinstance(value, list):
        return [_public(element) for element in value]
    return {key: _public(element) for key, element in value.items()} if isinstance(value, dict) else value


@dataclass(frozen=True, slots=True)
class Explained:
    """What one mapping made of one message."""

    field: str
    expression: str
    kind: str
    condition: str | None
    holds: bool | None
    """What the condition came to; None: there is none, or it could not be evaluated."""
    value: Any
    """What the field would be after this message alone; None for no value."""
    why: str
    """Why there is no value; empty when there is one."""


def explain(stream: StreamMapping, message: StreamMessage, at: EpochMillis) -> Iterator[Explained]:
    """Yield what every mapping of the stream makes of the message."""
    for mapping in stream.mappings:
        holds = None if mapping.condition is None else compile_condition(mapping.condition)(message, at)
        value, why = _value(stream, mapping, message, at) if mapping.condition is None or holds is True else (None, "")
        if mapping.condition is not None and holds is not True:
            why = "the condition is false" if holds is False else "the condition cannot be evaluated"
        condition = None if mapping.condition is None else spell(mapping.condition)
        yield Explained(mapping.field, spell(mapping.expression), kind_of(mapping), condition, holds, value, why)


def _value(stream: StreamMapping, mapping: Mapping, message: StreamMessage, at: EpochMillis) -> tuple[Any, str]:
    alone = StreamMapping(stream.stream, stream.entity, stream.key, (mapping,), stream.where)
    layout = layout_of([alone])
    fields = Fields(Shape(layout))
    refused: list[str] = []
    address = compile_value(stream.key)(message, at)
    if address is None:
        return None, f"{spell(stream.key)} has no value: the message belongs to no profile"
    if message.get("echo") is True:
        return None, "the message is the echo of our own write, which changes no field"
    compile_stream(alone, layout).fold(fields, message, at, 0, True, address, refused)
    public = fields.public()
    if mapping.field in public:
        return public[mapping.field], ""
    return None, _why_none(mapping, message, at, refused)


def _why_none(mapping: Mapping, message: StreamMessage, at: EpochMillis, refused: list[str]) -> str:
    if refused:
        return f"the value cannot become {kind_of(mapping)}"
    for argument in reducer_of(mapping.expression)[1]:
        for field in (node for node in walk(argument) if isinstance(node, Field)):
            found = look_up(message, field.name)
            if not has_value(found):
                return f"{field.name} is {'absent' if found is None else 'empty'}"
        for node in reversed(list(walk(argument))):
            if compile_value(node)(message, at) is None:
                return f"{spell(node)} has no value"
    return "no value"

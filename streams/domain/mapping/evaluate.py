"""One expression on one message or on several in order: what the tools `eval` and `explain` are made of."""

from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from streams.domain.mapping.check import check_condition, check_mapping, reducer_of, yields
from streams.domain.mapping.compile import (
    FoldMessage,
    YieldOne,
    compile_condition,
    compile_stream,
    compile_value,
    uses_time,
)
from streams.domain.mapping.conditions import first, has_value
from streams.domain.mapping.dates import Millis, rfc3339
from streams.domain.mapping.expressions import Call, Condition, Field, Mapping, StreamMapping
from streams.domain.mapping.fields import Fields, Shape
from streams.domain.mapping.functions import Reducer, Yields
from streams.domain.mapping.kinds import presentable, texts_of, to_number, to_text
from streams.domain.mapping.layout import layout_of
from streams.domain.mapping.parse import parse_mapping

NO_VALUE = object()
"""What evaluating gives when there is no value."""

_KEY = Call("email", (Field("email"),))


@dataclass(frozen=True, slots=True)
class Dated:
    """A message with its time, and the id by which a repetition is known."""

    message: Dictionary[str, Any]
    at: Millis | None
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
    stream = StreamMapping("expression", "user", Call("none", ()), (mapping,))
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
            key, held = first(value), first(values[1])
            text = to_text(key) if has_value(key) else None
            return {text: held} if text and has_value(held) else NO_VALUE
        case Reducer.MIN | Reducer.MAX if yields(arguments[0]) is not Yields.INSTANT:
            number = to_number(value) if has_value(value) else None
            return NO_VALUE if number is None else number
    if yields(arguments[0]) is Yields.INSTANT and isinstance(value, int):
        value = rfc3339(value)
    if isinstance(value, str):
        value = presentable(value)
    return value if has_value(value) else NO_VALUE

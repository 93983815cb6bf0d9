"""Why a message gives a field its value, or none: every mapping of a stream, one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from streams.domain.mapping.check import kind_of, reducer_of
from streams.domain.mapping.compile import Message, compile_condition, compile_stream, compile_value, look_up
from streams.domain.mapping.conditions import has_value
from streams.domain.mapping.dates import Millis
from streams.domain.mapping.expressions import Field, Mapping, StreamMapping, spell, walk
from streams.domain.mapping.fields import Fields, Shape
from streams.domain.mapping.layout import layout_of


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


def explain(stream: StreamMapping, message: Message, at: Millis) -> Iterator[Explained]:
    """Yield what every mapping of the stream makes of the message."""
    for mapping in stream.mappings:
        holds = None if mapping.condition is None else compile_condition(mapping.condition)(message, at)
        value, why = _value(stream, mapping, message, at) if mapping.condition is None or holds is True else (None, "")
        if mapping.condition is not None and holds is not True:
            why = "the condition is false" if holds is False else "the condition cannot be evaluated"
        condition = None if mapping.condition is None else spell(mapping.condition)
        yield Explained(mapping.field, spell(mapping.expression), kind_of(mapping), condition, holds, value, why)


def _value(stream: StreamMapping, mapping: Mapping, message: Message, at: Millis) -> tuple[Any, str]:
    alone = StreamMapping(stream.stream, stream.entity, stream.key, (mapping,))
    layout = layout_of([alone])
    fields = Fields(Shape(layout))
    refused: list[str] = []
    address = compile_value(stream.key)(message, at)
    if address is None:
        return None, f"{spell(stream.key)} has no value: the message belongs to no profile"
    compile_stream(alone, layout).fold(fields, message, at, 0, message.get("echo") is not True, address, refused)
    public = fields.public()
    if mapping.field in public:
        return public[mapping.field], ""
    return None, _why_none(mapping, message, at, refused)


def _why_none(mapping: Mapping, message: Message, at: Millis, refused: list[str]) -> str:
    if message.get("echo") is True and kind_of(mapping) in ("int", "map[string]intsum"):
        return "the message is the echo of our own write, which is not counted"
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

"""A stream's mappings -> one Python function, generated as source that can be read (`cm-streams mapping show`).

Mappings under the same condition share one `if`, so a condition is evaluated once for a message; every field of the
message is read once; what an untouched branch needs is not computed at all.
"""

import linecache
from collections.abc import Callable, Collection
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from typing import Any

from schemas.envelope import EpochMillis
from schemas.identity import domain_of
from streams.mapping import conditions, kinds
from streams.mapping.compile import unusual
from streams.mapping.compile.fold_source import write_fold
from streams.mapping.compile.source import FunctionScope, condition, decided, one_line, value
from streams.mapping.compile.unusual import Unconvertible
from streams.mapping.dates import rfc3339
from streams.mapping.fields import Fields
from streams.mapping.fields.layout import Layout
from streams.mapping.fields.reference import Arrival
from streams.mapping.functions import FUNCTIONS
from streams.mapping.functions.lists import like
from streams.mapping.functions.numbers import calculate
from streams.mapping.syntax.expressions import (
    Expression,
    Field,
    FunctionCall,
    Literal,
    Mapping,
    StreamMapping,
    children,
    spell,
    walk,
)

StreamMessage = Any
"""A dict of fields; or, of streams whose fields are known beforehand, an object with an attribute for each of them."""
FoldMessage = Callable[[Fields, StreamMessage, EpochMillis, Arrival, bool, str, Unconvertible], bool]
"""(fields, message, message time, arrival, counted, address, refused) -> anything changed.

`counted` is false for a message that must not add to any count; `address` is the profile's key as text; `refused`
receives the name of a field for each value that could not become the field's kind.
"""
YieldOne = Callable[[StreamMessage, EpochMillis | None], Any]

_ALWAYS = Literal(True)


@dataclass(frozen=True, slots=True)
class CompiledStream:
    """One stream's mappings, ready to fold."""

    mapping: StreamMapping
    source: str
    fold: FoldMessage
    attributes: bool
    """Messages are objects with attributes; else dicts."""


def compile_stream(stream: StreamMapping, layout: Layout, known: Collection[str] = ()) -> CompiledStream:
    """Return the stream's fold. The mappings are checked before (`check_stream`, `layout_of`).

    `known` are the fields of the stream's messages, where they are known beforehand: when the mappings ask for no
    others, messages are objects with these attributes, which is quicker than a dict.
    """
    name = f"fold_{stream.stream}" if stream.stream.isascii() and stream.stream.isidentifier() else "fold_stream"
    attributes = inputs_of(stream) <= set(known) and not _reads_all(stream)
    scope = FunctionScope(attributes=attributes)
    numbers = {name: number for number, name in enumerate(layout.fields)}

    def write(mapping: Mapping) -> None:
        write_fold(scope, mapping, layout.fields[mapping.field], numbers[mapping.field])

    groups: dict[str, list[Mapping]] = {}
    for mapping in stream.mappings:
        groups.setdefault("" if mapping.condition is None else spell(mapping.condition), []).append(mapping)
    if stream.where is not None:
        code = condition(scope, stream.where)
        with scope.block(f"if {'not ' + code if decided(stream.where) else code + ' is not True'}:"):
            scope.add("return False")
    for field in _read_early(groups):
        value(scope, field)
    for mapping in groups.pop("", []):
        write(mapping)
    for mappings in groups.values():
        scope.add()
        code = condition(scope, mappings[0].condition or _ALWAYS)
        with scope.block(f"if {code[1:-1] if code.startswith('(') else code}:"):
            for mapping in mappings:
                write(mapping)
    head = [
        f"def {name}(fields, message, ms, arrival, counted, address, refused):",
        f"    {_docstring(stream)}",
        *([] if attributes else ["    get = message.get"]),
        "    fields.changed = False",
    ]
    source = "\n".join([*head, *scope.lines, "    return fields.changed", ""])
    return CompiledStream(stream, source, _function(source, name, stream.file), attributes)


def compile_condition(node: Expression) -> YieldOne:
    """Return a function of (message, message time) that decides a condition: True, False or None."""
    scope = FunctionScope()
    result = condition(scope, node)
    return _single(scope, result)


def compile_value(node: Expression, *, attributes: bool = False) -> YieldOne:
    """Return a function of (message, message time) that computes a value, None for no value."""
    scope = FunctionScope(attributes=attributes)
    result = value(scope, node)
    return _single(scope, result)


def uses_time(node: Expression) -> bool:
    """Whether an expression asks for the message time."""
    function = FUNCTIONS.get(node.name) if isinstance(node, FunctionCall) else None
    if function is not None and function.needs_time(len(children(node))):
        return True
    return any(map(uses_time, children(node)))


def inputs_of(stream: StreamMapping) -> set[str]:
    """Return the names of the message's fields that a stream's mappings and key read."""
    return {field.name for node in _expressions(stream) for field in _fields(node)}


def look_up(message: Dictionary[str, Any], name: str) -> Any:
    """Return the field of that very name, else follow the name's dots into objects."""
    found: Any = message.get(name)
    if found is not None:
        return found
    found = message
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _expressions(stream: StreamMapping) -> list[Expression]:
    nodes = [stream.key, *(mapping.expression for mapping in stream.mappings)]
    nodes += [mapping.condition for mapping in stream.mappings if mapping.condition is not None]
    return nodes if stream.where is None else [*nodes, stream.where]


def _reads_all(stream: StreamMapping) -> bool:
    """Whether a function looks through all fields of the message."""
    nodes = (node for expression in _expressions(stream) for node in walk(expression))
    return any(
        isinstance(node, FunctionCall) and node.name in FUNCTIONS and FUNCTIONS[node.name].takes_message
        for node in nodes
    )


def _read_early(groups: Dictionary[str, list[Mapping]]) -> list[Field]:
    """The fields that several groups or any condition need, in the order in which they are first named."""
    uses: dict[Field, set[str]] = {}
    for group, mappings in groups.items():
        for mapping in mappings:
            for field in _fields(mapping.expression):
                uses.setdefault(field, set()).add(group)
            for field in _fields(mapping.condition) if mapping.condition is not None else ():
                uses.setdefault(field, set()).update((group, "its condition"))
    return [field for field, where in uses.items() if len(where) > 1]


def _fields(node: Expression) -> list[Field]:
    found = [node] if isinstance(node, Field) else []
    for child in children(node):
        found += _fields(child)
    return found


def _docstring(stream: StreamMapping) -> str:
    """Return the function's docstring as source; names that would end it are a literal like any other."""
    text = f"Fold a message of {stream.stream} into a profile; True when it changed. Made from {stream.file}."
    return repr(text) if one_line(text) != text or {'"', "\\"} & set(text) else f'"""{text}"""'


def _single(scope: FunctionScope, result: str) -> YieldOne:
    get = [] if scope.attributes else ["    get = message.get"]
    lines = ["def yielded(message, ms):", *get, *scope.lines, f"    return {result}", ""]
    function: YieldOne = _function("\n".join(lines), "yielded", "expression")
    return function


def _function(source: str, name: str, origin: str) -> Any:
    file = f"<{name} of {one_line(origin)}>"
    namespace = dict(NAMES)
    exec(compile(source, file, "exec"), namespace)  # noqa: S102 - ours: names are checked, texts are literals
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    return namespace[name]


NAMES: dict[str, Any] = {
    name: getattr(module, name)
    for module, names in (
        (
            conditions,
            "any_of between contains different equal every first has_value member opposite ordered same truth",
        ),
        (kinds, "ms_to_date to_date to_int to_number to_text texts_of"),
        (unusual, "bump_all bump_any insert_any latest_of_any put_all"),
    )
    for name in names.split()
}
NAMES |= {"look_up": look_up, "rfc3339": rfc3339, "domain_of": domain_of, "calculate": calculate, "call_like": like}
NAMES |= {"call_" + name.replace(".", "_"): function.of for name, function in FUNCTIONS.items()}
NAMES |= {
    f"call_{name.replace('.', '_')}_at": function.of_time for name, function in FUNCTIONS.items() if function.of_time
}
NAMES |= {
    f"call_{name.replace('.', '_')}_two": function.of_two for name, function in FUNCTIONS.items() if function.of_two
}
"""What generated source may call."""

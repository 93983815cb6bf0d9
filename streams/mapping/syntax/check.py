"""Mappings against the rules of the language: what is wrong is reported before the first record, with its place."""

from collections.abc import Callable
from typing import Any

from streams.mapping.functions import FUNCTIONS, REDUCERS, Reducer, Yields
from streams.mapping.kinds import FieldKind
from streams.mapping.syntax.expressions import (
    All,
    Between,
    Calculate,
    Compare,
    Condition,
    Exists,
    Expression,
    Field,
    FunctionCall,
    In,
    Literal,
    Mapping,
    MappingError,
    Not,
    Some,
    StreamMapping,
    children,
    spell,
)

_KINDS_OF: dict[Reducer, tuple[FieldKind, ...]] = {
    Reducer.LATEST: (
        FieldKind.STRING,
        FieldKind.INT,
        FieldKind.NUMBER,
        FieldKind.DATE,
        FieldKind.SET,
        FieldKind.MAP,
        FieldKind.SUMS,
    ),
    Reducer.COUNT: (FieldKind.INT, FieldKind.NUMBER),
    Reducer.SET: (FieldKind.SET,),
    Reducer.VALUECT: (FieldKind.SUMS,),
    Reducer.MAP: (FieldKind.MAP, FieldKind.SUMS),
    Reducer.MIN: (FieldKind.NUMBER, FieldKind.INT, FieldKind.DATE),
    Reducer.MAX: (FieldKind.NUMBER, FieldKind.INT, FieldKind.DATE),
}
"""The kinds that a field may have by the way it is folded; the first one is implied when none is given."""

_IMPLIED = {
    Yields.INT: FieldKind.INT,
    Yields.NUMBER: FieldKind.NUMBER,
    Yields.INSTANT: FieldKind.DATE,
    Yields.MESSAGE_TIME: FieldKind.INT,
    Yields.LIST: FieldKind.SET,
    Yields.MAP: FieldKind.MAP,
}


def check_stream(stream: StreamMapping) -> None:
    """Refuse unknown functions, wrong arguments, impossible kinds and a key that is no e-mail. Raises MappingError."""
    if not stream.mappings:
        raise MappingError("there is no mapping", file=stream.file, at=stream.at)
    if stream.entity != "user":
        raise MappingError(
            f"INTO {stream.entity}: profiles are of users", file=stream.file, at=stream.at, expected="user"
        )
    key = stream.key
    if not (isinstance(key, FunctionCall) and key.name == "email" and len(key.arguments) == 1):
        raise MappingError(
            f"BY {spell(key)}: a profile's key is one e-mail address (several keys and `_uid` are not supported)",
            file=stream.file,
            at=key.at,
            expected="email(...)",
        )
    _value(key, stream.file)
    if stream.where is not None:
        check_condition(stream.where, stream.file)
    for mapping in stream.mappings:
        check_mapping(mapping, stream.file)


def check_mapping(mapping: Mapping, file: str) -> None:
    """Refuse one mapping that cannot be compiled. Raises MappingError."""
    reducer, arguments = reducer_of(mapping.expression)
    if reducer is not Reducer.LATEST:
        wanted = REDUCERS[_name(mapping.expression)][1]
        if len(arguments) != wanted:
            problem = f"{_name(mapping.expression)} takes {_count(wanted)}, not {len(arguments)}"
            raise MappingError(problem, file=file, at=mapping.at)
    for argument in arguments:
        _value(argument, file)
    if mapping.condition is not None:
        check_condition(mapping.condition, file)
    kind, allowed = kind_of(mapping), _KINDS_OF[reducer]
    if kind not in allowed:
        problem = f"{mapping.field}: {reducer.value} cannot fill a field of kind {kind}"
        raise MappingError(problem, file=file, at=mapping.at, expected=" or ".join(allowed))
    if kind not in (FieldKind.SET, FieldKind.MAP, FieldKind.SUMS) and (mapping.capacity or mapping.keep_days):
        raise MappingError(f"{mapping.field}: CAPACITY and KEEPDAYS are for sets and maps", file=file, at=mapping.at)


def check_condition(node: Expression, file: str) -> None:
    """Refuse a condition that cannot be true of any message. Raises MappingError."""
    match node:
        case All() | Some() | Not():
            for condition in children(node):
                check_condition(condition, file)
        case Compare() | In() | Between() | Exists():
            for operand in children(node):
                _value(operand, file)
        case Field():
            pass
        case Literal() if isinstance(node.value, bool):
            pass
        case FunctionCall() if yields(node) in (Yields.BOOL, Yields.ANYTHING):
            _value(node, file)
        case _:
            problem = f"{spell(node)} is not a condition"
            raise MappingError(problem, file=file, at=node.at, expected="a comparison, IN, EXISTS or a boolean")


def reducer_of(expression: Expression) -> tuple[Reducer, tuple[Expression, ...]]:
    """Return how the field is folded, and the values that are folded in."""
    if isinstance(expression, FunctionCall) and expression.name in REDUCERS:
        return REDUCERS[expression.name][0], expression.arguments
    return Reducer.LATEST, (expression,)


def kind_of(mapping: Mapping) -> FieldKind:
    """Return the field's kind: the given one, or the one that its expression implies."""
    if mapping.kind is not None:
        return mapping.kind
    reducer, arguments = reducer_of(mapping.expression)
    if reducer is not Reducer.LATEST:
        return (
            FieldKind.DATE
            if reducer in (Reducer.MIN, Reducer.MAX) and yields(arguments[0]) is Yields.INSTANT
            else _KINDS_OF[reducer][0]
        )
    return _IMPLIED.get(yields(arguments[0]), FieldKind.STRING)


def yields(node: Expression) -> Yields:
    """Return what kind of value an expression gives, when it gives one."""
    if isinstance(node, FunctionCall) and node.name in FUNCTIONS:
        return FUNCTIONS[node.name].yields
    if isinstance(node, Condition):
        return Yields.BOOL
    return Yields.NUMBER if isinstance(node, Calculate) else Yields.ANYTHING


def _value(node: Expression, file: str) -> None:
    if isinstance(node, Condition):
        check_condition(node, file)
        return
    if isinstance(node, FunctionCall):
        _call(node, file)
    for argument in children(node):
        _value(argument, file)


def _call(node: FunctionCall, file: str) -> None:
    function = FUNCTIONS.get(node.name)
    if function is None and node.name in REDUCERS:
        problem = f"{node.name} folds values over time and cannot be used inside of another function or a condition"
        raise MappingError(problem, file=file, at=node.at)
    if function is None:
        known = ", ".join(sorted({*FUNCTIONS, *REDUCERS}))
        raise MappingError(f"there is no function {node.name}", file=file, at=node.at, expected=f"one of {known}")
    if not function.min_arguments <= len(node.arguments) <= function.max_arguments:
        limits = (
            _count(function.min_arguments)
            if function.min_arguments == function.max_arguments
            else f"{function.min_arguments} to {_count(function.max_arguments)}"
        )
        raise MappingError(f"{node.name} takes {limits}, not {len(node.arguments)}", file=file, at=node.at)
    for index, understood in function.literals.items():
        _literal(node, index, understood, file)


def _literal(node: FunctionCall, index: int, understood: Callable[[str], Any], file: str) -> None:
    """Refuse an argument that is no text in quotes, or a text that means nothing to the function."""
    for argument in node.arguments[index : index + 1]:
        if not isinstance(argument, Literal) or not isinstance(argument.value, str):
            problem = f"{node.name}: {spell(argument)} is not a text in quotes"
            raise MappingError(problem, file=file, at=argument.at)
        try:
            understood(argument.value)
        except ValueError as error:
            problem = f"{node.name}: {' '.join(str(error).split())}"
            raise MappingError(problem, file=file, at=argument.at) from None


def _name(node: Expression) -> str:
    return node.name if isinstance(node, FunctionCall) else ""


def _count(number: int) -> str:
    return "no argument" if number == 0 else "1 argument" if number == 1 else f"{number} arguments"

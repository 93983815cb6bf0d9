"""Python source that folds one mapping's value into its field: the compiler's upper half."""

from collections.abc import Iterator
from contextlib import contextmanager

from streams.mapping.compile.source import FunctionScope, one_line, value
from streams.mapping.fields.layout import FoldMode, ProfileField
from streams.mapping.functions import Reducer, Yields
from streams.mapping.kinds import FieldKind
from streams.mapping.syntax.check import reducer_of, yields
from streams.mapping.syntax.expressions import Expression, Literal, Mapping, spell

_TIMES = (Yields.MESSAGE_TIME, Yields.INSTANT)


def write_fold(scope: FunctionScope, mapping: Mapping, field: ProfileField, number: int) -> None:
    """Write the statements that fold one mapping into field `number`; the caller has checked its condition."""
    scope.add("# " + one_line(f"{spell(mapping.expression)} AS {field.name}"))
    _, arguments = reducer_of(mapping.expression)
    match field.fold:
        case FoldMode.IDENTITY:
            _of_key(scope, number, "address")
        case FoldMode.DOMAIN:
            _of_key(scope, number, "domain_of(address)")
        case FoldMode.LATEST:
            _latest(scope, field, number, arguments[0])
        case FoldMode.ADD:
            _add(scope, number, arguments[0])
        case FoldMode.MIN | FoldMode.MAX:
            _extreme(scope, field, number, arguments[0])
        case FoldMode.SET:
            _set(scope, field, number, arguments[0])
        case FoldMode.MAP:
            _map(scope, field, number, arguments)
        case FoldMode.SUMS | FoldMode.BUCKETS:
            _sums(scope, field, number, mapping, arguments)


def _of_key(scope: FunctionScope, number: int, code: str) -> None:
    with scope.block(f"if not fields.has({number}):"):
        scope.add(f"fields.identify({number}, {code})")


def _latest(scope: FunctionScope, field: ProfileField, number: int, argument: Expression) -> None:
    source, kind = _named(scope, argument), yields(argument)
    if field.kind is FieldKind.DATE and kind is Yields.MESSAGE_TIME:
        scope.add(f"fields.latest({number}, rfc3339(ms), ms, arrival)")
    elif field.kind is FieldKind.STRING and kind is Yields.ANYTHING:
        with scope.block(f"if {source} is not None and not fields.latest_text({number}, {source}, ms, arrival):"):
            scope.add(f"latest_of_any(fields, {number}, {source}, ms, arrival, {field.name!r}, refused)")
    else:
        shown = "rfc3339(new)" if field.kind is FieldKind.DATE else "new"
        with scope.block(f"if has_value({source}):"), _converted(scope, field, source, kind):
            scope.add(f"fields.latest({number}, {shown}, ms, arrival)")


def _add(scope: FunctionScope, number: int, argument: Expression) -> None:
    source = _named(scope, argument)
    with scope.block(f"if counted and ({source} or has_value({source})):"):
        scope.add(f"fields.add({number})")


def _extreme(scope: FunctionScope, field: ProfileField, number: int, argument: Expression) -> None:
    kind = yields(argument)
    if kind is Yields.MESSAGE_TIME:
        scope.add(f"fields.extreme({number}, ms)")
        return
    source = value(scope, argument)
    with scope.block(f"if has_value({source}):"), _converted(scope, field, source, kind):
        scope.add(f"fields.extreme({number}, new)")


def _set(scope: FunctionScope, field: ProfileField, number: int, argument: Expression) -> None:
    if isinstance(argument, Literal) and isinstance(argument.value, str) and argument.value:
        scope.add(f"fields.insert({number}, {value(scope, argument)}, ms)")
        return
    source, kind = _named(scope, argument), yields(argument)
    if kind is Yields.TEXT:
        with scope.block(f"if {source}:"):
            scope.add(f"fields.insert({number}, to_text({source}), ms)")
    else:
        with scope.block(f"if {source} is not None and not fields.insert({number}, {source}, ms):"):
            scope.add(f"insert_any(fields, {number}, {source}, ms, {field.name!r}, refused)")


def _map(scope: FunctionScope, field: ProfileField, number: int, arguments: tuple[Expression, ...]) -> None:
    if len(arguments) == 1:
        source = value(scope, arguments[0])
        with scope.block(f"if has_value({source}):"):
            scope.add(f"put_all(fields, {number}, {source}, ms, arrival, {field.name!r}, refused)")
        return
    with _entry(scope, field, arguments):
        scope.add(f"fields.put({number}, key, new, ms, arrival)")


def _sums(
    scope: FunctionScope, field: ProfileField, number: int, mapping: Mapping, arguments: tuple[Expression, ...]
) -> None:
    reducer, _ = reducer_of(mapping.expression)
    if reducer is Reducer.MAP:
        with _entry(scope, field, arguments, "counted and "):
            scope.add(f"fields.bump({number}, key, ms, new)")
        return
    source, kind = _named(scope, arguments[0]), yields(arguments[0])
    if reducer is Reducer.LATEST:
        with scope.block(f"if counted and has_value({source}):"):
            scope.add(f"bump_all(fields, {number}, {source}, ms, {field.name!r}, refused)")
        return
    if field.fold is FoldMode.BUCKETS or kind in (Yields.INT, *_TIMES):
        with scope.block(f"if counted and {source} is not None:"):
            call = (
                f"add_to_bucket({number}, {source})"
                if field.fold is FoldMode.BUCKETS
                else f"bump({number}, str({source}), ms)"
            )
            scope.add(f"fields.{call}")
    elif kind is Yields.TEXT:
        with scope.block(f"if counted and {source}:"):
            scope.add(f"fields.bump({number}, to_text({source}), ms)")
    else:
        with scope.block(f"if counted and {source} is not None and not fields.bump({number}, {source}, ms):"):
            scope.add(f"bump_any(fields, {number}, {source}, ms, {field.name!r}, refused)")


def _named(scope: FunctionScope, argument: Expression) -> str:
    """A variable that holds the value: Python warns of a constant that is compared with None."""
    source = value(scope, argument)
    return scope.keep(argument, source, "constant") if isinstance(argument, Literal) else source


@contextmanager
def _entry(
    scope: FunctionScope, field: ProfileField, arguments: tuple[Expression, ...], guard: str = ""
) -> Iterator[None]:
    """Write the key and value of map(key, value) into `key` and `new`, for the statements that use them."""
    key, held = (value(scope, argument) for argument in arguments)
    convert = "to_int" if field.fold is FoldMode.SUMS else "to_text"
    with scope.block(f"if {guard}has_value(first({key})) and has_value(first({held})):"):
        scope.add(f"key, new = to_text({key}), {convert}({held})")
        with scope.block("if key is None or new is None:"):
            scope.add(f"refused.append({field.name!r})")
        with scope.block("else:"):
            yield


@contextmanager
def _converted(scope: FunctionScope, field: ProfileField, source: str, given: Yields) -> Iterator[None]:
    """Write a value of the field's kind into `new`, for the statements that use it; what is none is reported."""
    scope.add(f"new = {_conversion(field.kind, source, given)}")
    with scope.block("if new is None:"):
        scope.add(f"refused.append({field.name!r})")
    with scope.block("else:"):
        yield


def _conversion(kind: FieldKind, source: str, given: Yields) -> str:
    if given in _TIMES and kind is not FieldKind.STRING:
        return source if kind is not FieldKind.NUMBER else f"to_number({source})"
    match kind:
        case FieldKind.INT:
            return f"to_int({source})"
        case FieldKind.NUMBER:
            return f"to_number({source})"
        case FieldKind.DATE:
            return f"to_date({source})" if given in (Yields.ANYTHING, Yields.TEXT) else f"ms_to_date({source})"
    return f"rfc3339({source})" if given is Yields.INSTANT else f"to_text({source})"

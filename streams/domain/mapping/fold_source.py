"""Python source that folds one mapping's value into its field: the compiler's upper half."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streams.domain.mapping.check import reducer_of, yields
from streams.domain.mapping.expressions import Expression, Literal, Mapping, spell
from streams.domain.mapping.functions import Reducer, Yields
from streams.domain.mapping.kinds import Kind
from streams.domain.mapping.layout import Fold, ProfileField
from streams.domain.mapping.source import Scope, value

_TIMES = (Yields.MESSAGE_TIME, Yields.INSTANT)


def write_fold(scope: Scope, mapping: Mapping, field: ProfileField) -> None:
    """Write the statements that fold one mapping; its condition is known to hold where they stand."""
    scope.add(f"# {spell(mapping.expression)} AS {field.name}")
    _, arguments = reducer_of(mapping.expression)
    match field.fold:
        case Fold.IDENTITY:
            _of_key(scope, field, "address")
        case Fold.DOMAIN:
            _of_key(scope, field, "domain_of(address)")
        case Fold.LATEST:
            _latest(scope, field, arguments[0])
        case Fold.ADD:
            _add(scope, field, arguments[0])
        case Fold.MIN | Fold.MAX:
            _extreme(scope, field, arguments[0])
        case Fold.SET:
            _set(scope, field, arguments[0])
        case Fold.MAP:
            _map(scope, field, arguments)
        case Fold.SUMS | Fold.TALLY:
            _sums(scope, field, mapping, arguments)


def _of_key(scope: Scope, field: ProfileField, code: str) -> None:
    with scope.block(f"if {field.name!r} not in public:"):
        scope.add(f"public[{field.name!r}] = {code}")
        scope.add("changed = True")


def _latest(scope: Scope, field: ProfileField, argument: Expression) -> None:
    wanted, at = f"public[{field.name!r}]", f"hidden[{field.slot}]"

    def keep(source: str) -> None:
        with scope.block(f"if (known := {at}) is None or stamp > known:"):
            scope.add(f"{at} = stamp")
            scope.add(f"{wanted} = {source}")
            scope.add("changed = True")

    kind = yields(argument)
    if field.kind is Kind.DATE and kind is Yields.MESSAGE_TIME:
        keep("shown")
        return
    source = value(scope, argument)
    if field.kind is Kind.STRING and kind is Yields.ANYTHING:
        with scope.block(f"if {source}.__class__ is str and {source}:"):
            keep(source)
        with scope.block(f"elif {source} is not None and has_value({source}):"):
            _convert(scope, field, f"to_text({source})", lambda: keep("new"))
    else:
        shown = "rfc3339(new)" if field.kind is Kind.DATE else "new"
        with scope.block(f"if has_value({source}):"):
            _convert(scope, field, _converted(field.kind, source, kind), lambda: keep(shown))


def _add(scope: Scope, field: ProfileField, argument: Expression) -> None:
    source = value(scope, argument)
    known = f"public.get({field.name!r}, 0)"
    with scope.block(f"if counted and ({source} or has_value({source})):"):
        scope.add(f"public[{field.name!r}] = {known} + 1")
        scope.add("changed = True")


def _extreme(scope: Scope, field: ProfileField, argument: Expression) -> None:
    sign = "<" if field.fold is Fold.MIN else ">"
    wanted, at = f"public[{field.name!r}]", f"hidden[{field.slot}]"

    def keep(source: str, shown: str) -> None:
        with scope.block(f"if (known := {at}) is None or {source} {sign} known:"):
            scope.add(f"{at} = {source}")
            scope.add(f"{wanted} = {shown}")
            scope.add("changed = True")

    kind = yields(argument)
    if kind is Yields.MESSAGE_TIME:
        keep("ms", "shown" if field.kind is Kind.DATE else "ms")
        return
    source = value(scope, argument)
    with scope.block(f"if has_value({source}):"):
        shown = "rfc3339(new)" if field.kind is Kind.DATE else "new"
        _convert(scope, field, _converted(field.kind, source, kind), lambda: keep("new", shown))


def _set(scope: Scope, field: ProfileField, argument: Expression) -> None:
    source, kind = value(scope, argument), yields(argument)
    place = f"public, hidden, {field.slot}, {field.name!r}"
    bounds = f"ms, {field.capacity}, {field.keep_ms}"
    if isinstance(argument, Literal) and isinstance(argument.value, str) and argument.value:
        scope.add(f"changed = include({place}, {source}, {bounds}) or changed")
        return
    if kind is Yields.TEXT:
        with scope.block(f"if {source}:"):
            scope.add(f"changed = include({place}, to_text({source}), {bounds}) or changed")
        return
    with scope.block(f"if {source}.__class__ is str and {source}:"):
        if field.keep_ms:
            scope.add(f"changed = include({place}, {source}, {bounds}) or changed")
        else:
            _include_again(scope, field, source, f"include({place}, {source}, {bounds})")
    with scope.block(f"elif {source} is not None:"):
        scope.add(f"texts, failed = texts_of({source})")
        scope.add(f"refused.extend([{field.name!r}] * failed)")
        scope.add(f"changed = include_all({place}, texts, {bounds}) or changed")


def _include_again(scope: Scope, field: ProfileField, source: str, otherwise: str) -> None:
    """Write the usual case of a set in place: a text comes again. The call would take longer than the work."""
    scope.add(f"texts = public.get({field.name!r}, ())")
    with scope.block(f"if (place := bisect_left(texts, {source})) == len(texts) or texts[place] != {source}:"):
        scope.add(f"changed = {otherwise} or changed")
    with scope.block(f"elif ms > (times := hidden[{field.slot}])[place]:"):
        scope.add("times[place] = ms")
        scope.add("changed = True")


def _map(scope: Scope, field: ProfileField, arguments: tuple[Expression, ...]) -> None:
    place = f"public, hidden, {field.slot}, {field.name!r}"
    bounds = f"stamp, {field.capacity}, {field.keep_ms}"
    if len(arguments) == 1:
        _whole_object(scope, field, value(scope, arguments[0]), f"put_all({place}, {{}}, {bounds})")
        return
    with _entry(scope, field, arguments):
        scope.add(f"changed = put({place}, key, new, {bounds}) or changed")


def _sums(scope: Scope, field: ProfileField, mapping: Mapping, arguments: tuple[Expression, ...]) -> None:
    place = f"public, hidden, {field.slot}, {field.name!r}"
    bounds = f"ms, {field.capacity}, {field.keep_ms}"
    reducer, _ = reducer_of(mapping.expression)
    if reducer is Reducer.LATEST:
        _whole_object(scope, field, value(scope, arguments[0]), f"bump_all({place}, {{}}, {bounds})", "counted and ")
        return
    if reducer is Reducer.MAP:
        with _entry(scope, field, arguments, "counted and "):
            scope.add(f"changed = bump({place}, key, {bounds}, new) or changed")
        return
    source, kind = value(scope, arguments[0]), yields(arguments[0])
    if field.fold is Fold.TALLY:
        with scope.block(f"if counted and {source} is not None:"):
            scope.add(f"changed = tally(public, {field.name!r}, {source})")
    elif kind in (Yields.INT, *_TIMES):
        with scope.block(f"if counted and {source} is not None:"):
            scope.add(f"changed = bump({place}, str({source}), {bounds})")
    else:
        with scope.block(f"if counted and {source}.__class__ is str and {source}:"):
            text = f"to_text({source})" if kind is Yields.TEXT else source
            scope.add(f"changed = bump({place}, {text}, {bounds})")
        if kind is not Yields.TEXT:
            with scope.block(f"elif counted and has_value({source}):"):
                _convert(
                    scope,
                    field,
                    f"to_text({source})",
                    lambda: scope.add(f"changed = bump({place}, new, {bounds})"),
                )


@contextmanager
def _entry(scope: Scope, field: ProfileField, arguments: tuple[Expression, ...], guard: str = "") -> Iterator[None]:
    """Write the key and value of map(key, value) into `key` and `new`, for the statements that use them."""
    key, held = (value(scope, argument) for argument in arguments)
    convert = "to_int" if field.fold is Fold.SUMS else "to_text"
    with scope.block(f"if {guard}has_value(first({key})) and has_value(first({held})):"):
        scope.add(f"key, new = to_text({key}), {convert}({held})")
        with scope.block("if key is None or new is None:"):
            scope.add(f"refused.append({field.name!r})")
        with scope.block("else:"):
            yield


def _whole_object(scope: Scope, field: ProfileField, source: str, call: str, guard: str = "") -> None:
    with scope.block(f"if {guard}has_value({source}):"):
        scope.add(f"folded, failed = {call.format(source)}")
        scope.add("changed = folded or changed")
        scope.add(f"refused.extend([{field.name!r}] * failed)")


def _convert(scope: Scope, field: ProfileField, code: str, then: Callable[[], None]) -> None:
    """Write a conversion into `new`, then what uses it; a value that is not of the field's kind is reported."""
    scope.add(f"new = {code}")
    with scope.block("if new is None:"):
        scope.add(f"refused.append({field.name!r})")
    with scope.block("else:"):
        then()


def _converted(kind: Kind, source: str, given: Yields) -> str:
    if given in _TIMES and kind is not Kind.STRING:
        return source if kind is not Kind.NUMBER else f"to_number({source})"
    match kind:
        case Kind.INT:
            return f"to_int({source})"
        case Kind.NUMBER:
            return f"to_number({source})"
        case Kind.DATE:
            return f"to_date({source})" if given in (Yields.ANYTHING, Yields.TEXT) else f"ms_to_date({source})"
    return f"rfc3339({source})" if given is Yields.INSTANT else f"to_text({source})"

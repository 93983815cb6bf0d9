"""Text -> mappings. Every error names file, line, column, what was found there and what was expected."""

import math
import re
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, Tree, v_args
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError

from streams.mapping.functions import REDUCERS
from streams.mapping.kinds import INT_MAX, INT_MIN, FieldKind, presentable
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
    TextPosition,
    spell,
)
from streams.mapping.syntax.grammar import GRAMMAR, NAMES_OF_TOKENS

MAX_TEXT_LENGTH = 1 << 20
"""No mapping file is longer; more is a mistake, and would only take time."""
MAX_DEPTH = 50
"""Parentheses and NOTs in each other; the compiler recurses, and so does whoever reads it."""

_COMPARISONS = {"eq": "==", "ne": "!="}
"""Functions that are another spelling of an operator."""
_OPERATORS = {"=": "==", "<>": "!="}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


def parse_stream(text: str, file: str = "<text>") -> StreamMapping:
    """Return the mappings of one file. Raises MappingError."""
    parsed: StreamMapping = _parse("file", text, file)
    return parsed


def parse_mapping(text: str, file: str = "<expression>") -> Mapping:
    """Return one mapping, `expression [IF condition] [AS field] [KIND kind]`; without AS it is
    `value`, or the field of a bare field.

    The expression may also be a condition: the tools evaluate both. Raises MappingError.
    """
    parsed: Mapping = _parse("single", text, file)
    return parsed


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", start=["file", "single"], propagate_positions=True, maybe_placeholders=True)


def _parse(start: str, text: str, file: str) -> Any:
    if len(text) > MAX_TEXT_LENGTH:
        raise MappingError(f"the text has {len(text)} characters; the limit is {MAX_TEXT_LENGTH}", file=file)
    try:
        tree = _parser().parse(text, start=start)
        _refuse_depth(tree, file)
        return _Builder(file).transform(tree)
    except UnexpectedInput as error:
        raise _explained(error, text, file) from None
    except VisitError as error:
        if isinstance(error.orig_exc, MappingError):
            raise error.orig_exc from None
        raise


def _refuse_depth(tree: Tree[Token], file: str) -> None:
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.children if isinstance(child, Tree)]
        if not level:
            return
    at = TextPosition(getattr(level[0].meta, "line", 1), getattr(level[0].meta, "column", 1))
    raise MappingError(f"nested more than {MAX_DEPTH} deep", file=file, at=at)


def _explained(error: UnexpectedInput, text: str, file: str) -> MappingError:
    expected: set[str] = set(getattr(error, "expected", None) or getattr(error, "allowed", None) or ())
    names = sorted({NAMES_OF_TOKENS.get(name, name) for name in expected - {"COMMENT", "SPACE"}})
    hint = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}" if names else ""
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        lines = text.rstrip().split("\n")
        return MappingError(
            "the text ends too early", file=file, at=TextPosition(len(lines), len(lines[-1]) + 1), expected=hint
        )
    at = TextPosition(max(error.line, 1), max(error.column, 1))
    if isinstance(error, UnexpectedToken):
        return MappingError(f"unexpected {_shown(str(error.token))}", file=file, at=at, expected=hint)
    rest = text.split("\n")[at.line - 1][at.column - 1 :]
    if rest[:1] in "\"'`":
        return MappingError("a text or name in quotes does not end on its line", file=file, at=at)
    return MappingError(f"unexpected {_shown(rest[:1])}", file=file, at=at, expected=hint)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


@v_args(inline=True, meta=True)
class _Builder(Transformer[Token, Any]):
    """Tree -> nodes. Methods are named after the rules of the grammar; the first argument is the place."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = file

    def _wrong(self, problem: str, where: Any, expected: str = "") -> MappingError:
        return MappingError(problem, file=self._file, at=_at(where), expected=expected)

    def file(self, where: Any, *parts: Any) -> StreamMapping:
        mappings = tuple(part for part in parts if isinstance(part, Mapping))
        stream, before, entity, behind, key = parts[len(mappings) : len(mappings) + 5]
        if before is not None and behind is not None:
            raise self._wrong("WHERE is given twice", where)
        only = before if before is not None else behind
        return StreamMapping(stream, entity, key, mappings, only, self._file, _at(where))

    def where(self, _where: Any, condition: Expression | None) -> Expression | None:
        return condition

    def mapping(self, where: Any, expression: Expression, condition: Expression | None, *rest: Any) -> Mapping:
        name, *_ = rest
        if name is None and not isinstance(expression, Field):
            raise self._wrong(f"{spell(expression)} has no name", where, "AS and a name")
        return self.single(where, expression, condition, *rest)

    def single(self, where: Any, expression: Expression, condition: Expression | None, *rest: Any) -> Mapping:
        """A mapping that may have no name: a field's own name, else `value`."""
        name, *options = rest
        given_options: dict[str, Any] = {}
        for option, value, there in options:
            if option in given_options:
                raise self._wrong(f"{option.replace('_', ' ')} is given twice", there)
            given_options[option] = value
        own = expression.name if isinstance(expression, Field) else "value"
        return Mapping(expression, own if name is None else name, condition, at=_at(where), **given_options)

    def short_description(self, where: Any, text: Token) -> tuple[str, str, Any]:
        return "description", _unquoted(text), where

    def long_description(self, where: Any, text: Token) -> tuple[str, str, Any]:
        return "long_description", _unquoted(text), where

    def kind(self, where: Any, spelt: str) -> tuple[str, FieldKind, Any]:
        try:
            return "kind", FieldKind(spelt.lower()), where
        except ValueError:
            raise self._wrong(f"there is no kind {spelt}", where, ", ".join(FieldKind)) from None

    def plain_kind(self, _where: Any, name: Token) -> str:
        return str(name)

    def list_kind(self, _where: Any, name: Token) -> str:
        return f"[]{name}"

    def map_kind(self, _where: Any, outer: Token, inner: Token, value: Token) -> str:
        return f"{outer}[{inner}]{value}"

    def capacity(self, where: Any, number: Token) -> tuple[str, int, Any]:
        return "capacity", self._positive(number, where), where

    def keep_days(self, where: Any, number: Token) -> tuple[str, int, Any]:
        return "keep_days", self._positive(number, where), where

    def merge_operator(self, where: Any, name: str) -> None:
        problem = f"MERGEOP {name} is not supported: how values meet follows from the function"
        raise self._wrong(problem, where, f"one of {', '.join(REDUCERS)}, or none for the latest value")

    def _positive(self, number: Token, where: Any) -> int:
        if not 1 <= int(number) <= 1_000_000:
            raise self._wrong(f"{number} is out of range", where, "a number from 1 to 1000000")
        return int(number)

    def some(self, where: Any, *conditions: Expression) -> Expression:
        return Some(conditions, _at(where))

    def all(self, where: Any, *conditions: Expression) -> Expression:
        return All(conditions, _at(where))

    def opposite(self, where: Any, condition: Expression) -> Expression:
        return Not(condition, _at(where))

    def comparison(self, where: Any, left: Expression, operator: Token, right: Expression) -> Expression:
        spelt = operator.lower()
        return Compare(_OPERATORS.get(spelt, spelt), left, right, _at(where))

    def member(self, where: Any, value: Expression, items: tuple[Expression, ...]) -> Expression:
        return In(value, items, _at(where))

    def no_member(self, where: Any, value: Expression, items: tuple[Expression, ...]) -> Expression:
        return Not(In(value, items, _at(where)), _at(where))

    def no_comparison(self, where: Any, left: Expression, operator: Token, right: Expression) -> Expression:
        return Not(self.comparison(where, left, operator, right), _at(where))

    def between(self, where: Any, value: Expression, low: Expression, high: Expression) -> Expression:
        return Between(value, low, high, _at(where))

    def not_between(self, where: Any, value: Expression, low: Expression, high: Expression) -> Expression:
        return Not(Between(value, low, high, _at(where)), _at(where))

    def calculation(self, where: Any, left: Expression, operator: Token, right: Expression) -> Expression:
        return Calculate(str(operator), left, right, _at(where))

    def negative(self, where: Any, _sign: Token, value: Expression) -> Expression:
        return Calculate("-", Literal(0, _at(where)), value, _at(where))

    def negated(self, where: Any, value: Expression) -> Expression:
        if isinstance(value, Condition):
            return Not(value, _at(where))
        return FunctionCall("not", (value,), _at(where))

    def cast(self, where: Any, name: Token, value: Expression, kind: Token) -> Expression:
        if name.lower() != "cast":
            raise self._wrong(f"AS inside of {name}", where, "cast(value AS kind)")
        return FunctionCall("cast", (value, Literal(str(kind), _at(where))), _at(where))

    def exists(self, where: Any, value: Expression) -> Expression:
        return Exists(value, _at(where))

    def listed(self, _where: Any, *items: Expression) -> tuple[Expression, ...]:
        return items

    def call_listed(self, where: Any, name: Token, *arguments: Expression | None) -> tuple[Expression, ...]:
        return (self.call(where, name, *arguments),)

    def call(self, where: Any, name: Token, *arguments: Expression | None) -> Expression:
        given = tuple(argument for argument in arguments if argument is not None)
        operator = _COMPARISONS.get(name.lower())
        if operator is not None and len(given) == 2:
            return Compare(operator, given[0], given[1], _at(where))
        return FunctionCall(name.lower(), given, _at(where))

    def field(self, where: Any, name: Token) -> Expression:
        return Field(_name(name), _at(where))

    def name(self, _where: Any, name: Token) -> str:
        return _name(name)

    def literal(self, where: Any, token: Token) -> Expression:
        return Literal(self._value(token, where), _at(where))

    def _value(self, token: Token, where: Any) -> str | int | float | bool:
        match token.type:
            case "TEXT":
                return _unquoted(token)
            case "INTEGER":
                if not INT_MIN <= int(token) <= INT_MAX:
                    raise self._wrong(f"{token} does not fit into 64 bits", where)
                return int(token)
            case "FLOAT":
                if math.isinf(float(token)):
                    raise self._wrong(f"{token} does not fit into a double", where)
                return float(token)
        return token.type == "TRUE"


def _at(where: Any) -> TextPosition:
    return TextPosition(getattr(where, "line", 1), getattr(where, "column", 1))


def _name(token: Token) -> str:
    if token.type == "QUOTED":
        return token[1:-1].replace("``", "`")
    return _unquoted(token) if token.type == "TEXT" else str(token)


def _unquoted(token: Token) -> str:
    inner = token[1:-1]
    if token.startswith("'"):
        inner = inner.replace("''", "'")
    return _ESCAPE.sub(_meant, inner) if "\\" in inner else inner


def _meant(escape: re.Match[str]) -> str:
    what = escape[1]
    if len(what) == 5:
        code = int(what[1:], 16)
        return "\ufffd" if 0xD800 <= code <= 0xDFFF else presentable(chr(code))  # half a character is none
    return _ESCAPED.get(what, what if what in "\"'\\/" else escape[0])

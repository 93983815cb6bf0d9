"""A mapping file is data: whatever its names and texts are, they never become code."""

import ast
import builtins
import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.mapping.catalog import read_catalog
from streams.mapping.compile.compiler import NAMES
from streams.mapping.syntax.expressions import MappingError

BREAKING = [
    "a\nraise SystemExit(7)\n#",
    "a\r    raise SystemExit(7)",
    'a"""\n    raise SystemExit(7)\n    """',
    '"""+str(1/0)+"""',
    "\\",
    "a\x0craise",
    "a\u2028b",
    "\ud800",
    "2fa",
    "ﬁ",
    "class",
    "get",
    "fields",
    "message",
    "é",
    "{}",
    "%s",
    "\0",
    "a'b\"c",
    "",
    " ",
]
TEXTS = st.sampled_from(BREAKING) | st.text(max_size=12)


def quoted(name: str) -> str:
    """A name in back quotes; files are UTF-8, which has no lone surrogates."""
    name = name.encode("utf-8", "replace").decode()
    return "`" + name.replace("`", "``") + "`"


def text(content: str) -> str:
    """A text in the language's escapes."""
    escaped = content.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    spelt = (f"\\u{ord(character):04x}" if "\ud800" <= character <= "\udfff" else character for character in escaped)
    return f'"{"".join(spelt)}"'


def assert_only_ours(source: str) -> None:
    """The source is one function that assigns, decides and calls what it may call."""
    tree = ast.parse(source)
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    nodes = list(ast.walk(function))
    assigned = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    known = {*NAMES, *assigned, *(argument.arg for argument in function.args.args), "bool", "str", "list", "dict"}
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    assert used <= known, used - known
    assert not assigned & {*NAMES, *dir(builtins), "fields", "message", "ms", "counted"} - {"get"}
    assert not any(isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.Lambda) for node in nodes)


@settings(max_examples=400, deadline=None)
@given(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS)
@example(BREAKING[0], "x", "x", "x", "x.lql")
@example("x", BREAKING[2], "x", "x", "x.lql")
@example("x", "x", "x", "2fa", BREAKING[2])
def test_names_and_texts_never_become_code(field: str, stream: str, content: str, read: str, file: str) -> None:
    body = (
        f"SELECT {quoted(read)} AS {text(field)}, count({quoted(read)}) IF {quoted(read)} == {text(content)} AS n,\n"
        f"set({text(content)}) IF {quoted(read)} IN ({text(content)}, {text(field)}) AS s\n"
        f"FROM {text(stream)} INTO user BY email(email)"
    )
    with contextlib.suppress(MappingError):
        for compiled in read_catalog([(file, body)]).streams.values():
            assert_only_ours(compiled.source)


@pytest.mark.parametrize("name", [name for name in BREAKING if name.strip()])
def test_a_field_of_any_name_is_read(name: str) -> None:
    with contextlib.suppress(MappingError):
        catalog = read_catalog([("x.lql", f"SELECT {quoted(name)} AS f FROM s INTO user BY email(email)")])
        assert_only_ours(catalog.streams["s"].source)

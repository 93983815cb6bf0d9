"""Reading mapping texts: what is accepted, how the rest is reported, and that no text does harm."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.mapping.catalog import read_catalog
from streams.mapping.kinds import FieldKind
from streams.mapping.syntax.check import check_mapping, check_stream
from streams.mapping.syntax.expressions import MappingError, spell
from streams.mapping.syntax.parse import MAX_DEPTH, MAX_TEXT_LENGTH, parse_mapping, parse_stream

SMALL = """
-- a comment
SELECT                              # another
    email(email) AS email SHORTDESC "Address" KIND string,   // and another
    count(event) IF eq(event, "click") AS clicks KIND int,   /* over
    two lines */
    set(`odd name`) AS `select` KIND []string CAPACITY 10 KEEPDAYS 30,
FROM my_stream INTO user BY email(email) ALIAS mine;
"""


def test_a_file_with_everything():
    stream = parse_stream(SMALL, "small.lql")

    assert (stream.stream, stream.entity, spell(stream.key)) == ("my_stream", "user", "email(email)")
    assert [mapping.field for mapping in stream.mappings] == ["email", "clicks", "select"]
    assert [mapping.kind for mapping in stream.mappings] == [FieldKind.STRING, FieldKind.INT, FieldKind.SET]
    assert stream.mappings[0].description == "Address"
    assert (stream.mappings[2].capacity, stream.mappings[2].keep_days) == (10, 30)
    assert stream.mappings[1].at == (5, 5)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("A and B or not C", "(A AND B) OR (NOT C)"),
        ("a or b and c", "a OR (b AND c)"),
        ("EQ(a, 'it''s')", 'a == "it\'s"'),
        ("eq(event, 'click')", 'event == "click"'),
        ('a = "x"', 'a == "x"'),
        ('a <> "x"', 'a != "x"'),
        ('a not in ("x", "y")', 'NOT (a IN ("x", "y"))'),
        ('a In ["x"]', 'a IN ("x")'),
        ("exists(a)", "EXISTS a"),
        ("Exists a", "EXISTS a"),
        ("contains(a, b)", "contains(a, b)"),
        ("a contains b", "a CONTAINS b"),
        ("gt(a, 5)", "gt(a, 5)"),
        ("not(a)", "not(a)"),
        ("not(a == 1) or b", "(NOT (a == 1)) OR b"),
        ("a not like 'x*'", 'NOT (a LIKE "x*")'),
        ("a between 1 and 5 and b", "(a BETWEEN 1 AND 5) AND b"),
        ("a intersects ('x')", 'a IN ("x")'),
        ("or (a, b and c)", "a OR (b AND c)"),
        ("a + 2 * b - 1 > -c", "((a + (2 * b)) - 1) > (0 - c)"),
        ("a -1", "a - 1"),
        ("cast(a AS INT)", 'cast(a, "INT")'),
        ("`like` == like", "`like` == `like`"),
        ("HASH.SIP(UrlMain(url))", "hash.sip(urlmain(url))"),
        ('"a\\"b\\\\c\\n\\u00e9"', '"a\\"b\\\\c\\né"'),
        ("from", "`from`"),
        ("((a))", "a"),
        ("-1.5", "-1.5"),
        ("true", "true"),
        ("`true`", "`true`"),
        ("größe", "größe"),
    ],
)
def test_spellings_of_the_same(text, canonical):
    assert spell(parse_mapping(text).expression) == canonical


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("SELECT email(email) AS email\nFROM a INTO user", (2, 17), "ends too early; expected BY"),
        ("SELECT email(email) email FROM a INTO user BY email(email)", (1, 21), "unexpected 'email'"),
        ("SELECT a AS b KIND colour FROM a INTO user BY email(email)", (1, 15), "there is no kind colour"),
        ("SELECT a AS b KIND int KIND int FROM a INTO user BY email(email)", (1, 24), "kind is given twice"),
        ('SELECT "open\n AS a', (1, 8), "does not end on its line"),
        ("SELECT a AS b CAPACITY 0 FROM a INTO user BY email(email)", (1, 15), "out of range"),
        ("SELECT 99999999999999999999 AS b FROM a INTO user BY email(email)", (1, 8), "64 bits"),
        ("SELECT 1e999 AS b FROM a INTO user BY email(email)", (1, 8), "fit into a double"),
        ("SELECT email(x) FROM a INTO user BY email(email)", (1, 8), "email(x) has no name; expected AS"),
        ("SELECT x MERGEOP latest FROM a INTO user BY email(x)", (1, 10), "MERGEOP latest is not supported"),
        ("SELECT x FROM a WHERE b INTO user WHERE c BY email(x)", (1, 1), "WHERE is given twice"),
        ("", (1, 1), "expected SELECT"),
        ("SELECT \x00", (1, 8), "unexpected"),
        ("SELECT " + "f(" * 100 + ")" * 100 + " AS a FROM a INTO user BY email(email)", None, f"{MAX_DEPTH} deep"),
        ("SELECT " + "NOT " * 500 + "x AS a FROM a INTO user BY email(email)", None, f"{MAX_DEPTH} deep"),
        ("x" * (MAX_TEXT_LENGTH + 1), (1, 1), "the limit is"),
    ],
)
def test_errors_say_where_and_what(text, place, problem):
    with pytest.raises(MappingError, match=r"my\.lql:") as failure:
        parse_stream(text, "my.lql")
    assert problem in str(failure.value)
    assert place is None or (failure.value.line, failure.value.column) == place


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ("foo(x) AS a", "there is no function foo"),
        ("email() AS a", "email takes 1 argument, not 0"),
        ("epochms(x) AS a", "epochms takes no argument, not 1"),
        ("map(x) AS a", "map takes 2 arguments, not 1"),
        ("hourofday(x, y) AS a", "hourofday takes 0 to 1 argument, not 2"),
        ("count(count(x)) AS a", "count folds values over time"),
        ("count(x) IF set(y) == 1 AS a", "set folds values over time"),
        ("count(x) IF email(y) AS a", "is not a condition"),
        ("count(x) IF y + 1 AS a", "is not a condition"),
        ('eq(y, "a" == set(b)) AS a', "set folds values over time"),
        ("todatein(x, y) AS a", "todatein: y is not a text in quotes"),
        ('todatein(x, "Mars") AS a', "todatein: there is no time zone 'Mars'"),
        ('url.matchqs(x, "a", "(") AS a', "url.matchqs: '(' is no regular expression"),
        ('json.jmespath(x, "[") AS a', "json.jmespath: "),
        ("count(x) AS a KIND string", "count cannot fill a field of kind string"),
        ("set(x) AS a KIND int", "set cannot fill"),
        ("min(x) AS a KIND []string", "min cannot fill"),
        ("valuect(x) AS a KIND map[string]string", "valuect cannot fill"),
        ("x AS a KIND int CAPACITY 5", "CAPACITY and KEEPDAYS are for sets and maps"),
    ],
)
def test_what_cannot_be_meant_is_refused(mapping, problem):
    with pytest.raises(MappingError, match="<expression>:1:") as failure:
        check_mapping(parse_mapping(mapping), "<expression>")
    assert problem in str(failure.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("SELECT x AS a FROM s INTO thing BY email(email)", "profiles are of users"),
        ("SELECT x AS a FROM s INTO user BY email", "a profile's key is one e-mail address"),
        ("SELECT x AS a FROM s INTO user BY email(count(x))", "count folds values"),
        ("SELECT x AS a FROM s INTO user BY email(a) OR _uid", "several keys and `_uid` are not supported"),
        ("SELECT x AS a FROM s INTO user BY _uid", "several keys and `_uid` are not supported"),
        ("SELECT x AS a FROM s WHERE email(b) INTO user BY email(a)", "is not a condition"),
    ],
)
def test_streams_that_make_no_profiles_are_refused(text, problem):
    with pytest.raises(MappingError) as failure:
        check_stream(parse_stream(text))
    assert problem in str(failure.value)


def file(stream, *mappings):
    return f"{stream}.lql", f"SELECT {', '.join(mappings)} FROM {stream} INTO user BY email(email)"


@pytest.mark.parametrize(
    ("one", "other", "problem"),
    [
        ("x AS a KIND int", "x AS a KIND string", "kind int (latest), and kind string (latest) here"),
        ("count(x) AS a", "x AS a KIND int", "kind int (add), and kind int (latest) here"),
        ("min(x) AS a", "max(x) AS a", "(min), and kind number (max) here"),
        ("set(x) AS a CAPACITY 5", "set(x) AS a CAPACITY 6", "two values of capacity"),
    ],
)
def test_streams_must_agree_on_a_field(one, other, problem):
    with pytest.raises(MappingError) as failure:
        read_catalog([file("s1", one), file("s2", other)])
    assert problem in str(failure.value)
    assert str(failure.value).startswith("s2.lql:1:8: a is mapped in s1.lql:1 too")


def test_two_files_for_one_stream_and_none_at_all_are_refused():
    with pytest.raises(MappingError, match=r"stream s1 is mapped in s1\.lql too"):
        read_catalog([file("s1", "x AS a"), ("other.lql", file("s1", "x AS b")[1])])
    with pytest.raises(MappingError, match=r"at least one file that ends in \.lql"):
        read_catalog([])


def test_the_version_follows_the_meaning_only():
    def version(text):
        return read_catalog([("s.lql", text)]).version

    plain = "SELECT count(x) AS a KIND int FROM s INTO user BY email(email)"
    assert version(plain) == version("-- hello\n" + plain.replace("KIND int", 'SHORTDESC "A" KIND int'))
    assert version(plain) != version(plain.replace("count(x)", "count(y)"))
    assert version(plain) != version(plain.replace("count(x)", 'count(x) IF eq(x, "a")'))
    assert len({version(plain), read_catalog([("s.lql", plain)], capacity=5).version}) == 2


KEYWORDS = "SELECT FROM INTO BY IF AS KIND AND OR NOT IN EXISTS contains true"
SIGNS = "( ) [ ] , ; == != < > = ! `a` \" ' ` -- /* */ # \\ \n \0 \t 😀"
OPERANDS = "email(email) count(x) eq( x y 5 -1.5 1e5 map[string]intsum []string user a.b é"
WORDS = [*KEYWORDS.split(), *SIGNS.split(" "), *OPERANDS.split(), '"text"']


def attempt(parse, text):
    try:
        return parse(text, "fuzz.lql"), None
    except MappingError as error:
        return None, error


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)))
def test_no_text_does_harm(text):
    started = time.monotonic()
    for parse in (parse_stream, parse_mapping):
        parsed, error = attempt(parse, text)
        if error is not None:
            assert str(error).startswith("fuzz.lql:")
            assert 1 <= error.line <= text.count("\n") + 1
        elif parse is parse_mapping:
            assert spell(parse_mapping(spell(parsed.expression)).expression) == spell(parsed.expression)
    assert time.monotonic() - started < 5


MONOTONOUS = ["(", "NOT ", "a AND ", "a OR ", "a,", "f(", '"', "`", "/*", "-- \n", "((", "[", "'\\"]


@pytest.mark.parametrize("piece", MONOTONOUS)
def test_long_monotonous_texts_end_quickly(piece):
    started = time.monotonic()
    with pytest.raises(MappingError):
        parse_stream("SELECT " + piece * 10_000, "long.lql")
    assert time.monotonic() - started < 10

"""Who may post what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from connectors.webhook.body import GenuinePost, RejectedPost, admit, path_of, token_of

SECRET = SecretStr("a-secret-of-the-deployment")
OLD = SecretStr("the-secret-before-this-one")
LIST = "0123456789abcdef0123456789abcdef"


def admitted(path: str, *, method="POST", content="application/json", encoding="", length=10, secrets=(SECRET,)):
    return admit(method, path, content, encoding, length, secrets, 1000)


def test_the_lists_own_path_is_accepted():
    assert admitted(path_of(SECRET, LIST)) == GenuinePost(LIST, sample=False)
    assert admitted(path_of(SECRET, LIST, sample=True)) == GenuinePost(LIST, sample=True)
    assert admitted(path_of(OLD, LIST), secrets=(SECRET, OLD)) == GenuinePost(LIST, sample=False)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/hooks",
        "/hooks/",
        f"/hooks/{LIST}",
        f"/hooks/{LIST}/",
        f"/hooks/{LIST}/wrong",
        f"/hooks/another/{token_of(SECRET, LIST)}",
        f"/hooks/{LIST}/{token_of(SECRET, 'another')}",
        f"/hooks/{LIST}/{token_of(OLD, LIST)}",
        path_of(SECRET, LIST) + "/",
        path_of(SECRET, LIST) + "/else",
        path_of(SECRET, LIST) + "x",
        "/hooks/" + path_of(SECRET, LIST),
        "/hooks/é/é",
        f"/hooks/{LIST}/\udcff",
        f"/hooks/\udcff/{path_of(SECRET, LIST).split('/')[3]}",
    ],
)
def test_any_other_path_is_unknown(path):
    assert admitted(path, method="GET") == admitted(path) == RejectedPost(404, "path")


@given(st.text(max_size=80))
def test_no_text_is_accepted_by_chance(path):
    assert isinstance(admitted("/hooks/" + path), RejectedPost)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"method": "GET"}, 405),
        ({"method": "PUT"}, 405),
        ({"length": 1001}, 413),
        ({"encoding": "br"}, 415),
        ({"content": "multipart/form-data; boundary=x"}, 415),
        ({"content": "application/x-www-form-urlencoded"}, 415),
        ({"content": "image/png"}, 415),
    ],
)
def test_what_is_refused(change, status):
    found = admitted(path_of(SECRET, LIST), **change)
    assert isinstance(found, RejectedPost)
    assert found.status == status


@pytest.mark.parametrize(
    "content", ["", "application/json", "application/json; charset=utf-8", "text/xml", "application/problem+json"]
)
def test_content_types_that_may_hold_events(content):
    assert isinstance(admitted(path_of(SECRET, LIST), content=content, length=None), GenuinePost)


def test_a_token_cannot_be_guessed_from_another():
    assert len(token_of(SECRET, LIST)) == 32
    assert token_of(SECRET, LIST) != token_of(SECRET, LIST[:-1] + "0")

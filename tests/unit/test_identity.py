"""Who a message is about: one identity however an address was copied, and no look-alike becomes another person."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.identity import normalise_email

BLANKS = [chr(code) for code in range(0x3001) if chr(code).isspace()]
INVISIBLE = ["\u00ad", "\u200b", "\u200c", "\u200d", "\u200e", "\u2060", "\ufeff"]
ADDRESSES = ["ann@x.com", "ann+tag@x.co.uk", "jörg@bücher.de", "\u212aelvin@x.com"]


@given(
    st.sampled_from(ADDRESSES),
    st.text(st.sampled_from(BLANKS + INVISIBLE), max_size=4),
    st.text(st.sampled_from(BLANKS + INVISIBLE), max_size=4),
    st.sampled_from(["{}", "<{}>", "mailto:{}", "<MAILTO:{}?subject=x>", "Ann Lee <{}>"]),
)
def test_an_address_has_one_identity_however_it_was_copied(address: str, front: str, end: str, shape: str) -> None:
    assert normalise_email(front + shape.format(address) + end) == address
    assert normalise_email(shape.format(front + address + end)) == address


@given(st.sampled_from(ADDRESSES), st.integers(0, 8), st.sampled_from(INVISIBLE))
def test_what_cannot_be_seen_is_no_part_of_an_address(address: str, at: int, invisible: str) -> None:
    assert normalise_email(address[:at] + invisible + address[at:]) == address


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("ANN@X.COM", "ann@x.com"),
        ("JÖRG@BÜCHER.DE", "jörg@bücher.de"),
        ("\u03a3A\u03a3@x.com", "\u03c3a\u03c3@x.com"),
        # a look-alike stays another person
        ("\u212a@x.com", "\u212a@x.com"),
        ("\u0130@x.com", "\u0130@x.com"),
        ("\u212b@x.com", "\u212b@x.com"),
        ("stra\u1e9ee@x.com", "stra\u1e9ee@x.com"),
        # no address
        ("ann\u00a0lee@x.com", None),
        ("ann@x.com bob@x.com", None),
        ("ann@x.com\r\nBcc: bob@x.com", None),
        ("\u200b@x.com", None),
        ("mailto:ann@x.com,bob@x.com", None),
        ("a\ud800@x.com", None),
        ("mailto:?subject=ann@x.com", None),
    ],
)
def test_the_rule(text: str, identity: str | None) -> None:
    assert normalise_email(text) == identity


@given(st.characters(exclude_categories=["Cs"]))
def test_no_letter_becomes_one_that_another_letter_becomes_except_its_capital(letter: str) -> None:
    found = normalise_email(f"a{letter}b@x.com")
    if found is not None and unicodedata.category(letter) != "Cf" and letter != "@":
        middle = found[1:-7]
        assert middle == letter or middle.upper() == letter


@given(st.text() | st.from_regex(r"[ -~]{0,20}@[ -~]{0,20}"))
def test_an_identity_is_its_own(text: str) -> None:
    found = normalise_email(text)
    if found is not None and '"' not in text:
        assert normalise_email(found) == found

"""Who a message is about: an e-mail address, normalised in one place. Every key of every topic comes from here.

Two rules share one parser, which reads one RFC 5322 mailbox, with or without a display name, as strictly as Go's
`net/mail.ParseAddress`, except that a group (`name: a@b;`) is refused and an encoded display name may be in any
charset: it is part of no address.

`normalise_email`, the identity, takes off what only copying and pasting adds, before it parses:

    invisible characters   (Unicode's Cf: zero-width space and joiners, byte order mark, soft hyphen) are removed
    blanks of every kind   (no-break, narrow, ideographic space, tab, line break) count as a space; around the address
                           they are dropped, inside of it there is no address
    `mailto:`              in front is dropped, and what follows a `?` behind it; so are angle brackets

It lower-cases a letter only where its capital is that same letter again, so a look-alike stays another person: U+212A
(Kelvin sign) does not become k, nor U+0130 i. No form of Unicode normalisation is applied.

`email_of` is the mapping language's function `email(x)` for one text: it takes nothing off but spaces and tabs, and
lower-cases every letter by the simple mapping.
"""

import hashlib
import ipaddress
import re
import sys
import unicodedata
from email.header import decode_header, make_header

MAX_KEY_BYTES = 256
"""Longer keys belong to no profile (Lytics platform limits)."""

_ATEXT = r"[^\x00-\x20\x7f()<>\[\]:;@\\,\".]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_PHRASE_ATOM = re.compile(rf"(?:{_ATEXT}|\.)+")
_QUOTED = re.compile(r'"((?:[^\x00-\x08\x0a-\x1f\x7f"\\]|\\[^\x00-\x08\x0a-\x1f\x7f])*)"')
_ESCAPE = re.compile(r"\\(.)")
_LITERAL = re.compile(r"\[([^\x00-\x20\x7f\[\]\\]*)\]")
_MAILTO = re.compile(r"<? *mailto:([^<>?]*)(?:\?[^<>]*)?>?", re.IGNORECASE)
_PLAIN = re.compile(r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@[a-z0-9-]+(?:\.[a-z0-9-]+)*")


def normalise_email(text: str) -> str | None:
    """Return the identity in an RFC 5322 mailbox, or None when there is none.

    Plus tags, dots and the form of an international domain are kept. Nothing is checked against the DNS.
    """
    if _PLAIN.fullmatch(text):
        return text
    if "@" not in text or not _encodable(text):
        return None
    cleaned = _cleaned(text)
    found = _MAILTO.fullmatch(cleaned)
    if found is not None:
        cleaned = found[1]
    address = _mailbox(cleaned)
    return None if address is None else "".join(map(_small, address))


def email_of(text: str) -> str | None:
    """Return the bare address of an RFC 5322 mailbox as the mapping function `email` does, or None."""
    if _PLAIN.fullmatch(text):
        return text
    if "@" not in text or not _encodable(text):
        return None
    address = _mailbox(text)
    return None if address is None else lower(address)


def display_name_of(text: str) -> str | None:
    """Return the display name of an RFC 5322 mailbox, or the comment behind a bare address; None without either."""
    if "@" not in text or not _encodable(text) or _mailbox(text) is None:
        return None
    start = _skip_space(text, 0)
    spec = _addr_spec(text, start)
    if spec is not None:
        comment = _skip_space(text, spec[1])
        end = text.find(")", comment)
        return " ".join(map(_decoded, text[comment + 1 : end].split())) or None if comment < len(text) else None
    opening = _skip_phrase(text, start) or start
    words, at = [], start
    while at < opening and (word := _QUOTED.match(text, at) or _PHRASE_ATOM.match(text, at)):
        words.append(_ESCAPE.sub(r"\1", word[1]) if word.re is _QUOTED else _decoded(word[0]))
        at = _skip_comments(text, word.end()) or opening
    return " ".join(words) or None


def domain_of(email: str) -> str:
    """Return the host of a normalised address: what follows its last @. Equal hosts are one object."""
    return sys.intern(email.rpartition("@")[2])


def key_of(email: str) -> bytes:
    """Return the Kafka key of a normalised address: its UTF-8 bytes."""
    return email.encode()


def digest_of(email: str) -> str:
    """Return the SHA-256 of a normalised address, hexadecimal: what is kept of a person who was erased."""
    return hashlib.sha256(email.encode()).hexdigest()


def lower(text: str) -> str:
    """Lower-case by the simple mapping, one code point to one: no final sigma, U+0130 becomes a plain i."""
    return text.lower() if text.isascii() else "".join(character.lower()[0] for character in text)


def _cleaned(text: str) -> str:
    """Return the text without invisible characters, with plain spaces for all blanks and none around it."""
    kept = text if text.isascii() else "".join(char for char in text if unicodedata.category(char) != "Cf")
    spaced = "".join(" " if char.isspace() else char for char in kept).strip()
    return f"{spaced[:-1].rstrip()}>" if spaced.endswith(">") else spaced


def _small(letter: str) -> str:
    small = letter.lower()
    return small if small.upper() == letter else letter


def _encodable(text: str) -> bool:
    """Whether the text has UTF-8 bytes; JSON can spell lone surrogates, which have none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _decoded(word: str) -> str:
    """A word of a display name; one that is encoded (`=?utf-8?q?J=C3=B6rg?=`) is decoded where it can be."""
    if not word.startswith("=?"):
        return word
    try:
        return str(make_header(decode_header(word)))
    except (LookupError, ValueError):
        return word


def _mailbox(text: str) -> str | None:
    start = _skip_space(text, 0)
    spec = _addr_spec(text, start)
    if spec is None:
        opening = _skip_phrase(text, start)
        if opening is None or not text.startswith("<", opening):
            return None
        spec = _addr_spec(text, opening + 1)
        if spec is None or not text.startswith(">", spec[1]):
            return None
        spec = spec[0], spec[1] + 1
    address, end = spec
    rest = _skip_comments(text, end)
    return address if rest == len(text) else None


def _addr_spec(text: str, at: int) -> tuple[str, int] | None:
    """The address that starts here and the position behind it; `local@domain` with the quotes taken off."""
    at = _skip_space(text, at)
    if quoted := _QUOTED.match(text, at):
        local, at = _ESCAPE.sub(r"\1", quoted[1]), quoted.end()
    elif atom := _DOT_ATOM.match(text, at):
        local, at = atom[0], atom.end()
    else:
        return None
    if not local or not text.startswith("@", at):
        return None
    at = _skip_space(text, at + 1)
    if literal := _LITERAL.match(text, at):
        return (f"{local}@{literal[0]}", literal.end()) if _is_ip(literal[1]) else None
    domain = _DOT_ATOM.match(text, at)
    if domain is None or text.startswith(".", domain.end()):
        return None
    return f"{local}@{domain[0]}", domain.end()


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _skip_phrase(text: str, at: int) -> int | None:
    """The position behind a display name (which may be empty before `<`); None when there is none."""
    if text.startswith("<", at):
        return at
    words = 0
    while True:
        behind = _skip_comments(text, at) if words else _skip_space(text, at)
        if behind is None:
            return None
        word = _QUOTED.match(text, behind) or _PHRASE_ATOM.match(text, behind)
        if word is None:
            return behind if words else None
        words, at = words + 1, word.end()


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at


def _skip_comments(text: str, at: int) -> int | None:
    """The position behind spaces and (nested (comments)); None when a comment does not end."""
    at = _skip_space(text, at)
    while text.startswith("(", at):
        depth, at = 1, at + 1
        while depth:
            if at >= len(text):
                return None
            if text[at] == "\\" and at + 1 < len(text):
                at += 1
            elif text[at] == "(":
                depth += 1
            elif text[at] == ")":
                depth -= 1
            at += 1
        at = _skip_space(text, at)
    return at

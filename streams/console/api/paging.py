"""Pages of many things: a cursor holds where the last page ended, and is nothing that others should read. Pure."""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import orjson

from streams.console.api.problems import ApiRefusal

T = TypeVar("T")


class Part(NamedTuple):
    """A page, and the cursor of the next one; empty where there is none."""

    items: list[Any]
    next: str


def part_of(items: Iterable[T], key: Callable[[T], str], cursor: str, limit: int) -> Part:
    """Return the items behind a cursor in the order of their keys, which are unique. Raises ApiRefusal."""
    after = read_cursor(cursor, str) if cursor else None
    found = sorted(((key(item), item) for item in items), key=lambda pair: pair[0])
    behind = [pair for pair in found if after is None or pair[0] > after]
    page = behind[:limit]
    return Part([item for _key, item in page], cursor_of(page[-1][0]) if len(behind) > limit else "")


def cursor_of(place: Any) -> str:
    """Return a cursor for a place, which is a JSON value."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def read_cursor(cursor: str, kind: type[T]) -> T:
    """Return the place of a cursor. Raises ApiRefusal when it is none of ours."""
    try:
        place = orjson.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (UnicodeEncodeError, binascii.Error, ValueError):
        place = None
    if not isinstance(place, kind):
        raise ApiRefusal(400, "The cursor is none of this API: begin without one.")
    return place


def read_place(cursor: str) -> tuple[int, int, int] | None:
    """Return the time and the position of a cursor, None for an empty one. Raises ApiRefusal."""
    if not cursor:
        return None
    found = read_cursor(cursor, list)
    if len(found) != 3 or any(type(part) is not int for part in found):
        raise ApiRefusal(400, "The cursor is none of this API: begin without one.")
    return found[0], found[1], found[2]

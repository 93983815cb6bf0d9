"""Messages that are nearly valid: values of another type, nesting, headers without a value, text that is none."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

HUGE = [2**70, -(2**70), 1e308, -1, 0, 9_999_999_999_999_999]
TEXTS = ["", " ", "x" * 300, "\ud800", "1", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01"]
PLAIN: list[Any] = [None, True, False, [], {}, [[]], {"a": []}, [None], *HUGE, *TEXTS]


def nested(depth: int, kind: str) -> Any:
    """A value of so many levels."""
    value: Any = "x"
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


ODD = st.sampled_from(PLAIN) | st.builds(
    nested, st.sampled_from([3, 90, 253, 254, 255, 300]), st.sampled_from(["list", "map"])
)
ODD_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["ce_specversion", "ce_id", "ce_time", "moved-from", "export.leave", "other", ""]),
        st.sampled_from([None, b"", b"1.0", b"\xff\xfe", b"2026-01-01T00:00:00Z"]),
    ),
    max_size=3,
)


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a message has values, the message itself left out."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for name, content in inside for path in [(*prefix, name), *paths(content, (*prefix, name))]]


def replaced(message: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy with another value at this place."""
    changed = copy.deepcopy(message)
    place: Any = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return changed


def text_of(value: Any) -> bytes:
    """JSON of anything, also what strict encoders refuse."""
    return _encode(value).encode("utf-8", "surrogatepass")


def _encode(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_encode(content)}" for name, content in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_encode, value)) + "]"
    return json.dumps(value)


def odd(*messages: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """One of these messages with one value replaced, or one added; or no object at all."""
    known = [(message, path) for message in messages for path in [*paths(message), ("an added one",)]]
    return st.builds(lambda place, value: text_of(replaced(*place, value)), st.sampled_from(known), ODD) | ODD.map(
        text_of
    )

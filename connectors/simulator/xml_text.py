"""The answer of a call without `.json`: XML, as far as a wrong client needs it to notice."""

from typing import Any
from xml.sax.saxutils import escape


def as_xml(body: Any, root: str = "Result") -> str:
    """Return a JSON value as an XML document; list elements are called `Item`."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n{_element(root, body)}'


def _element(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = "".join(_element(key, item) for key, item in value.items())
    elif isinstance(value, list):
        inner = "".join(_element("Item", item) for item in value)
    else:
        inner = "" if value is None else escape(str(value))
    return f"<{name}>{inner}</{name}>"

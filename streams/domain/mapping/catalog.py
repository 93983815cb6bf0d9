"""All mappings of a deployment together: streams, the fields of a profile, and the version of both."""

import hashlib
from collections.abc import Collection, Iterable
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from types import MappingProxyType

from streams.domain.mapping.check import check_stream, kind_of
from streams.domain.mapping.compile import CompiledStream, compile_stream
from streams.domain.mapping.errors import MappingError
from streams.domain.mapping.expressions import StreamMapping, spell
from streams.domain.mapping.layout import DEFAULT_CAPACITY, Layout, layout_of
from streams.domain.mapping.parse import parse_stream

SEMANTICS = 1
"""Raised when the same mapping text comes to mean other rows."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Checked and compiled mappings by stream."""

    streams: Dictionary[str, CompiledStream]
    layout: Layout
    version: str
    """Names what rows made by these mappings mean: comments and descriptions do not change it."""


def read_catalog(
    texts: Iterable[tuple[str, str]],
    *,
    order: Iterable[str] = (),
    capacity: int = DEFAULT_CAPACITY,
    known: Dictionary[str, Collection[str]] = MappingProxyType({}),
) -> Catalog:
    """Return the catalog of (file name, text) pairs. Raises MappingError, also where two files disagree.

    `order` names the fields that a profile shows first; the others follow as they are first mapped. `known` has, for
    streams whose messages keep a contract, the names of their fields (see `compile_stream`).
    """
    streams: dict[str, StreamMapping] = {}
    for file, text in texts:
        stream = parse_stream(text, file)
        check_stream(stream)
        if stream.stream in streams:
            problem = f"stream {stream.stream} is mapped in {streams[stream.stream].file} too"
            raise MappingError(problem, file=file, at=stream.at)
        streams[stream.stream] = stream
    if not streams:
        raise MappingError("there is no mapping file", expected="at least one file that ends in .lql")
    ordered = [streams[name] for name in sorted(streams)]
    layout = layout_of(ordered, order, capacity)
    compiled = {stream.stream: compile_stream(stream, layout, known.get(stream.stream, ())) for stream in ordered}
    return Catalog(compiled, layout, _version(ordered, layout))


def _version(streams: list[StreamMapping], layout: Layout) -> str:
    said = [f"semantics {SEMANTICS}"]
    for stream in streams:
        said.append(f"from {stream.stream} into {stream.entity} by {spell(stream.key)}")
        for mapping in stream.mappings:
            condition = "" if mapping.condition is None else f" if {spell(mapping.condition)}"
            said.append(f"{spell(mapping.expression)}{condition} as {mapping.field} kind {kind_of(mapping)}")
    fields = layout.fields.values()
    said += [f"{field.name} {field.fold.name} {field.slot} {field.capacity} {field.keep_ms}" for field in fields]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]

"""All mappings of a deployment together: streams, the fields of a profile, and the version of both."""

import hashlib
from collections.abc import Collection, Iterable
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from schemas.cm_activity import CmActivity
from schemas.cm_profile import CmProfile
from schemas.cm_user import CmUser
from schemas.envelope import Message
from streams.mapping.compile.compiler import CompiledStream, compile_stream
from streams.mapping.fields.layout import DEFAULT_CAPACITY, Layout, layout_of
from streams.mapping.syntax.check import check_stream, kind_of
from streams.mapping.syntax.expressions import MappingError, StreamMapping, spell
from streams.mapping.syntax.parse import parse_stream

SEMANTICS = 1
"""Raised when the same mapping text comes to mean other rows."""
DEFAULT_DIRECTORY = Path(__file__).parent / "defaults"
CONTRACTS: dict[str, type[Message]] = {"cm_activity": CmActivity, "cm_user": CmUser}
"""Streams whose messages have a contract; an added stream's are JSON objects."""
_WITH_PARTS = {"custom_fields"}
"""Fields that a mapping reads as they were written, where it reads them at all."""


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
    parts = [f"semantics {SEMANTICS}"]
    for stream in streams:
        where = "" if stream.where is None else f" where {spell(stream.where)}"
        parts.append(f"from {stream.stream} into {stream.entity}{where} by {spell(stream.key)}")
        for mapping in stream.mappings:
            condition = "" if mapping.condition is None else f" if {spell(mapping.condition)}"
            parts.append(f"{spell(mapping.expression)}{condition} as {mapping.field} kind {kind_of(mapping)}")
    fields = layout.fields.values()
    parts += [f"{field.name} {field.fold.value} {field.slot} {field.capacity} {field.keep_ms}" for field in fields]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def load_catalog(*directories: Path, capacity: int = DEFAULT_CAPACITY) -> Catalog:
    """Read every .lql file of the directories; without any, the default mappings.

    Raises MappingError with file, line and column, and FileNotFoundError for a directory that is not there.
    """
    texts = mapping_files(directories or (DEFAULT_DIRECTORY,))
    known = {name: contract.model_fields.keys() - _WITH_PARTS for name, contract in CONTRACTS.items()}
    return read_catalog(texts, order=CmProfile.model_fields, capacity=capacity, known=known)


def mapping_files(directories: Iterable[Path]) -> list[tuple[str, str]]:
    """Return name and text of every .lql file of directories. Raises FileNotFoundError."""
    files = [file for directory in directories for file in _files(directory)]
    return [(str(file), file.read_text(encoding="utf-8-sig")) for file in files]


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise FileNotFoundError(f"the mapping directory {directory} does not exist")
    return sorted(directory.glob("*.lql"))

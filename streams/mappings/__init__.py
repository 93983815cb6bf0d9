"""The default mappings, data only: one .lql file for each stream."""

from pathlib import Path

from schemas.cm_activity import CmActivity
from schemas.cm_profile import CmProfile
from schemas.cm_user import CmUser
from schemas.envelope import Message
from streams.domain.mapping.catalog import Catalog, read_catalog
from streams.domain.mapping.layout import DEFAULT_CAPACITY

DEFAULT_DIRECTORY = Path(__file__).parent
CONTRACTS: dict[str, type[Message]] = {"cm_activity": CmActivity, "cm_user": CmUser}
"""Streams whose messages have a contract; an added stream's are JSON objects."""
_WITH_PARTS = {"custom_fields"}
"""Fields that a mapping reads as they were written, where it reads them at all."""


def load_catalog(*directories: Path, capacity: int = DEFAULT_CAPACITY) -> Catalog:
    """Read every .lql file of the directories; without any, the default mappings.

    Raises MappingError with file, line and column, and FileNotFoundError for a directory that is not there.
    """
    files = [file for directory in directories or (DEFAULT_DIRECTORY,) for file in _files(directory)]
    texts = [(str(file), file.read_text(encoding="utf-8")) for file in files]
    known = {name: contract.model_fields.keys() - _WITH_PARTS for name, contract in CONTRACTS.items()}
    return read_catalog(texts, order=CmProfile.model_fields, capacity=capacity, known=known)


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise FileNotFoundError(f"the mapping directory {directory} does not exist")
    return sorted(directory.glob("*.lql"))

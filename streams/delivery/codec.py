"""How rows are kept in the Memberships table, and by which key a new owner finds those that are due."""

from collections.abc import Iterable

from streams.batches import Row as TableRow
from streams.domain.rows import Row, decode, encode

DUE = b"d"

# A row of the table that is no person: what its partition has done so far. No e-mail address begins like this.
CHECKPOINT_KEY = b"\x00checkpoint"


class RowCodec:
    """Rows as `streams.domain.rows` writes them; an empty row is an absent one."""

    def decode(self, key: bytes, value: bytes | None, state: bytes) -> Row:
        """Read a row."""
        return decode(value) if value else Row()

    def encode(self, data: Row) -> tuple[bytes | None, bytes]:
        """Write a row; it has no hidden state of its own."""
        return encode(data), b""


def index(row: TableRow[Row]) -> Iterable[bytes]:
    """Return the index keys of a row."""
    return (DUE,) if row.data.due else ()

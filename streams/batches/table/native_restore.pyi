from collections.abc import Callable, Sequence
from typing import Any

def put_records(
    put: Callable[[bytes, bytes], None],
    delete: Callable[[bytes], None],
    records: Sequence[Any],
    start: int,
    stop: int,
    state_header: str | None,
) -> None: ...

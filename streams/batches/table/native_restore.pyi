from collections.abc import Callable
from typing import Any

def put_records(
    put: Callable[[bytes, bytes], None],
    delete: Callable[[bytes], None],
    records: list[Any],
    start: int,
    stop: int,
    state_header: str | None,
) -> None: ...

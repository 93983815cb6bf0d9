from collections.abc import Callable, Mapping

from connectors.kafka.records import OutgoingRecord
from connectors.webhook.envelope import HookEvent, UnparsedEvent

def events(
    found: list[HookEvent | UnparsedEvent],
    list_id: bytes,
    statuses: Mapping[str, Mapping[str, str]],
    moment_of: Callable[[str], tuple[str, str] | None],
    tail: bytes,
    topic: str,
    room: int,
    /,
) -> tuple[list[OutgoingRecord], list[str]] | None: ...

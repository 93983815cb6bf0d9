from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from connectors.campaign_monitor.client.entities import JsonObject
from connectors.importer.translated import TranslatedRow

def activity(
    rows: list[JsonObject],
    head: bytes,
    is_change: bool,
    beginning: bytes,
    status: str | None,
    sent: str,
    default_list: str,
    names: Mapping[str, str],
    default_name: str | None,
    numbered: bool,
    minute: str | None,
    held: AbstractSet[bytes],
    chosen: AbstractSet[str],
    since: str,
    days: dict[str, tuple[str, ...]],
    moment_of: Callable[[str], tuple[str, str] | None],
    tail: bytes,
    /,
) -> list[TranslatedRow] | None: ...
def users(
    rows: list[JsonObject],
    owner: bytes,
    default_state: str,
    days: dict[str, tuple[str, ...]],
    moment_of: Callable[[str], str | None],
    tail: bytes,
    /,
) -> list[TranslatedRow] | None: ...

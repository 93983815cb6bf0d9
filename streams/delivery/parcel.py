"""One person on the way to one list, and how it ended."""

from dataclasses import dataclass

from schemas.audience_delivery import Refusal
from streams.domain.routing import Route
from streams.domain.rows import Held
from streams.domain.sending import Waiting
from streams.domain.settlement import Carried


@dataclass(slots=True)
class Parcel:
    """A person as read for a request. Without `carried` the list has nothing to say to them."""

    waiting: Waiting
    carried: Carried | None = None
    route: Route | None = None
    held: Held | None = None
    """What the list held when the row was read."""
    settled: bool = False
    """No call was needed, and the row says so already."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A final answer about one person: taken, or refused for a reason."""

    carried: Carried
    waiting: Waiting
    address: str | None = None
    """Where the subscriber stands now; None: not on the list."""
    added: bool | None = None
    refusal: Refusal | None = None
    code: int | None = None
    message: str | None = None

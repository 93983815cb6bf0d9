"""Which person each event is about, and the events of the profile job: the same bytes in every run."""

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

SEED = 20_241_115
FIRST_EPOCH = 1_700_000_000

Spread = Literal["round robin", "zipf", "uniform"]


@dataclass(frozen=True, slots=True)
class Workload:
    """How events spread over people.

    round robin: everyone in turn, so nobody comes twice in a batch. zipf: the r-th person gets 1/r of the first one's
    events, as real mail does. uniform: anyone may be next; with many people neither a cache nor a batch helps.
    """

    name: str
    users: int
    spread: Spread

    def user_numbers(self, events: int) -> Iterable[int]:
        """Return the number of the person of each event."""
        chance = random.Random(SEED)
        match self.spread:
            case "round robin":
                return (i % self.users for i in range(events))
            case "uniform":
                return (int(chance.random() * self.users) for _ in range(events))
            case "zipf":
                weights = list(itertools.accumulate(1 / rank for rank in range(1, self.users + 1)))
                return chance.choices(range(self.users), cum_weights=weights, k=events)


ROUND_ROBIN = Workload("20,000 users round robin", 20_000, "round robin")
ZIPF = Workload("20,000 users Zipf", 20_000, "zipf")
MILLION = Workload("1,000,000 users", 1_000_000, "uniform")
TEN_MILLION = Workload("10,000,000 users", 10_000_000, "uniform")


def email_of(user: int) -> str:
    """Return a person's address, which is also the key of every record about them."""
    return f"user{user}@example.com"


def profile_events(workload: Workload, events: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of the profile job: opens, one a second, of 50 campaigns sent to one list."""
    for i, user in enumerate(workload.user_numbers(events)):
        key = b"user%d@example.com" % user
        yield (
            key,
            b'{"event":"open","email":"%s","epoch":%d,"campaign_id":"c%d","list_id":"l1"}'
            % (key, FIRST_EPOCH + i, i % 50),
        )

"""What lists hold when people change addresses: whose refusal it is, and when a subscriber may be moved."""

from dataclasses import replace

import pytest

from connectors.campaign_monitor.client.entities import Subscriber
from connectors.campaign_monitor.client.requests import SubscriberWrite
from streams.export.rules.address_claims import RenameOrder
from streams.export.rules.codes import UNCONFIRMED, UNSUBSCRIBED
from streams.export.rules.orders import held_of_leaver, held_of_next, receive_held
from streams.export.rules.routing import AttemptState
from streams.export.rules.row import Held, decode_held, encode_held
from streams.export.rules.settlement import record_unchanged, state_to_write
from streams.export.sending.consent import ListFacts
from streams.export.sending.plan import PlannedWrite
from streams.export.sending.queue import QueuedPerson
from streams.export.sending.renames import MAX_MOVE_WAITS, MAX_RENAME_WAITS, move_wait, rename
from tests.unit.export.rules.rows import EMAIL, LIST, desired, held, listed, row

OTHER = "bob@example.com"


@pytest.mark.parametrize(
    ("left_at", "of_leaver", "of_next"),
    [
        (10, UNSUBSCRIBED, UNCONFIRMED),  # a swap: both changes are of one instant
        (9, UNSUBSCRIBED, UNCONFIRMED),
        (11, UNSUBSCRIBED, 0),  # who came has left, too: they are one person, as far as is known
    ],
)
def test_a_refusal_is_of_who_was_there_or_of_who_came(left_at: int, of_leaver: int, of_next: int) -> None:
    mine = held(code=UNSUBSCRIBED)
    receive_held(mine, EMAIL, 10, held(address=None, code=UNCONFIRMED))
    stored = decode_held(encode_held(mine))
    assert stored == mine
    assert held_of_leaver(stored, EMAIL, left_at, taken=False).code == of_leaver
    assert held_of_next(stored, EMAIL, left_at, taken=False).code == of_next


def test_a_second_leaver_takes_nothing_of_the_first_along() -> None:
    mine = held(code=UNSUBSCRIBED)
    receive_held(mine, EMAIL, 10, Held(code=UNCONFIRMED))
    stays = held_of_next(mine, EMAIL, 9, taken=False)
    assert held_of_leaver(stays, EMAIL, 8, taken=False).code == 0
    assert held_of_next(stays, EMAIL, 8, taken=False).code == UNCONFIRMED


def test_an_answer_of_the_list_is_about_the_address() -> None:
    person = row(lists={LIST: held(address=None)})
    receive_held(person.lists[LIST], EMAIL, 10, Held(code=UNCONFIRMED))
    record_unchanged(person, state_to_write(EMAIL.encode(), 0, person, listed(), desired(), 1))
    assert held_of_leaver(person.lists[LIST], EMAIL, 10, taken=False).code == UNCONFIRMED


class List:
    """A list as far as orders need it: addresses and their state."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.off: list[str] = []

    async def find(self, list_id: str, email: str) -> Subscriber | None:
        if email not in self.addresses:
            return None
        return Subscriber(email, "", "Active", "", None, (("Lytics Audiences", "VIP"),), None, None, None, {})

    async def update(self, list_id: str, email: str, subscriber: SubscriberWrite) -> None:
        self.addresses[self.addresses.index(email)] = subscriber.email

    async def take_off(self, address: str, how: str) -> None:
        self.off.append(f"{address} {how}")


async def _nothing(*_: object) -> None:
    return None


KEYS = {"lyticsaudiences": "[LyticsAudiences]"}
FACTS = ListFacts(_nothing, lambda: False, lambda: False, _nothing, _nothing)  # type: ignore[arg-type]


def _ordered(lent: int, order: RenameOrder, waits: int = MAX_RENAME_WAITS, on_exit: str = "keep") -> PlannedWrite:
    wanted = replace(desired(options=(("Lytics Audiences", ("VIP",)),)), on_exit=on_exit)
    person = QueuedPerson((0, EMAIL.encode()), True, 0.0, attempt=AttemptState(rename_waits=waits))
    state = state_to_write(EMAIL.encode(), 0, row(), listed(), wanted, 1)
    return PlannedWrite(person, state, None, Held(orders={OTHER: order}, lent=lent))


@pytest.mark.parametrize(
    ("lent", "waits", "kind", "left"),
    [
        (0, MAX_RENAME_WAITS, "written", EMAIL),
        (10, MAX_RENAME_WAITS, "waits", OTHER),
        (10, MAX_RENAME_WAITS + MAX_MOVE_WAITS, "written", EMAIL),
    ],
)
async def test_nobody_is_moved_to_an_address_before_whoever_had_it_was(
    lent: int, waits: int, kind: str, left: str
) -> None:
    """In a swap each would take the other's subscriber, or one of them both."""
    there = List(OTHER)
    write = _ordered(lent, RenameOrder(10, 10), waits)
    done = await rename(there, there.take_off, LIST, write, KEYS, FACTS)  # type: ignore[arg-type]
    assert (done.kind, there.addresses) == (kind, [left])


def test_the_wait_for_a_move_is_longer_each_time_and_longer_than_late_calls() -> None:
    attempt = AttemptState(rename_waits=MAX_RENAME_WAITS)
    waits = [move_wait(attempt) for _ in range(MAX_MOVE_WAITS)]
    assert waits[:3] == [1.0, 2.0, 4.0]
    assert max(waits) == 60.0
    assert sum(waits) > 3_600


@pytest.mark.parametrize(
    ("lent", "on_exit", "off"),
    [(0, "keep", []), (0, "delete", [f"{OTHER} delete"]), (7, "delete", [])],
)
async def test_a_former_address_that_no_row_waits_for_is_ended_with_the_order(
    lent: int, on_exit: str, off: list[str]
) -> None:
    there = List(EMAIL, OTHER)
    write = _ordered(0, RenameOrder(10, lent), on_exit=on_exit)
    done = await rename(there, there.take_off, LIST, write, KEYS, FACTS)  # type: ignore[arg-type]
    assert (done.kind, done.both_on_list, there.off) == ("on the list", True, off)

"""The address that a person gave themselves: what a row records of the changes that webhooks report."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.membership_command import Readdress, command_bytes, read_command
from streams.export.rules.address_claims import OwnAddress
from streams.export.rules.own_addresses import chosen_of, end_chosen, readdress
from streams.export.rules.row import UnansweredCalls, decode, encode
from streams.export.rules.settlement import WrittenState, record_delivered
from tests.unit.export.rules.rows import EMAIL, LIST, desired, held, row

ADDRESSES = [EMAIL, "b@example.com", "c@example.com", "d@example.com"]


def change(former: str, to: str, at: int) -> Readdress:
    return Readdress(LIST, former, to, at)


@given(st.lists(st.sampled_from(ADDRESSES), max_size=8), st.lists(st.integers(0, 7), max_size=12))
def test_the_latest_change_is_in_force_whichever_are_repeated(path: list[str], repeated: list[int]) -> None:
    """Changes come in order, as one person makes them; each may come again at any later time."""
    steps = [step for step in zip([EMAIL, *path], path, strict=False) if step[0] != step[1]]
    changes = [change(former, to, 10 * number) for number, (former, to) in enumerate(steps, 1)]
    person, asked = row(lists={LIST: held()}), [EMAIL]
    for number, made in enumerate(changes):
        readdress(person, EMAIL, made, asked)
        for again in [changes[index] for index in repeated if index <= number]:
            readdress(person, EMAIL, again, asked)
    on_list = person.lists[LIST]
    there = changes[-1].to if changes else EMAIL
    assert (on_list.address, chosen_of(on_list, EMAIL)) == (there, there)
    assert chosen_of(on_list, "other@example.com") == "other@example.com"
    assert decode(encode(person)) == person


def test_what_is_not_about_this_subscriber_changes_nothing() -> None:
    for on_list in (held(address="x@example.com"), held(address=None, removed=5), held(address=None, delivered={})):
        person = row(lists={LIST: on_list})
        before = encode(person)
        assert not readdress(person, EMAIL, change(EMAIL, ADDRESSES[1], 10), [EMAIL])
        assert encode(person) == before


def test_what_jobs_ask_for_is_no_choice_of_the_person() -> None:
    person = row(lists={LIST: held()})
    assert readdress(person, EMAIL, change(EMAIL, ADDRESSES[1], 10), [ADDRESSES[1]])
    assert (person.lists[LIST].address, person.lists[LIST].chosen) == (ADDRESSES[1], None)


def test_the_former_address_is_looked_at() -> None:
    person = row(lists={LIST: held()})
    readdress(person, EMAIL, change(EMAIL, ADDRESSES[1], 10), [EMAIL])
    assert (person.due, person.lists[LIST].late) == (True, UnansweredCalls(10, addresses=(EMAIL,)))


def test_the_choice_ends_with_another_address_of_upstream() -> None:
    on_list = held(chosen=OwnAddress(EMAIL, ADDRESSES[1], 10, ADDRESSES[3]))
    for written in (None, EMAIL, ADDRESSES[1], ADDRESSES[3]):
        end_chosen(on_list, written)
        assert on_list.chosen is not None
    end_chosen(on_list, ADDRESSES[2])
    assert on_list.chosen is None


def test_a_call_that_found_nobody_meanwhile_does_not_lose_the_address() -> None:
    """It was made before the change was known; whoever left is found at the address that they chose."""
    person = row(lists={LIST: held()})
    written = WrittenState(b"", 0, LIST, desired(present=False, audiences=()), (), 5)
    readdress(person, EMAIL, change(EMAIL, ADDRESSES[1], 10), [EMAIL])
    record_delivered(person, written, None, gone=True)
    assert person.lists[LIST].address == ADDRESSES[1]
    assert person.lists[LIST].late is not None


def test_the_command_is_read_as_it_was_written() -> None:
    command = change(EMAIL, ADDRESSES[1], 10)
    assert read_command(command_bytes(command)) == command


def test_after_a_change_no_list_of_a_due_row_counts_as_settled() -> None:
    """Else a next owner would take the outcome of a call that followed the change for known."""
    person = row(lists={LIST: held()}, due=True, settled=(LIST,))
    assert readdress(person, EMAIL, change(EMAIL, ADDRESSES[1], 10), [EMAIL])
    assert (person.due, person.settled) == (True, ())

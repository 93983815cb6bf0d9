"""Claims to addresses: at no time may two people be written under one, and at rest somebody has it who wants it.

The play folds, sends, answers, erases, crashes between any two steps, and publishes commands twice, in any order; rows
and commands are encoded as they are in Kafka.
"""

import random
from collections import defaultdict, deque
from typing import Any

import pytest

from schemas.membership_command import AnswerClaim, ClaimAddress, command_bytes, read_command
from streams.export.rules.address_claims import GRANTED, REFUSED, RenameOrder
from streams.export.rules.claims import (
    ClaimContext,
    ClaimMessage,
    Exchanged,
    allowed,
    drop_left,
    end_claims,
    exchange,
    has_claims,
    is_open,
    receive_answer,
    receive_claim,
)
from streams.export.rules.desired import desired_subscriber
from streams.export.rules.routing import AttemptState, RequestKind, record_late_calls, route_of
from streams.export.rules.row import ENTER, EXIT, AudienceEntry, Held, MembershipRow, decode, encode
from streams.export.rules.settlement import WrittenState, record_delivered, record_refused, record_unchanged
from streams.export.rules.transfers import erase
from tests.unit.export.rules.rows import LIST, job, listed

KEYS = [f"{letter}@x.com" for letter in "abcd"]
LATE_MS = 1_000
JOB = listed(job(email_field="mail", on_last_exit="keep"))


class Play:
    """Rows, the commands on their way to each, and calls under way."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {key: encode(MembershipRow()) for key in KEYS}
        self.inbox: dict[str, deque[bytes]] = defaultdict(deque)
        self.attempts: dict[str, AttemptState] = {}
        """Of who is in the queue."""
        self.calls: dict[str, tuple[WrittenState, set[str]]] = {}
        self.late: dict[str, list[tuple[int, set[str]]]] = defaultdict(list)
        self.now = 1_000_000
        self.position = 0

    def row(self, key: str) -> MembershipRow:
        return decode(self.stored[key])

    def save(self, key: str, row: MembershipRow) -> None:
        self.stored[key] = encode(row)

    def desired(self, key: str, row: MembershipRow) -> Any:
        return desired_subscriber(row, key, JOB, row.lists.get(LIST), str)

    def publish(self, messages: list[ClaimMessage]) -> None:
        for message in messages:
            self.inbox[message.key].append(command_bytes(message.command))

    # -- what happens

    def fold(self, key: str, address: str | None) -> None:
        """The person is to have this address, or leaves."""
        row = self.row(key)
        self.position += 1
        self.now += 1
        rank = EXIT if address is None else ENTER
        row.audiences["vip"] = AudienceEntry(rank, self.now, self.position, self.now, self.now, self.now)
        if address is not None:
            row.fields["mail"] = address, self.now
        row.lists.setdefault(LIST, Held())
        row.due = True
        self.save(key, row)
        self.attempts.setdefault(key, AttemptState())

    def send(self, key: str, crash_at: int = 9) -> None:
        """Prepare the person, and begin a call where one is needed; ends after so many steps."""
        if key in self.calls or key not in self.attempts:
            return None
        attempt, row = self.attempts[key], self.row(key)
        context = ClaimContext(key, LIST, self.desired(key, row), self.now, LATE_MS)
        if has_claims(row, key, LIST, context.desired):
            result = exchange(row, context, attempt)
            if result.changed:
                row.due = True
                if crash_at == 0:
                    return self.crash(key)
                self.save(key, row)
            if crash_at <= len(result.messages):
                self.publish(result.messages[:crash_at])
                return self.crash(key)
            self.publish(result.messages)
            if drop_left(row):
                self.save(key, row)
        wanted = self.desired(key, row)
        permitted = allowed(row, key, LIST, wanted)
        if permitted is None:
            if wanted is None:
                self.done(key, row)
            else:
                del self.attempts[key]
            return None
        on_list = row.lists.get(LIST)
        state = WrittenState(key.encode(), 0, LIST, permitted, (), self.position)
        route = route_of(on_list, permitted, attempt)
        if route.kind in (RequestKind.NO_CALL, RequestKind.REFUSE):
            if permitted.present and permitted.refused is not None:
                record_refused(row, state, permitted.refused, None)
            else:
                record_unchanged(row, state)
            self.finish(key, row, state)
            return None
        known = on_list.address if on_list is not None else None
        targets = {address for address in (permitted.address if permitted.present else None, known) if address}
        self.calls[key] = state, targets or ({permitted.address} if permitted.address else set())
        return None

    def answer(self, key: str, *, lost: bool = False) -> None:
        """A call ends, with an answer or without."""
        if key not in self.calls:
            return
        state, targets = self.calls.pop(key)
        attempt = self.attempts[key]
        if lost:
            attempt.outcome_unknown = True
            self.late[key].append((self.now + LATE_MS - 1, targets))
            return
        row = self.row(key)
        on_list = row.lists.get(LIST)
        known = on_list.address if on_list is not None else None
        if state.desired.refused is not None and state.desired.present:
            record_refused(row, state, state.desired.refused, None)
        else:
            record_delivered(row, state, state.desired.address if state.desired.present else known)
        self.finish(key, row, state)

    def finish(self, key: str, row: MembershipRow, state: WrittenState) -> None:
        record_late_calls(row.lists[LIST], self.attempts[key], state.desired, self.now + LATE_MS)
        self.done(key, row)

    def done(self, key: str, row: MembershipRow) -> None:
        del self.attempts[key]
        copy = decode(encode(row))
        context = ClaimContext(key, LIST, self.desired(key, copy), self.now, LATE_MS)
        again = exchange(copy, context, AttemptState()).changed or route_again(row, self.desired(key, row))
        row.due = again or is_open(row)
        if again:
            self.attempts[key] = AttemptState()
        self.save(key, row)

    def deliver(self, key: str, *, crash: bool = False) -> None:
        """The next command is carried out; with a crash its row is lost, and it comes again."""
        if not self.inbox[key]:
            return
        command = read_command(self.inbox[key][0])
        row = self.row(key)
        if isinstance(command, ClaimAddress):
            result = receive_claim(row, key, command)
        else:
            assert isinstance(command, AnswerClaim)
            result = receive_answer(row, key, command)
        self.publish(result.messages)
        if crash:
            return
        self.inbox[key].popleft()
        if result.changed:
            self.save(key, row)
            if key not in self.calls:
                self.attempts.setdefault(key, AttemptState())

    def erase(self, key: str) -> None:
        if key in self.calls:
            return
        row = self.row(key)
        self.publish(end_claims(row, key, self.now))
        claimants = row.claimants
        erase(row, self.now)
        row.claimants, row.due = claimants, bool(claimants)
        self.save(key, row)
        self.attempts.setdefault(key, AttemptState())
        self.late[key] = []

    def crash(self, key: str) -> None:
        """The worker of a row ends, and another one takes it over."""
        call = self.calls.pop(key, None)
        self.attempts.pop(key, None)
        if call is not None:
            self.late[key].append((self.now + LATE_MS - 1, call[1]))
        if self.row(key).due:
            self.attempts[key] = AttemptState(outcome_unknown=True)

    def pass_time(self, milliseconds: int) -> None:
        """Calls without an answer are over after a time: then their people are compared with the list."""
        self.now += milliseconds
        for key in KEYS:
            self.late[key] = [call for call in self.late[key] if call[0] > self.now]
            on_list = self.row(key).lists.get(LIST)
            if on_list is not None and on_list.late is not None and on_list.late.over_at <= self.now:
                self.attempts.setdefault(key, AttemptState(recheck=True))

    # -- what must hold

    def check(self) -> None:
        writers: dict[str, set[str]] = defaultdict(set)
        for key, (_, targets) in self.calls.items():
            for address in targets:
                writers[address].add(key)
        for key, calls in self.late.items():
            for _, targets in calls:
                for address in targets:
                    writers[address].add(key)
        assert all(len(keys) == 1 for keys in writers.values()), dict(writers)

    def rest(self) -> None:
        for _ in range(400):
            for key in KEYS:
                while self.inbox[key]:
                    self.deliver(key)
                self.send(key)
                self.answer(key)
            self.pass_time(LATE_MS)
            self.check()
            if not self.attempts and not any(self.inbox.values()):
                return
        raise AssertionError("never at rest")

    def check_rest(self) -> None:
        wanting: dict[str, list[str]] = defaultdict(list)
        holding: dict[str, list[str]] = defaultdict(list)
        for key in KEYS:
            row = self.row(key)
            assert not is_open(row)
            wanted = self.desired(key, row)
            on_list = row.lists.get(LIST)
            if wanted is not None and wanted.present and wanted.address:
                wanting[wanted.address].append(key)
                refused = allowed(row, key, LIST, wanted)
                assert refused is not None
                if refused.refused is not None:
                    assert on_list is not None
                    assert on_list.code == -1
                    continue
                assert on_list is not None
                assert on_list.address == wanted.address
            if on_list is not None and on_list.address:
                holding[on_list.address].append(key)
        for address, keys in wanting.items():
            held_by = holding[address] or [key for key in KEYS if self.on_list(key) == address]
            assert len(held_by) == 1, (address, keys, held_by)
            if address in keys:
                assert held_by == [address]

        asked = {(by, to, claim[:2]) for by in KEYS for to, claim in self.row(by).claims.get(LIST, {}).items()}
        kept = {(by, to, claim[:2]) for to in KEYS for by, claim in self.row(to).claimants.get(LIST, {}).items()}
        assert asked == kept

    def on_list(self, key: str) -> str | None:
        found = self.row(key).lists.get(LIST)
        return None if found is None else found.address


def route_again(row: MembershipRow, wanted: Any) -> bool:
    permitted = None if wanted is None else wanted
    on_list = row.lists.get(LIST)
    return permitted is not None and route_of(on_list, permitted, AttemptState()).kind is not RequestKind.NO_CALL


def play(seed: int, steps: int = 150) -> None:
    chance = random.Random(seed)
    world = Play()
    for _ in range(steps):
        key = chance.choice(KEYS)
        match chance.randrange(13):
            case 0 | 1:
                world.fold(key, chance.choice([None, key, *KEYS[:2], KEYS[0]]))
            case 2 | 3 | 4 | 5:
                world.send(chance.choice(list(world.attempts) or KEYS), chance.choice([0, 1, 2, 9, 9, 9, 9, 9]))
            case 6 | 7:
                world.answer(chance.choice(list(world.calls) or KEYS), lost=chance.random() < 0.3)
            case 8 | 9 | 10:
                waiting = [of for of, commands in world.inbox.items() if commands]
                world.deliver(chance.choice(waiting or KEYS), crash=chance.random() < 0.2)
            case 11:
                world.crash(key)
            case 12:
                chance.choice([world.erase, lambda _: world.pass_time(300), lambda _: world.pass_time(300)])(key)
        world.check()
    world.rest()
    world.check_rest()


@pytest.mark.parametrize("mail", ["b@x.com", "none"])
@pytest.mark.parametrize("leaves", [False, True])
def test_an_open_call_under_the_own_key_keeps_it_though_the_person_has_another_address(mail: str, leaves: bool) -> None:
    world, ann = Play(), KEYS[0]
    world.fold(ann, ann)
    world.send(ann)
    assert world.calls[ann][1] == {ann}
    world.fold(ann, mail)
    if leaves:
        world.fold(ann, None)
    world.crash(ann)
    world.send(ann)
    world.fold(KEYS[2], ann)
    for _ in range(3):
        for key in KEYS:
            world.deliver(key)
            world.send(key)
            world.check()
    world.rest()
    world.check_rest()


def test_a_call_of_a_crashed_worker_is_late_under_the_key_of_an_absent_person() -> None:
    play(69_736)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_one_person_is_written_under_an_address(first: int) -> None:
    for seed in range(first, first + 50):
        play(seed)


FORMER = KEYS[1]


def _with_order() -> tuple[MembershipRow, Exchanged]:
    """Somebody came to an address that was on the list, from one that a field named."""
    row = MembershipRow(audiences={"vip": AudienceEntry(ENTER, 2_000, 5, 2_000, 2_000, 2_000)})
    row.fields["mail"] = (KEYS[0], 2_000)
    row.lists[LIST] = Held(address=KEYS[0], orders={FORMER: RenameOrder(10, 0)})
    return row, exchange(row, _context(row), AttemptState())


def _context(row: MembershipRow) -> ClaimContext:
    desired = desired_subscriber(row, KEYS[0], JOB, row.lists.get(LIST), str)
    return ClaimContext(KEYS[0], LIST, desired, 1_000_000, LATE_MS)


def test_a_former_address_is_claimed_until_it_is_ended() -> None:
    row, asked = _with_order()
    desired = _context(row).desired
    assert has_claims(row, KEYS[0], LIST, desired)
    assert [message.key for message in asked.messages] == [FORMER]
    assert allowed(row, KEYS[0], LIST, desired) is None
    receive_answer(row, KEYS[0], AnswerClaim(LIST, FORMER, 1_000_000, GRANTED))
    assert allowed(row, KEYS[0], LIST, desired) is desired
    row.lists[LIST].orders.clear()
    assert [given.key for given in exchange(row, _context(row), AttemptState()).messages] == [FORMER]


def test_a_former_address_that_somebody_else_has_is_left_to_them() -> None:
    row, _ = _with_order()
    receive_answer(row, KEYS[0], AnswerClaim(LIST, FORMER, 1_000_000, REFUSED))
    exchange(row, _context(row), AttemptState())
    assert row.lists[LIST].orders == {}
    assert allowed(row, KEYS[0], LIST, _context(row).desired) is not None

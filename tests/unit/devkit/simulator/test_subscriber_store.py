"""Columns against an obvious model, a dict of subscribers; and the orders in which they are paged."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from connectors.devkit.simulator.data import subscriber_store
from connectors.devkit.simulator.data.population import Population
from connectors.devkit.simulator.data.subscriber_store import OrderedRows, SubscriberStore, fold
from connectors.devkit.simulator.data.transitions import SimulatedState

EMAILS = st.sampled_from([f"{name}@example.net" for name in ("a", "B", "c", "d", "E", "f", "g")])
STATES = st.sampled_from(list(SimulatedState))
TIMES = st.integers(1_000, 1_010)


class SubscriberStoreMachine(RuleBasedStateMachine):
    @initialize(seeded=st.integers(0, 40), order_first=st.booleans())
    def start(self, seeded, order_first):
        people = Population(5, seeded, 0, 600_000) if seeded else None
        self.subscribers = SubscriberStore(people)
        self.model = {}
        for row in range(seeded):
            self.model[fold(people.email(row))] = [
                people.email(row), people.name(row), self.subscribers.state(row), self.subscribers.changed[row],
                self.subscribers.joined[row], people.values(row),
            ]  # fmt: skip
        if order_first:
            self.compare()

    def one(self, data):
        return data.draw(st.sampled_from(sorted(self.model)))

    @rule(email=EMAILS, name=st.text(max_size=3), state=STATES, at=TIMES)
    def add(self, email, name, state, at):
        if fold(email) not in self.model:
            self.subscribers.add(email, fold(email), name, ((1, name),), state, at)
            self.model[fold(email)] = [email, name, state, at, at, ((1, name),)]

    @rule(data=st.data(), state=STATES, at=TIMES)
    def move(self, data, state, at):
        if self.model:
            email = self.one(data)
            self.subscribers.move(self.subscribers.find(email), state, at)
            self.model[email][2:4] = [state, at]

    @rule(data=st.data(), name=st.text(max_size=3), new=EMAILS)
    def edit(self, data, name, new):
        if self.model:
            email = self.one(data)
            row = self.subscribers.find(email)
            self.subscribers.set_name(row, name)
            self.subscribers.set_values(row, ((2, name),))
            self.model[email][1], self.model[email][5] = name, ((2, name),)
            if fold(new) not in self.model:
                self.subscribers.set_email(row, new)
                self.model[fold(new)] = [new, *self.model.pop(email)[1:]]

    @invariant()
    def compare(self):
        if not hasattr(self, "subscribers"):
            return
        subscribers = self.subscribers
        for state in SimulatedState:
            mine = {email: row for email, row in self.model.items() if row[2] is state}
            assert subscribers.counts[state] == len(mine)
            by_email = [subscribers.email(row) for row in subscribers.ordered(state, "email").slice(0, 100)]
            assert by_email == [mine[email][0] for email in sorted(mine)]
            by_date = [subscribers.changed[row] for row in subscribers.ordered(state, "date").slice(0, 100)]
            assert by_date == sorted(row[3] for row in mine.values())
            assert subscribers.since(state, 1_005) == sum(row[3] < 1_005 for row in mine.values())
            names = [subscribers.name(row).casefold() for row in subscribers.ordered(state, "name").slice(0, 100)]
            assert names == sorted(row[1].casefold() for row in mine.values())
        for email, (text, name, state, changed, joined, values) in self.model.items():
            row = subscribers.find(email)
            assert (subscribers.email(row), subscribers.name(row), subscribers.state(row)) == (text, name, state)
            assert (subscribers.changed[row], subscribers.joined[row], subscribers.values(row)) == (
                changed,
                joined,
                values,
            )
        assert subscribers.find("nobody@example.net") is None
        assert len(subscribers) == len(self.model)


TestSubscriberStore = SubscriberStoreMachine.TestCase
TestSubscriberStore.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


KEYS = st.dictionaries(st.integers(0, 400), st.integers(0, 50), max_size=200)


@given(KEYS, st.data())
@settings(max_examples=60)
def test_behaves_like_a_sorted_list(keys, data):
    def key(row):
        return keys[row], row

    start = data.draw(st.sets(st.sampled_from(sorted(keys)) if keys else st.nothing()))
    order, model = OrderedRows(key, start), sorted(start, key=key)
    for row in data.draw(st.lists(st.sampled_from(sorted(keys)), max_size=60)) if keys else []:
        if row in model:
            order.remove(row)
            model.remove(row)
        else:
            order.add(row)
            model = sorted([*model, row], key=key)
    assert len(order) == len(model)
    assert order.slice(0, len(model) + 5) == model
    first, last = data.draw(st.integers(0, 210)), data.draw(st.integers(0, 210))
    assert order.slice(first, last) == model[first:last]
    bound = (data.draw(st.integers(0, 51)), -1)
    assert order.position(bound) == sum(key(row) < bound for row in model)


def test_chunks_split_and_vanish(monkeypatch):
    monkeypatch.setattr(subscriber_store, "_CHUNK", 3)
    order = OrderedRows(lambda row: row, [])
    for row in (7, 1, 9, 3, 5, 2, 8, 4, 6, 0):
        order.add(row)
    assert order.slice(0, 10) == list(range(10))
    for row in (0, 9, 4, 5, 6, 1, 2, 3):
        order.remove(row)
    assert order.slice(0, 10) == [7, 8]
    assert order.position(8) == 1


def test_a_row_that_is_not_there_cannot_be_removed():
    order = OrderedRows(lambda row: row, [1, 3])
    for row in (0, 2, 4):
        try:
            order.remove(row)
        except ValueError:
            continue
        raise AssertionError(row)

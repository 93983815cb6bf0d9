"""Columns against an obvious model: a dict of subscribers."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from connectors.devkit.simulator.data.population import Population
from connectors.devkit.simulator.data.roster import Roster, fold
from connectors.devkit.simulator.data.transitions import State

EMAILS = st.sampled_from([f"{name}@example.net" for name in ("a", "B", "c", "d", "E", "f", "g")])
STATES = st.sampled_from(list(State))
TIMES = st.integers(1_000, 1_010)


class RosterMachine(RuleBasedStateMachine):
    @initialize(seeded=st.integers(0, 40), order_first=st.booleans())
    def start(self, seeded, order_first):
        people = Population(5, seeded, 0, 600_000) if seeded else None
        self.roster = Roster(people)
        self.model = {}
        for row in range(seeded):
            self.model[fold(people.email(row))] = [
                people.email(row), people.name(row), self.roster.state(row), self.roster.changed[row],
                self.roster.joined[row], people.values(row),
            ]  # fmt: skip
        if order_first:
            self.compare()

    def one(self, data):
        return data.draw(st.sampled_from(sorted(self.model)))

    @rule(email=EMAILS, name=st.text(max_size=3), state=STATES, at=TIMES)
    def add(self, email, name, state, at):
        if fold(email) not in self.model:
            self.roster.add(email, fold(email), name, ((1, name),), state, at)
            self.model[fold(email)] = [email, name, state, at, at, ((1, name),)]

    @rule(data=st.data(), state=STATES, at=TIMES)
    def move(self, data, state, at):
        if self.model:
            email = self.one(data)
            self.roster.move(self.roster.find(email), state, at)
            self.model[email][2:4] = [state, at]

    @rule(data=st.data(), name=st.text(max_size=3), new=EMAILS)
    def edit(self, data, name, new):
        if self.model:
            email = self.one(data)
            row = self.roster.find(email)
            self.roster.set_name(row, name)
            self.roster.set_values(row, ((2, name),))
            self.model[email][1], self.model[email][5] = name, ((2, name),)
            if fold(new) not in self.model:
                self.roster.set_email(row, new)
                self.model[fold(new)] = [new, *self.model.pop(email)[1:]]

    @invariant()
    def compare(self):
        if not hasattr(self, "roster"):
            return
        roster = self.roster
        for state in State:
            mine = {email: row for email, row in self.model.items() if row[2] is state}
            assert roster.counts[state] == len(mine)
            by_email = [roster.email(row) for row in roster.ordered(state, "email").slice(0, 100)]
            assert by_email == [mine[email][0] for email in sorted(mine)]
            by_date = [roster.changed[row] for row in roster.ordered(state, "date").slice(0, 100)]
            assert by_date == sorted(row[3] for row in mine.values())
            assert roster.since(state, 1_005) == sum(row[3] < 1_005 for row in mine.values())
            names = [roster.name(row).casefold() for row in roster.ordered(state, "name").slice(0, 100)]
            assert names == sorted(row[1].casefold() for row in mine.values())
        for email, (text, name, state, changed, joined, values) in self.model.items():
            row = roster.find(email)
            assert (roster.email(row), roster.name(row), roster.state(row)) == (text, name, state)
            assert (roster.changed[row], roster.joined[row], roster.values(row)) == (changed, joined, values)
        assert roster.find("nobody@example.net") is None
        assert len(roster) == len(self.model)


TestRoster = RosterMachine.TestCase
TestRoster.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)

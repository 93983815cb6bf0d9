"""Seeds are deterministic: two simulators of one seed and moment hold the same, to the byte."""

from datetime import UTC, datetime

import orjson

from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.devkit.simulator.data.population import Population
from connectors.devkit.simulator.protocol.paging import PageRequest

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def everything(seed):
    settings = SimulatorSettings(demo=True, subscribers=300, activity=900, seed=seed, now=NOW, frozen=True)
    simulator = Simulator(settings)
    held = [simulator.controls.subscribers(list_id) for list_id in simulator.state.lists]
    reports = [
        [tuple(row) for row in report.page(PageRequest(1, 1_000, "date", False), simulator.state.clock.now())[0]]
        for campaign in simulator.state.campaigns.values()
        for report in campaign.reports.values()
    ]
    assert sum(map(len, reports)) > 500
    return orjson.dumps([simulator.controls.find_lists(), held, repr(reports)])


def test_the_same_seed_gives_the_same_account():
    assert everything(1) == everything(1)
    assert everything(1) != everything(2)


def test_people_are_found_by_their_address_and_by_nothing_else():
    people = Population(1, 500, 0, 10**7, first_person=100)
    emails = [people.email(row) for row in range(500)]
    assert emails == sorted(set(emails))
    assert [people.find(email) for email in emails] == list(range(500))
    for other in ("", "p", "p0000100", "p0000100.liam.doe@people.example", "p0000099" + emails[0][8:], "x" + emails[3]):
        assert people.find(other) is None


def test_every_state_and_kind_of_value_exists():
    simulator = Simulator(SimulatorSettings(demo=True, subscribers=200, activity=500, now=NOW))
    news = next(entry for entry in simulator.state.lists.values() if entry.title == "Newsletter")
    assert all(count > 0 for count in news.subscribers.counts)
    held = {number for row in range(200) for number, _ in news.subscribers.values(row)}
    assert held == set(news.fields)
    joined = news.subscribers.joined
    assert joined[-1] - joined[0] > 365 * 86_400 - 86_400 * 5


def test_history_is_the_same_all_day():
    def dates(hour):
        simulator = Simulator(SimulatorSettings(demo=True, subscribers=50, activity=0, now=NOW.replace(hour=hour)))
        return [simulator.controls.subscribers(list_id) for list_id in [*simulator.state.lists][:2]]

    assert dates(1) == dates(23)

"""Rows that are kept encoded: every answer is the same as without, also after something was changed."""

import pytest

from connectors.devkit.simulator import Simulator
from connectors.devkit.simulator.data.encoded_rows import EncodedRows
from tests.component.devkit.simulator.conftest import Api

PEOPLE, MARY = "/lists/{list}/active.json", "mary@example.net"
PAGES = (
    (PEOPLE, {"pagesize": 20, "page": 2}),
    (PEOPLE, {"pagesize": 20, "orderfield": "email", "orderdirection": "desc"}),
    (PEOPLE, {"pagesize": 1_000, "includetrackingpreference": "true"}),
    (PEOPLE.replace("active", "unsubscribed"), {"pagesize": 20}),
    ("/campaigns/{campaign}/recipients.json", {"pagesize": 20, "page": 2}),
    ("/campaigns/{campaign}/opens.json", {"pagesize": 1_000}),
    ("/campaigns/{campaign}/clicks.json", {"pagesize": 20, "orderfield": "email"}),
)


async def test_kept_rows_are_what_would_be_encoded_now(api: Api, sim: Simulator, list_id: str) -> None:
    controls = sim.controls
    controls.seed_subscribers(list_id, 120)
    controls.add_subscriber(list_id, MARY, "Mary")
    campaign = controls.add_campaign([list_id], "Spring", opens=60, clicks=30)
    kept, bare = EncodedRows(1_000), EncodedRows(0)
    acts = (
        lambda: None,
        lambda: controls.add_field(list_id, "City"),
        lambda: api.put(f"/subscribers/{list_id}.json", _mary(Name="Marie"), email=MARY),
        lambda: controls.open(campaign, MARY),
        lambda: controls.change_settings(minute_resolution=True, read_keys="key"),
        lambda: api.put(f"/subscribers/{list_id}.json", _mary(EmailAddress="marie@example.net"), email=MARY),
        lambda: controls.unsubscribe(list_id, "marie@example.net"),
    )
    for act in acts:
        result = act()
        if result is not None and hasattr(result, "__await__"):
            assert (await result).status == 200
        for path, query in PAGES:
            path = path.format(list=list_id, campaign=campaign)
            answers = []
            for rows in (kept, kept, bare):
                sim.state.encoded_rows = rows
                answers.append((await api.get(path, **query)).text)
            assert answers[0] == answers[1] == answers[2], path


@pytest.mark.parametrize(("limit", "again"), [(0, 10), (5, 10), (50, 0), (10_000, 0)])
def test_no_more_are_kept_than_a_limit_and_a_page(limit: int, again: int) -> None:
    rows, made = EncodedRows(limit), []
    for number in range(0, 1_000, 10):
        rows.of("opens", 1, range(number, number + 10), lambda row: made.append(row) or row)
    rows.of("opens", 1, range(990, 1_000), lambda row: made.append(row) or row)
    assert len(made) == 1_000 + again
    rows.of("opens", 2, range(990, 1_000), lambda row: made.append(row) or row)
    assert len(made) == 1_010 + again, "another version of the report is encoded again"


def _mary(**changes: object) -> dict[str, object]:
    return {"EmailAddress": MARY, "ConsentToTrack": "Yes", **changes}

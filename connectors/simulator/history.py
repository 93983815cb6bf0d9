"""What one subscriber did with the campaigns of a list."""

from connectors.simulator.call import Answer, Call, Route
from connectors.simulator.dates import local_text
from connectors.simulator.entities import Json

_NAMES = {"opens": "Open", "clicks": "Click", "unsubscribes": "Unsubscribe", "spam": "Spam", "bounces": "Bounce"}
MOST_ACTIONS = 60
"""Opens and clicks of one campaign that the history shows: it is no lossless source."""


def history(call: Call) -> Answer:
    """Answer the campaigns that a subscriber got, each with the acts."""
    target = call.list()
    row = call.row(target, call.query.get("email"))
    email, now = target.roster.email(row), call.state.clock.now()
    shown: list[Json] = []
    for one in call.state.campaigns.values():
        if not one.sent or target.list_id not in one.list_ids or one.recipients.find(email) is None:
            continue
        acts: list[tuple[int, Json]] = []
        for kind, name in _NAMES.items():
            rows = [act for act in one.report(kind).of(email, now) if act.list_id == target.list_id]
            for act in rows[:MOST_ACTIONS]:
                date = local_text(act.at, target.client.zone)
                detail = act.url if kind == "clicks" else ""
                acts.append((act.at, {"Event": name, "Date": date, "IPAddress": act.ip, "Detail": detail}))
        acts.sort(key=lambda entry: entry[0])
        actions = [act for _, act in acts]
        shown.append({"ID": one.campaign_id, "Type": "Campaign", "Name": one.name, "Actions": actions})
    return Answer(shown)


ROUTES = (Route("GET", "/subscribers/{listid}/history", history, "ViewSubscribersInReports"),)

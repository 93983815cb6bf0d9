"""The demo account: every kind of resource exists in it, the same for the same seed and day."""

from connectors.devkit.simulator.controls.controls import Controls
from connectors.devkit.simulator.data.entities import Json, SimulatedWebhook

SYDNEY = "(GMT+10:00) Canberra, Melbourne, Sydney"
NEW_YORK = "(GMT-05:00) Eastern Time (US & Canada)"
FIELDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("City", "Text", ()),
    ("Shoe Size", "Number", ()),
    ("Plan", "MultiSelectOne", ("Free", "Plus", "Pro €")),
    ("Interests", "MultiSelectMany", ("cycling", "chess", "cooking", "café culture")),
    ("Birthday", "Date", ()),
    ("Home Country", "Country", ()),
    ("Home State", "USState", ()),
)
# No receiver listens on the discard port: the hook shows up in listings and gets no events while it is off.
_WEBHOOK_URL = "http://127.0.0.1:9/hooks/demo"


def seed_demo(controls: Controls) -> Json:
    """Fill the account and return the ids by role."""
    settings = controls.state.settings
    acme = controls.add_client("Acme Pty", SYDNEY, "Australia")
    borealis = controls.add_client("Borealis Inc", NEW_YORK, "United States of America")
    ids: Json = {"acme": acme, "borealis": borealis}
    news = controls.add_list(acme, "Newsletter")
    for name, data_type, options in FIELDS:
        controls.add_field(news, name, data_type, options)
    controls.seed_subscribers(news, settings.subscribers)
    offers = controls.add_list(acme, "Offers", unsubscribe_setting="OnlyThisList")
    controls.add_field(offers, "City")
    controls.seed_subscribers(offers, settings.subscribers // 4, first_person=settings.subscribers // 8)
    events = controls.add_list(acme, "Event guests", confirmed_opt_in=True)
    export = controls.add_list(acme, "Audience export")
    updates = controls.add_list(borealis, "Product updates")
    controls.add_field(updates, "Plan", "MultiSelectOne", ("Free", "Plus"))
    controls.seed_subscribers(updates, settings.subscribers // 2, first_person=5_000_000)
    ids |= {"newsletter": news, "offers": offers, "events": events, "export": export, "updates": updates}
    ids["segments"] = [
        controls.add_segment(news, "Cyclists", [[("[Interests]", "EQUALS cycling")]]),
        controls.add_segment(news, "Ghent or Perth, big feet",
                             [[("[City]", "EQUALS Ghent"), ("[City]", "EQUALS Perth")],
                              [("[ShoeSize]", "GREATER_THAN 500")]]),
        controls.add_segment(updates, "Named people", [[("Name", "PROVIDED")]]),
    ]  # fmt: skip
    _mail(controls, ids)
    _others(controls, ids)
    return ids


def _mail(controls: Controls, ids: Json) -> None:
    news, offers, updates = ids["newsletter"], ids["offers"], ids["updates"]
    weights = ((news,), 40, ("spring", "news")), ((news, offers), 25, ("sale",)), ((updates,), 20, ("product",))
    rows = controls.state.settings.activity
    ids["campaigns"] = []
    for number, (lists, share, tags) in enumerate(weights, 1):
        part = rows * share // 100
        ids["campaigns"].append(
            controls.add_campaign(
                lists,
                f"Issue {number}",
                days_ago=40 * number,
                opens=part * 70 // 100,
                clicks=part * 20 // 100,
                unsubscribes=part * 3 // 100,
                spam=part // 100,
                bounces=part * 6 // 100,
                days=20,
                tags=tags,
                segment_ids=ids["segments"][:1] if number == 1 else (),
            )
        )
    controls.add_campaign([news], "Untagged, nobody looked", days_ago=200)
    ids["scheduled"] = controls.schedule_campaign([news], "Summer preview", in_seconds=30 * 86_400, tags=["spring"])
    ids["draft"] = controls.add_draft([offers], "Half an idea", tags=["sale"])
    part = max(10, rows * 15 // 100 // 2)
    ids["journey"], *ids["journey_emails"] = controls.add_journey(
        news,
        "Welcome",
        sent=part * 50 // 100,
        opens=part * 30 // 100,
        clicks=part * 12 // 100,
        bounces=max(1, part * 4 // 100),
        unsubscribes=max(1, part * 4 // 100),
    )
    controls.add_journey(updates, "Win back", mails=1, status="Paused", trigger="Date field")


def _others(controls: Controls, ids: Json) -> None:
    acme = controls.client(ids["acme"])
    for number, (name, state) in enumerate((("Ann", "Active"), ("Ben", "Unconfirmed"), ("Çelik", "Unsubscribed"))):
        email = f"{('ann', 'ben', 'celik')[number]}+events@guests.example"
        controls.add_subscriber(ids["events"], email, name, state=state, mobile="+32470000000" if number == 0 else None)
    news = controls.list(ids["newsletter"])
    for row in (3, 7, 20):
        if row < len(news.subscribers):
            controls.suppress(acme.client_id, news.subscribers.email(row), ("Unsubscribed", "Bounced")[row % 2])
    controls.suppress(acme.client_id, "complainer@elsewhere.example")
    hook = SimulatedWebhook(
        controls.state.identifiers.new("webhook"), ("Subscribe", "Update", "Deactivate"), _WEBHOOK_URL, "json", False
    )
    news.webhooks[hook.webhook_id] = hook
    ids["webhook"] = hook.webhook_id
    page = "https://acme.createsend.example/templates/1"
    acme.templates.append(
        {
            "TemplateID": controls.state.identifiers.new("template"),
            "Name": "Two columns",
            "PreviewURL": f"{page}/preview",
            "ScreenshotURL": f"{page}/screenshot.jpg",
        }
    )
    controls.client(ids["borealis"]).people.append(
        {"EmailAddress": "bob@borealis.example", "Name": "Bob", "AccessLevel": 31, "Status": "Active"}
    )

"""An import against a real broker and the simulator: everything is there, once, and a second run adds what is new."""

from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from schemas.cm_activity import CmActivity
from schemas.cm_user import CmUser
from tests.deadline import eventually
from tests.integration.importer.importing import (
    ask_for_a_run,
    books_activity,
    books_users,
    connector,
    finished,
    ids,
    import_job,
    kafka_settings,
    progress,
    published_activity,
    published_users,
    topic,
    values,
)

BERLIN = "(GMT+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna"


def seed(simulator: Simulator, people: int = 900) -> tuple[str, str, str]:
    """A client with two lists, two campaigns, a journey and suppressed people."""
    controls = simulator.controls
    client = controls.add_client("Acme", BERLIN)
    news = controls.add_list(client, "News")
    controls.add_field(news, "City")
    controls.seed_subscribers(news, people)
    offers = controls.add_list(client, "Offers")
    controls.seed_subscribers(offers, 60, first_person=people - 30)
    campaign = controls.add_campaign(
        [news], "Spring", days_ago=2, opens=700, clicks=250, unsubscribes=7, bounces=9, spam=3, days=1
    )
    controls.add_campaign([news, offers], "Old", days_ago=90, recipients=150, opens=120, clicks=30)
    controls.add_journey(offers, "Welcome", mails=1, sent=40, opens=30, clicks=8, unsubscribes=2, bounces=1)
    for number in range(5):
        controls.suppress(client, f"suppressed{number}@example.com")
    return client, news, campaign


async def test_everything_is_imported_once_and_a_second_run_adds_what_is_new(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings()) as simulator:
        client, news, campaign = seed(simulator)
        async with connector(kafka, simulator, [import_job(client, keep_updated=True)]):
            first = await finished(kafka)
            people, activity = topic(kafka, "cm_user"), topic(kafka, "cm_activity")
            assert published_users(people) == books_users(simulator, client)
            assert published_activity(activity) == books_activity(simulator)
            unsubscribed = {
                (list_id, email) for list_id, email, state in published_users(people) if state == "Unsubscribed"
            }
            acts = [value for value in values(activity) if value["event"] == "deactivate"]
            assert unsubscribed <= {(value["list_id"], value["email"]) for value in acts}, "whoever has reported it"
            for record in people:
                CmUser.from_bytes(record.value)
            for record in activity:
                CmActivity.from_bytes(record.value)
            suppressed = [value for value in values(people) if value["status"] == "Suppressed"]
            assert len(suppressed) == len(simulator.state.clients[client].suppressed)
            assert len(ids(people)) == len(set(ids(people)))
            assert len(ids(activity)) == len(set(ids(activity)))
            assert (first.rows, first.problems) == (len(people) + len(activity), 0)

            await ask_for_a_run(kafka)
            second = await finished(kafka, 2)
            assert second.rows == 0, "nothing happened, so nothing is added"
            assert len(topic(kafka, "cm_user")) == len(people)

            controls = simulator.controls
            reader = simulator.controls.subscribers(news, "Active", limit=3)
            for _time in range(2):
                controls.open(campaign, reader[0]["EmailAddress"])
            controls.click(campaign, reader[1]["EmailAddress"])
            controls.unsubscribe(news, reader[2]["EmailAddress"], campaign)
            controls.add_subscriber(news, "new@example.com")
            await ask_for_a_run(kafka)
            await finished(kafka, 3)
        more_people, more_activity = topic(kafka, "cm_user"), topic(kafka, "cm_activity")
        assert published_activity(more_activity) == books_activity(simulator)
        added = published_users(more_people) - published_users(people)
        assert added[news, "new@example.com", "Active"] == 1
        assert added[news, reader[2]["EmailAddress"], "Unsubscribed"] == 1
        event_ids = ids(more_people) + ids(more_activity)
        assert len(event_ids) == len(set(event_ids))


async def test_what_is_read_again_is_marked_and_what_is_late_comes_alone(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings()) as simulator:
        client, news, campaign = seed(simulator, people=300)
        jobs = [import_job(client, keep_updated=True)]
        async with connector(kafka, simulator, jobs):
            await finished(kafka)
            reader = simulator.controls.subscribers(news, "Active", limit=1)[0]["EmailAddress"]
            simulator.controls.open(campaign, reader)
            jobs[0] = import_job(client, keep_updated=True, full_read=1)
            await finished(kafka, 2)
        people, activity = topic(kafka, "cm_user"), topic(kafka, "cm_activity")
        once = [record for record in activity if not values([record])[0].get("repeat")]
        repeated = [record for record in activity if values([record])[0].get("repeat")]
        assert published_activity(once) == books_activity(simulator), "each row once that is no repeat"
        assert published_activity(repeated) == books_activity(simulator)
        first = [record for record in people if not values([record])[0].get("repeat")]
        assert published_users(first) == books_users(simulator, client)
        assert sorted(ids(people)) == sorted(2 * ids(first))


async def test_a_job_of_one_list_reads_nothing_of_others(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings()) as simulator:
        client, news, campaign = seed(simulator)
        reader = simulator.controls.subscribers(news, "Active", limit=1)[0]["EmailAddress"]
        simulator.controls.suppress(client, reader)
        job = import_job(client, lists=[news], activities=["open"], journeys=False)
        async with connector(kafka, simulator, [job]):
            await finished(kafka)
            del simulator.state.clients[client].suppressed[reader.lower()]
            await ask_for_a_run(kafka)
            await finished(kafka, 2)
        people = values(topic(kafka, "cm_user"))
        assert {value.get("list_id") for value in people} == {news, None}
        assert not [value for value in people if value["email"].startswith("suppressed")], "they are on no list"
        assert [value["status"] for value in people if value["email"] == reader and value.get("list_id") is None] == [
            "Suppressed",
            "Unsuppressed",
        ]
        published = values(topic(kafka, "cm_activity"))
        assert {(value["event"], value["list_id"]) for value in published} == {("open", news)}
        assert sum(value["campaign_id"] == campaign for value in published) == 700


async def test_a_stopped_job_goes_on_where_it_stopped(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings(latency_ms=5)) as simulator:
        client, _news, _campaign = seed(simulator)
        running = import_job(client)
        jobs = [running]
        async with connector(kafka, simulator, jobs, page_size=50):
            await eventually(lambda: len(topic(kafka, "cm_user")) > 100, every=0.1)
            jobs[0] = running.model_copy(update={"state": "stopped"})

            def parked() -> bool:
                chains = [record for record in progress(kafka).values() if record.kind == "chain"]
                return any(chain.state == "parked" for chain in chains) and all(
                    chain.state != "open" for chain in chains
                )

            await eventually(parked, every=0.2)
        async with connector(kafka, simulator, jobs, page_size=50):
            jobs[0] = running
            await finished(kafka)
        assert published_users(topic(kafka, "cm_user")) == books_users(simulator, client)
        assert published_activity(topic(kafka, "cm_activity")) == books_activity(simulator)


async def test_a_moving_account_and_a_failing_api_lose_and_double_nothing(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings()) as simulator:
        client, news, campaign = seed(simulator)
        controls = simulator.controls
        people = [row["EmailAddress"] for row in controls.subscribers(news, "Active", limit=400)]
        for number, email in enumerate(people[:40]):
            acts = [("unsubscribe", {"list_id": news, "email": email, "mail_id": campaign})]
            acts += [("open", {"mail_id": campaign, "email": people[100 + number]})]
            controls.inject(kind="mutate", acts=acts, probability=0.5, seed=number)
        for kind, change in (
            ("status", {"status": 500, "body": "html"}),
            ("status", {"status": 429}),
            ("status", {"status": 504, "body": "empty"}),
            ("reset", {}),
            ("truncate", {}),
        ):
            controls.inject(kind=kind, probability=0.06, count=None, seed=5, **change)
        async with connector(kafka, simulator, [import_job(client, keep_updated=True)], page_size=50):
            await finished(kafka, seconds=150)
            controls.clear_faults()
            await ask_for_a_run(kafka)
            await finished(kafka, 2)
        published = topic(kafka, "cm_user"), topic(kafka, "cm_activity")
        assert published_activity(published[1]) == books_activity(simulator)
        latest = {}
        for value in sorted(values(published[0]), key=lambda value: value["at"]):
            if value.get("list_id"):
                latest[value["list_id"], value["email"]] = value["status"]
        books = {(list_id, email): state for list_id, email, state in books_users(simulator, client)}
        assert latest == books
        assert len(ids(published[0])) == len(set(ids(published[0])))

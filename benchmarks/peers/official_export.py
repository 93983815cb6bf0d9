"""Peer: a loop over the official client. Each record is one add call, or a thousand of them one import call.

Options: `add` or `import`, base URL, API key, list id.
"""

import sys
from typing import Any

import orjson
from confluent_kafka import Consumer
from createsend import Subscriber

from benchmarks.job import Job, Stopwatch
from benchmarks.peers import official_client

IMPORT_ROWS = 1_000


def person(value: bytes) -> dict[str, Any]:
    """Return the subscriber that a membership event asks for."""
    event = orjson.loads(value)
    return {
        "EmailAddress": event["email"],
        "Name": event["user"]["name"],
        "CustomFields": [{"Key": "City", "Value": event["user"]["city"]}],
        "ConsentToTrack": "Unchanged",
    }


def main() -> None:
    """Send every event and report how long it took."""
    job, stopwatch = Job.from_arguments(sys.argv[1:]), Stopwatch()
    method, base_url, api_key, list_id = job.options
    official_client.use(base_url)
    subscriber = Subscriber({"api_key": api_key}, list_id)
    consumer = Consumer(
        {"bootstrap.servers": job.bootstrap, "group.id": job.app, "auto.offset.reset": "earliest"}
        | {"enable.auto.commit": False}
    )
    consumer.subscribe(list(job.inputs))
    done = 0
    while done < job.events:
        records = consumer.consume(IMPORT_ROWS if method == "import" else 1, 1.0)
        people = [person(record.value() or b"") for record in records if record.error() is None]
        if not people:
            continue
        stopwatch.start()
        if method == "import":
            subscriber.import_subscribers(list_id, people, resubscribe=False)
        else:
            one = people[0]
            subscriber.add(list_id, one["EmailAddress"], one["Name"], one["CustomFields"], False, "Unchanged")
        consumer.commit(asynchronous=True)
        done += len(people)
    stopwatch.report(done)
    consumer.close()


if __name__ == "__main__":
    main()

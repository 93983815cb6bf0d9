"""What the brokers hold: lag, the topics, and the audiences that upstream has named."""

from dataclasses import asdict
from datetime import UTC, datetime

from pydantic import Field

from connectors.kafka.admin import check_topics
from streams.console.api.operation import ApiAnswer, Call, Operation, RequestQuery


class LagQuery(RequestQuery):
    """Which lag."""

    group: list[str] = Field(default_factory=list, max_length=100, description="Only these consumer groups.")
    topic: list[str] = Field(default_factory=list, max_length=100, description="Only these topics.")


class PartitionLagAnswer(ApiAnswer):
    """A group's place in one partition."""

    group: str
    topic: str
    partition: int
    committed: int | None = Field(description="The next offset that the group reads; null before its first commit.")
    start: int
    stable_end: int
    lag: int = Field(description="Records that can be read.")
    exact: bool = Field(description="It was counted; false: more than 100 by their offsets, markers included.")
    lost: int = Field(description="Records that expired before they were read.")
    beyond: bool = Field(description="It is behind the end: the topic was recreated or truncated.")


class UndeliveredAnswer(ApiAnswer):
    """Changes that export workers have read, and not delivered for some seconds."""

    people: int
    since: datetime | None = Field(description="When a worker learned of the oldest; null: nobody waits.")


class LagAnswer(ApiAnswer):
    """Consumer lag at one moment."""

    at: datetime = Field(description="When it was read; rarely older than 10 s, never older than a minute.")
    lag: int
    undelivered: UndeliveredAnswer
    partitions: list[PartitionLagAnswer]


class TopicAnswer(ApiAnswer):
    """A topic as it should be, and what is wrong with it."""

    topic: str
    partitions: int
    replication_factor: int
    config: dict[str, str]
    problems: list[str]


class TopicsAnswer(ApiAnswer):
    """All topics."""

    items: list[TopicAnswer]


class AudienceAnswer(ApiAnswer):
    """An audience that upstream has named."""

    audience: str
    name: str
    people: int = Field(description="People who are in it, whose events the export worker has read.")


class AudiencesAnswer(ApiAnswer):
    """Audiences by id; counts are up to a minute old."""

    items: list[AudienceAnswer]


async def show_lag(call: Call) -> LagAnswer:
    """Show consumer lag on the bridge's topics by group, topic and partition, in records that can be read.

    It is the reading that the page *Lag* shows, which all callers share.
    """
    query, reading = call.asked(LagQuery), await call.console.collector.recent()
    found = [
        lag
        for lag in reading.lags
        if lag.group in (query.group or [lag.group]) and lag.topic in (query.topic or [lag.topic])
    ]
    since = reading.undelivered.since
    return LagAnswer(
        at=datetime.fromtimestamp(reading.at, UTC),
        lag=sum(lag.lag for lag in found),
        undelivered=UndeliveredAnswer(
            people=reading.undelivered.people, since=None if since is None else datetime.fromtimestamp(since, UTC)
        ),
        partitions=[PartitionLagAnswer(**asdict(lag)) for lag in found],
    )


async def list_topics(call: Call) -> TopicsAnswer:
    """Check that every topic is as it should be. Nothing is changed."""
    reports = await call.console.reads.of(lambda: check_topics(call.console.kafka, create=False))
    return TopicsAnswer(
        items=[
            TopicAnswer(
                topic=report.wanted.name,
                partitions=report.wanted.partitions,
                replication_factor=report.wanted.replication_factor,
                config={name: f"{value}" for name, value in report.wanted.config.items()},
                problems=list(report.problems),
            )
            for report in reports
        ]
    )


async def list_audiences(call: Call) -> AudiencesAnswer:
    """List the audiences that upstream has named: id, name, and how many people are in them now."""
    return AudiencesAnswer(items=[AudienceAnswer(**found._asdict()) for found in await call.console.audiences()])


OPERATIONS = (
    Operation(method="GET", path="/lag", needs="viewer", handle=show_lag, query=LagQuery, answer=LagAnswer),
    Operation(method="GET", path="/topics", needs="viewer", handle=list_topics, answer=TopicsAnswer),
    Operation(method="GET", path="/audiences", needs="viewer", handle=list_audiences, answer=AudiencesAnswer),
)

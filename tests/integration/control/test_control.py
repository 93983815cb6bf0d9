"""Authorizations and jobs on real topics: what one process writes every other one sees, secrets sealed all the way."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from connectors.campaign_monitor.credentials import Tokens
from connectors.control.authorizations import Authorizations, UnknownAuthorizationError
from connectors.control.crypto import Sealer, SealError
from connectors.control.jobs import ExportOrImportJob, Jobs, UnknownJobError
from connectors.kafka.admin import ensure_topics
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import Authorization, ExportJob, ImportJob
from tests.deadline import eventually
from tests.kafka_io import produce, read_all

CANARY = "canary-api-key"
OLD, NEW = b"o" * 32, b"n" * 32
NOW = datetime(2026, 1, 2, tzinfo=UTC)
TOKENS = Tokens(SecretStr("canary-access"), SecretStr("canary-refresh"), 1_800_000_000.0)


@pytest.fixture
def settings(bootstrap_servers: str, namespace: str) -> KafkaSettings:
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers, topic_prefix=namespace, partitions=1)
    ensure_topics(settings, create=True)
    return settings


@pytest.fixture
async def producer(settings: KafkaSettings) -> AsyncIterator[AsyncProducer]:
    async with AsyncProducer(settings, "test") as producer:
        yield producer


def export_job(job_id: str = "e") -> ExportJob:
    return ExportJob(
        id=job_id, authorization_id="a", client_id="c", list_id="l", created_at=NOW, updated_at=NOW, started_at=NOW
    )


def import_job(job_id: str = "i") -> ImportJob:
    return ImportJob(id=job_id, authorization_id="a", client_id="c", created_at=NOW, updated_at=NOW)


async def test_an_authorization_is_there_at_once_for_its_writer_and_soon_for_others(
    settings: KafkaSettings, producer: AsyncProducer
) -> None:
    changes: list[tuple[str, Authorization | None]] = []
    async with (
        Authorizations(settings, producer, Sealer(NEW)) as mine,
        Authorizations(
            settings, producer, Sealer(NEW), on_change=lambda key, value: changes.append((key, value))
        ) as theirs,
    ):
        written = await mine.put("acme", SecretStr(CANARY), description="Acme Inc.")
        assert mine.get("acme") == written
        await eventually(lambda: theirs.get("acme") is not None)
        assert theirs.secret("acme") == SecretStr(CANARY)
        await theirs.set_problem("acme", "enter the key again", written.sealed)
        await eventually(lambda: mine.known("acme").state == "needs_attention")
        replaced = await mine.put("acme", TOKENS)
        assert (replaced.kind, replaced.state, replaced.description) == ("oauth", "ready", "Acme Inc.")
        await mine.remove("acme")
        await eventually(lambda: theirs.get("acme") is None)
        assert [value is None for _, value in changes] == [False, False, False, True]
        with pytest.raises(UnknownAuthorizationError, match="There is no authorization acme; there are: none"):
            mine.secret("acme")


async def test_recording_the_same_again_writes_nothing(
    settings: KafkaSettings, producer: AsyncProducer, bootstrap_servers: str
) -> None:
    async with Authorizations(settings, producer, Sealer(NEW)) as mine:
        sealed = (await mine.put("acme", SecretStr(CANARY))).sealed
        for _ in range(3):
            await mine.set_problem("acme", "x", sealed)
        await mine.set_problem("acme", "of a secret that was replaced", "another")
    records = await asyncio.to_thread(read_all, bootstrap_servers, settings.names()["cm_authorizations"])
    assert len(records) == 2


async def test_secrets_are_on_no_topic_and_in_no_log(
    settings: KafkaSettings, producer: AsyncProducer, bootstrap_servers: str, caplog, capsys
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Authorizations(settings, producer, Sealer(NEW)) as mine:
        await mine.put("key", SecretStr(CANARY))
        await mine.put("tokens", TOKENS)
        shown = repr(mine.all()) + repr(mine.secret("key")) + repr(mine.secret("tokens"))
    records = await asyncio.to_thread(read_all, bootstrap_servers, settings.names()["cm_authorizations"])
    assert len(records) == 2
    printed = capsys.readouterr()
    everything = shown + caplog.text + printed.out + printed.err + repr(records)
    assert "canary" not in everything


async def test_keys_rotate(settings: KafkaSettings, producer: AsyncProducer) -> None:
    async with Authorizations(settings, producer, Sealer(OLD)) as before:
        await before.put("acme", SecretStr(CANARY))
    async with Authorizations(settings, producer, Sealer(NEW)) as without:
        with pytest.raises(SealError, match="Authorization acme was sealed with the key"):
            without.secret("acme")
    async with Authorizations(settings, producer, Sealer(NEW, [OLD])) as both:
        assert both.secret("acme") == SecretStr(CANARY)
        assert await both.reseal() == ["acme"]
        assert await both.reseal() == []
    async with Authorizations(settings, producer, Sealer(NEW)) as after:
        assert after.secret("acme") == SecretStr(CANARY)


async def test_refreshed_tokens_are_stored_and_read_by_another_process(
    settings: KafkaSettings, producer: AsyncProducer
) -> None:
    fresh = Tokens(SecretStr("a2"), SecretStr("r2"), 1_900_000_000.0)
    async with (
        Authorizations(settings, producer, Sealer(NEW)) as mine,
        Authorizations(settings, producer, Sealer(NEW)) as theirs,
    ):
        await mine.put("acme", TOKENS)
        await mine.store_tokens("acme")(fresh)
        load = theirs.load_tokens("acme")

        async def loaded() -> bool:
            return await load() == fresh

        await eventually(loaded)
        await mine.remove("acme")
        with pytest.raises(UnknownAuthorizationError):
            await mine.store_tokens("acme")(fresh)


async def test_a_rename_and_a_report_beside_a_refresh_wait_and_keep_the_new_tokens(
    settings: KafkaSettings, producer: AsyncProducer
) -> None:
    fresh = Tokens(SecretStr("a2"), SecretStr("r2"), 1_900_000_000.0)
    async with (
        Authorizations(settings, producer, Sealer(NEW)) as mine,
        Authorizations(settings, producer, Sealer(NEW)) as theirs,
    ):
        assert (await mine.put("acme", TOKENS)).description == "acme", "each has a description"
        await theirs.catch_up()
        async with mine.exclusive("acme"):
            renaming = asyncio.create_task(theirs.rename("acme", "Acme Inc."))
            reporting = asyncio.create_task(theirs.set_problem("acme", "revoked", theirs.known("acme").sealed))
            done, _ = await asyncio.wait({renaming, reporting}, timeout=1)
            assert not done
            await mine.store_tokens("acme")(fresh)
        await asyncio.gather(renaming, reporting)
        assert theirs.secret("acme") == fresh
        known = theirs.known("acme")
        assert (known.description, known.state, known.problem) == ("Acme Inc.", "ready", None)


async def test_jobs_are_written_changed_and_removed(settings: KafkaSettings, producer: AsyncProducer) -> None:
    changes: list[tuple[str, ExportOrImportJob | None]] = []
    async with (
        Jobs(settings, producer) as mine,
        Jobs(settings, producer, on_change=lambda key, job: changes.append((key, job))) as theirs,
    ):
        await mine.put(export_job())
        await mine.put(import_job())
        await eventually(lambda: len(theirs.all()) == 2)
        assert theirs.exports() == {"e": export_job()}
        assert theirs.imports() == {"i": import_job()}
        stopped = await mine.set_state("e", "stopped")
        assert stopped.updated_at > NOW
        await mine.set_attention("import", "i", "the list was removed")
        await eventually(lambda: theirs.known("i").attention == "the list was removed")
        assert theirs.known("e").state == "stopped"
        await mine.remove("e")
        await eventually(lambda: changes[-1] == ("e", None))
        with pytest.raises(UnknownJobError, match="There is no job e; there are: i"):
            await mine.remove("e")


async def test_a_record_that_cannot_be_read_keeps_what_was_there(
    settings: KafkaSettings, producer: AsyncProducer, bootstrap_servers: str
) -> None:
    topic = settings.names()["cm_jobs"]
    async with Jobs(settings, producer) as jobs:
        await jobs.put(export_job())
        produce(bootstrap_servers, topic, [(b"e", b"no json"), (b"x", b'{"kind": "export"}')])
        await jobs.put(import_job())
        assert set(jobs.all()) == {"e", "i"}


async def test_jobs_survive_a_new_process(settings: KafkaSettings, producer: AsyncProducer) -> None:
    async with Jobs(settings, producer) as first:
        for number in range(50):
            await first.put(import_job(f"i{number}"))
    async with Jobs(settings, producer) as second:
        assert len(second.all()) == 50

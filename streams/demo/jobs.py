"""The demonstration's jobs: between them they use every option of an export and of an import once. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from schemas.control import ConsentRule, ExportJob, FieldMapping, ImportJob

AUTHORIZATION_ID = "demo-account"


@dataclass(frozen=True, slots=True)
class DemoLists:
    """The local Campaign Monitor's client and lists that the demonstration works on."""

    client_id: str
    everyone: str
    """An empty list: all audiences, with the options that most people choose."""
    vip: str
    """A list with subscribers: one audience, with every option that is off by default."""
    readers: str
    """A list with subscribers: known people are updated, nobody is added."""


def export_jobs(lists: DemoLists, now: datetime) -> tuple[ExportJob, ...]:
    """Return the three export jobs; all of them started long enough ago to count the whole story."""
    shared: dict[str, Any] = {
        "authorization_id": AUTHORIZATION_ID,
        "client_id": lists.client_id,
        "created_at": now,
        "updated_at": now,
        "started_at": now - timedelta(days=30),
    }
    everyone = ExportJob(
        id="export-everyone",
        name="All audiences",
        list_id=lists.everyone,
        existing_users=True,
        queue_autoresponders=True,
        field_mappings=[
            FieldMapping(user_field="city", custom_field="City"),
            FieldMapping(user_field="points", custom_field="Points", data_type="Number"),
            FieldMapping(user_field="member_since", custom_field="Member since", data_type="Date"),
            FieldMapping(user_field="plan", custom_field="Plan", data_type="MultiSelectOne"),
        ],
        consent_to_track="Yes",
        removal_guard=1.0,
        **shared,
    )
    vip = ExportJob(
        id="export-vip",
        name="VIPs, by their address at work",
        list_id=lists.vip,
        audiences=["aud-vip"],
        existing_users=True,
        resubscribe_users=True,
        restart_autoresponders=True,
        consent_rule=ConsentRule(user_field="consent_at"),
        email_field="work_email",
        name_field="full_name",
        custom_field_name="Status",
        segment_name="Status: {audience}",
        on_last_exit="unsubscribe",
        removal_guard=1.0,
        **shared,
    )
    readers = ExportJob(
        id="export-readers",
        name="Readers who are subscribers already",
        list_id=lists.readers,
        audiences=["Newsletter readers", "Win back"],
        existing_users=True,
        update_only=True,
        on_last_exit="delete",
        removal_guard=1.0,
        removals_confirmed=True,
        **shared,
    )
    return everyone, vip, readers


def import_job(lists: DemoLists, now: datetime) -> ImportJob:
    """Return the import job: all lists of the client, kept updated."""
    return ImportJob(
        id="import-acme",
        name="Everything of one client",
        authorization_id=AUTHORIZATION_ID,
        client_id=lists.client_id,
        keep_updated=True,
        interval_seconds=3600,
        created_at=now,
        updated_at=now,
    )

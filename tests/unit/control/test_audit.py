"""What is recorded of a change: the fields that differ, and of a secret only that it does."""

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.control.audit import HIDDEN, Actor, AuditLog, acting, action_of, differences
from connectors.control.table import ControlTable
from schemas.control import AuditRecord, Authorization, ConsoleUser, ExportJob, ImportJob
from schemas.topics import TopicNames

NOW = datetime(2026, 5, 2, tzinfo=UTC)
JOB = ExportJob(
    id="e", authorization_id="a", client_id="c", list_id="l", created_at=NOW, updated_at=NOW, started_at=NOW
)
USER = ConsoleUser(name="ann", role="viewer", password_hash="$argon2id$1", updated_at=NOW)
ACCESS = Authorization(id="a", kind="api_key", sealed="first-sealed", key_id="k", updated_at=NOW)


@pytest.mark.parametrize(
    ("before", "after", "action", "changes"),
    [
        (JOB, JOB.model_copy(update={"state": "stopped"}), "stop", [("state", '"running"', '"stopped"')]),
        (JOB.model_copy(update={"state": "stopped"}), JOB, "start", [("state", '"stopped"', '"running"')]),
        (JOB, JOB.model_copy(update={"audiences": ["v"]}), "edit", [("audiences", "[]", '["v"]')]),
        (USER, USER.model_copy(update={"password_hash": "$2"}), "edit", [("password_hash", HIDDEN, HIDDEN)]),
        (ACCESS, ACCESS.model_copy(update={"sealed": "second"}), "edit", [("sealed", HIDDEN, HIDDEN)]),
    ],
)
def test_a_change_has_its_fields_before_and_after(before: Any, after: Any, action: str, changes: Any) -> None:
    found = list(differences(before, after))
    assert [tuple(change.model_dump().values()) for change in found] == changes
    assert action_of(before, after, found) == action


@pytest.mark.parametrize("model", [JOB, USER, ACCESS])
def test_no_secret_is_recorded_when_something_is_made_or_removed(model: Any) -> None:
    for before, after, action in ((None, model, "create"), (model, None, "remove")):
        found = list(differences(before, after))
        assert action_of(before, after, found) == action
        assert not {"argon2id", "sealed-"} & set(repr(found).split("$"))
        assert "first-sealed" not in repr(found)
        assert "updated_at" not in {change.field for change in found}


def test_what_a_process_does_by_itself_is_no_change_by_a_person() -> None:
    noted = JOB.model_copy(update={"attention": "Look at it", "updated_at": datetime(2027, 1, 1, tzinfo=UTC)})
    assert list(differences(JOB, noted)) == []
    assert list(differences(None, None)) == []


class _Producer:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, bytes]] = []

    async def publish(self, topic: str, key: bytes, value: bytes) -> None:
        self.published.append((topic, key, value))


class _Settings:
    def names(self) -> TopicNames:
        return TopicNames()


async def test_who_acts_is_recorded_and_without_anybody_nothing_is() -> None:
    producer = _Producer()
    audit = AuditLog(_Settings(), producer, clock=lambda: NOW)  # type: ignore[arg-type]
    await audit.record("job", "e", None, JOB)
    assert producer.published == []
    with acting(Actor("ann", "console")):
        await audit.record("job", "e", JOB, JOB)
        await audit.record("job", "e", JOB, None)
    ((topic, key, value),) = producer.published
    found = AuditRecord.from_bytes(value)
    assert (topic, key) == ("cm_audit", b"job/e")
    assert (found.who, found.via, found.action, found.at) == ("ann", "console", "remove", NOW)


async def test_a_change_that_cannot_be_recorded_is_not_made() -> None:
    class Refuses:
        async def record(self, kind: str, model_id: str, before: Any, after: Any) -> None:
            raise RuntimeError("the topic is read-only")

    class Table(ControlTable[ImportJob]):
        def _writer(self) -> Any:
            raise AssertionError("it was written")

    table = Table.__new__(Table)
    table._audit, table._models, table.topic = Refuses(), {"e": JOB}, "t"  # type: ignore[dict-item]
    with pytest.raises(RuntimeError, match="read-only"):
        await table.write("e", JOB)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="read-only"):
        await table.remove("e")

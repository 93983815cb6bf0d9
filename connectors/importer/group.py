"""What has come from all chains of a partition since the last transaction: rows, progress, tasks that are done with."""

import time
from dataclasses import dataclass, field

from connectors.control.jobs import chain_partition, task_key
from connectors.importer.tasks.page import ProgressRecord, TaskResult
from connectors.importer.translated import ImportedRecord
from connectors.kafka.records import OutgoingRecord, RecordFields
from schemas.import_task import ImportTask, key_of
from schemas.topics import TopicNames


@dataclass(slots=True)
class CommitGroup:
    """Published as one transaction, or not at all. Of each chain it holds the progress of its last step only."""

    records: list[ImportedRecord] = field(default_factory=list)
    progress: dict[bytes, ProgressRecord | None] = field(default_factory=dict)
    requests: list[ImportTask] = field(default_factory=list)
    began: float | None = None
    """When the first page of it was read, by the monotonic clock."""

    def add(self, result: TaskResult) -> None:
        """Add what a step has led to.

        Progress is written as bytes only when the group is published: most steps are followed by another one before.
        """
        self.records += result.records
        if self.began is None and result.records:
            self.began = time.monotonic()
        for record in result.progress:
            self._put(key_of(record), record)
        for key in result.deleted:
            self._put(key, None)
        self.requests += result.requests

    def outgoing(self, names: TopicNames, partitions: int) -> list[RecordFields]:
        """Return the Kafka records. `partitions`: how many `cm_import_tasks` has."""
        topics = {role: names[role] for role in ("cm_user", "cm_activity")}
        progress = names["cm_import_progress"]
        # Plain tuples: thousands are made at once, and making a named one takes three times as long.
        out: list[RecordFields] = [(topics[topic], key, value, None, None) for topic, key, value in self.records]
        for key, record in self.progress.items():
            out.append(OutgoingRecord(progress, key, None if record is None else record.to_bytes()))
        for task in self.requests:
            number = chain_partition(task.job_id, task.chain, partitions)
            out.append(OutgoingRecord(names["cm_import_tasks"], task_key(task), task.to_bytes(), partition=number))
        return out

    def _put(self, key: bytes, record: ProgressRecord | None) -> None:
        # At the end: the end of a chain comes after the beginning of those that it led to, or a run would seem over.
        self.progress.pop(key, None)
        self.progress[key] = record

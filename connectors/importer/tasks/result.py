"""What a task leads to (pure): all of it is published in one transaction, or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.control.import_requests import task_key
from connectors.importer.translate import ImportedRecord
from connectors.kafka.records import OutgoingRecord
from schemas.import_task import ChainProgress, Claim, ImportTask, Mark, RunProgress, key_of
from schemas.topics import TopicNames

ProgressRecord = RunProgress | ChainProgress | Mark | Claim


@dataclass(slots=True)
class TaskResult:
    """Rows, progress and tasks. Chains that begin come before the end of the one that led to them: none is missed."""

    records: list[ImportedRecord] = field(default_factory=list)
    progress: list[ProgressRecord] = field(default_factory=list)
    tasks: list[ImportTask] = field(default_factory=list)
    deleted: list[bytes] = field(default_factory=list)
    """Keys of progress records to delete."""

    def begin(self, task: ImportTask, *, full: bool = False) -> None:
        """Begin a chain with its first task. `full`: whether it reads its source from the beginning."""
        self.tasks.append(task)
        self.progress.append(progress_of(task, {"full": full}))

    def next_task(self, chain: str) -> ImportTask | None:
        """Return the next task of a chain, None when the chain does not go on."""
        return next((task for task in self.tasks if task.chain == chain), None)

    def replace_next(self, later: "TaskResult", chain: str) -> None:
        """Add what the chain's next task has led to, in place of that task."""
        self.records += later.records
        self.tasks = [task for task in self.tasks if task.chain != chain] + later.tasks
        others = (
            record for record in self.progress if not (isinstance(record, ChainProgress) and record.chain == chain)
        )
        self.progress = [*others, *later.progress]

    def outgoing(self, names: TopicNames, chain: str | None, partition: int | None) -> list[OutgoingRecord]:
        """Return the Kafka records. The next task of `chain` goes to `partition`, where its last one came from."""
        users, activity = names["cm_user"], names["cm_activity"]
        progress, tasks = names["cm_import_progress"], names["cm_import_tasks"]
        out = [
            OutgoingRecord(users if record.topic == "cm_user" else activity, record.key, record.value)
            for record in self.records
        ]
        out += [OutgoingRecord(progress, key_of(record), record.to_bytes()) for record in self.progress]
        out += [OutgoingRecord(progress, key, None) for key in self.deleted]
        for task in self.tasks:
            where = partition if task.chain == chain else None
            out.append(OutgoingRecord(tasks, task_key(task), task.to_bytes(), None, where))
        return out


def progress_of(task: ImportTask, change: Mapping[str, Any]) -> ChainProgress:
    """Return the progress of the chain that a task belongs to; `change` overrides what the task holds."""
    values: dict[str, Any] = {
        "job_id": task.job_id,
        "run": task.run,
        "chain": task.chain,
        "step": task.step,
        "label": task.label,
        "group": task.group,
        "tally": task.tally,
        "started_at": task.started_at,
        "updated_at": task.started_at,
    }
    return ChainProgress(**{**values, **change})

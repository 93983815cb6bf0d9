"""What a step leads to: all of it is published in one transaction, or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.importer.translate import Record
from connectors.kafka.records import OutgoingRecord
from schemas.import_task import ChainProgress, Claim, ImportTask, Mark, RunProgress, key_of
from schemas.topics import TopicNames

Progress = RunProgress | ChainProgress | Mark | Claim


@dataclass(slots=True)
class Outcome:
    """Rows, progress and tasks. Chains that begin stand before the one that led to them ends, so none is overlooked."""

    records: list[Record] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    tasks: list[ImportTask] = field(default_factory=list)
    forgotten: list[bytes] = field(default_factory=list)
    """Keys of progress records that are deleted."""

    def begin(self, task: ImportTask, *, full: bool = False) -> None:
        """Begin a chain with its first step."""
        self.tasks.append(task)
        self.progress.append(progress_of(task, {"full": full}))

    def following(self, chain: str) -> ImportTask | None:
        """Return the next step of a chain."""
        return next((task for task in self.tasks if task.chain == chain), None)

    def then(self, later: "Outcome", chain: str) -> None:
        """Add what the chain's next step has led to, in place of that step."""
        self.records += later.records
        self.tasks = [task for task in self.tasks if task.chain != chain] + later.tasks
        stood = (one for one in self.progress if not (isinstance(one, ChainProgress) and one.chain == chain))
        self.progress = [*stood, *later.progress]

    def outgoing(self, names: TopicNames, chain: str | None, partition: int | None) -> list[OutgoingRecord]:
        """Return the Kafka records. The next step of `chain` goes to `partition`, where its last one came from."""
        users, activity = names["cm_user"], names["cm_activity"]
        progress, tasks = names["cm_import_progress"], names["cm_import_tasks"]
        out = [
            OutgoingRecord(users if record.topic == "cm_user" else activity, record.key, record.value)
            for record in self.records
        ]
        out += [OutgoingRecord(progress, key_of(record), record.to_bytes()) for record in self.progress]
        out += [OutgoingRecord(progress, key, None) for key in self.forgotten]
        for task in self.tasks:
            where = partition if task.chain == chain else None
            out.append(OutgoingRecord(tasks, task_key(task), task.to_bytes(), None, where))
        return out


def task_key(task: ImportTask) -> bytes:
    """Return the key of a task: its chain, so that a chain has one partition."""
    return f"{task.job_id}:{task.chain}".encode()


def progress_of(task: ImportTask, change: Mapping[str, Any]) -> ChainProgress:
    """Return the progress of the chain that a task belongs to; `change` goes before what the task says."""
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

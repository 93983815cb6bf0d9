"""What is declared of a topic: its shape, what is in it, who writes and who reads it."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel

Cleanup = Literal["delete", "compact"]
DAY_MS = 86_400_000

Process = Literal["export-worker", "profile-worker", "connector", "webhooks", "console", "cli"]
Writer = Process | Literal["upstream systems"]
CALLED: Mapping[str, str] = {
    "export-worker": "export worker",
    "profile-worker": "profile aggregator",
    "connector": "import connector",
    "webhooks": "webhook receiver",
    "cli": "CLI",
}
OPERATORS: tuple[Process, ...] = ("console", "cli")
"""People work through these: they show every topic, and send dead letters again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic: `role` is its default name, and how code refers to it."""

    role: str
    key: str
    content: str | None
    """Module and name of the model of its values; None where they are described elsewhere."""
    writers: tuple[Writer, ...]
    """Who may write it. With `readers` it is what rules of access are generated from, and brokers hold processes to."""
    readers: tuple[Process, ...]
    """Who reads it for its work. People's processes (`OPERATORS`) show every topic, and are named for none."""
    doc: str
    cleanup: Cleanup = "delete"
    retention_ms: int = 7 * DAY_MS
    partitions: int | None = None
    """None: a data topic, with as many partitions as every other one. A number: exactly as many."""
    public: bool = True
    """Part of the contract with others; internal topics may change with a release."""
    rejecters: tuple[Process, ...] = ()
    """Who puts into its dead letters what never becomes a record of it; its readers do so anyway."""
    dead_letters: bool = False
    """Has a `.dlq` topic beside it, for records that its reader cannot use."""
    without_dead_letters: str = ""
    """Why it has none: what becomes of a record that its reader cannot use."""

    @property
    def is_table(self) -> bool:
        """Whether it is the changelog of its writer's table: the newest row of each key, spread as the data is."""
        return self.cleanup == "compact" and self.partitions is None

    @property
    def writer(self) -> str:
        """The writers as people call them."""
        return ", ".join(CALLED.get(writer, writer) for writer in self.writers)

    @property
    def model(self) -> "type[BaseModel] | None":
        """The model of its values. It is imported when it is asked for: most who need a topic need only its name."""
        if self.content is None:
            return None
        module, _, name = self.content.partition(".")
        model: type[BaseModel] = getattr(importlib.import_module(f"schemas.{module}"), name)
        return model

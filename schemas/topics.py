"""TOPICS: the one table of topics. Everything that creates, checks, reads, writes or documents a topic reads it here.

Data topics share one number of partitions, because a person's whole story must live on one worker (co-partitioning).
Names are settings: `TopicNames` resolves a topic's role to the name in use.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from schemas import dead_letter

if TYPE_CHECKING:
    from pydantic import BaseModel

Cleanup = Literal["delete", "compact"]

FOREVER = -1
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic: `role` is its default name, and how code refers to it."""

    role: str
    key: str
    content: str | None
    """Module and name of the model of its values; None where they are described elsewhere."""
    writer: str
    doc: str
    cleanup: Cleanup = "delete"
    retention_ms: int = 7 * DAY_MS
    partitions: int | None = None
    """None: a data topic, with as many partitions as every other one. A number: exactly as many."""
    public: bool = True
    """Part of the contract with others; internal topics may change with a release."""
    dead_letters: bool = False
    """Has a `.dlq` topic beside it, for records that its reader cannot use."""
    without_dead_letters: str = ""
    """Why it has none: what becomes of a record that its reader cannot use."""

    @property
    def model(self) -> "type[BaseModel] | None":
        """The model of its values. It is imported when it is asked for: most who need a topic need only its name."""
        if self.content is None:
            return None
        module, _, name = self.content.partition(".")
        model: type[BaseModel] = getattr(importlib.import_module(f"schemas.{module}"), name)
        return model


def _table() -> Iterator[Topic]:
    declared = (
        Topic(
            role="audience-membership",
            key="email",
            content="audience_membership.AudienceMembership",
            writer="upstream systems",
            doc="Who entered or left which audience.",
            dead_letters=True,
        ),
        Topic(
            role="audience-delivery",
            key="email",
            content="audience_delivery.DeliveryReceipt",
            writer="export worker",
            doc="One receipt for each change and job.",
            without_dead_letters="a receipt that cannot be read is logged and ignored: no state is made from it",
        ),
        Topic(
            role="cm_user",
            key="email",
            content="cm_user.CmUser",
            writer="import connector",
            doc="One record for each subscriber and list, in each state.",
            retention_ms=FOREVER,
            dead_letters=True,
        ),
        Topic(
            role="cm_activity",
            key="email",
            content="cm_activity.CmActivity",
            writer="import connector, webhook receiver, export worker",
            doc="Sends, opens, clicks, unsubscribes, bounces, complaints; subscribes, updates and deactivations.",
            retention_ms=FOREVER,
            dead_letters=True,
        ),
        Topic(
            role="cm_profile",
            key="email",
            content="cm_profile.CmProfile",
            writer="profile aggregator",
            doc="The mapped fields of each person; it is the aggregator's changelog, hidden state in a header.",
            cleanup="compact",
            retention_ms=FOREVER,
            without_dead_letters="a row that cannot be read is named, and costs its person's events only",
        ),
        Topic(
            role="cm_profile_changes",
            key="email",
            content="cm_profile.ProfileChange",
            writer="profile aggregator, with PROFILE_CHANGES",
            doc="Each changed field of a profile, old and new value, and the event that changed it.",
            without_dead_letters="nothing of ours reads it",
        ),
        Topic(
            role="cm_profile_moves",
            key="email",
            content=None,
            writer="profile aggregator, CLI",
            doc="Changes of address and erasures, handed to the owners of the profiles concerned.",
            retention_ms=30 * DAY_MS,
            public=False,
            dead_letters=True,
        ),
        Topic(
            role="cm_erasures",
            key="request id",
            content="cm_profile.ErasureReceipt",
            writer="profile aggregator",
            doc="A receipt for each erasure of a person; it names nobody.",
            retention_ms=FOREVER,
            without_dead_letters="a receipt that cannot be read is logged, and ignored",
        ),
        Topic(
            role="cm_jobs",
            key="job id, or `attention:{by}:{job id}`",
            content="control.JobsRecord",
            writer="CLI; attention: workers, connectors",
            doc="Export and import jobs, and what a person has to do for them.",
            cleanup="compact",
            retention_ms=FOREVER,
            partitions=1,
            without_dead_letters="a record that cannot be read is logged, and the former one of its key stays in force",
        ),
        Topic(
            role="cm_authorizations",
            key="authorization id",
            content="control.Authorization",
            writer="CLI, token refresh",
            doc="Access to Campaign Monitor accounts, secrets sealed.",
            cleanup="compact",
            retention_ms=FOREVER,
            partitions=1,
            without_dead_letters="a record that cannot be read is logged, and the former one of its key stays in force",
        ),
        Topic(
            role="cm_import_tasks",
            key="chain",
            content="import_task.ImportTask",
            writer="CLI, webhook receiver",
            doc="What an import is asked for: a run at once, the events that a webhook missed.",
            retention_ms=30 * DAY_MS,
            public=False,
            without_dead_letters="a request that cannot be read is logged, and dropped: it can be asked for again",
        ),
        Topic(
            role="cm_import_progress",
            key="run, chain, mark or claim",
            content="import_task.ImportProgress",
            writer="import connector",
            doc="How far each import is, when it runs next, and what is known already.",
            cleanup="compact",
            retention_ms=FOREVER,
            partitions=1,
            public=False,
            without_dead_letters="a record that cannot be read is logged, and ignored",
        ),
        Topic(
            role="cm_webhooks",
            key="list id",
            content="control.WebhookRegistration",
            writer="webhook receiver",
            doc="The webhook that each list has at Campaign Monitor.",
            cleanup="compact",
            retention_ms=FOREVER,
            partitions=1,
            public=False,
            without_dead_letters="a record that cannot be read is logged, and the former one of its key stays in force",
        ),
        Topic(
            role="cm_console_users",
            key="user name, or token:<id>",
            content="control.ConsoleRecord",
            writer="console, cm-streams token",
            doc="Who may log in to the console, and which programs may use its API; passwords and tokens hashed.",
            cleanup="compact",
            retention_ms=FOREVER,
            partitions=1,
            public=False,
            without_dead_letters="a record that cannot be read is logged, and the former one of its key stays in force",
        ),
        Topic(
            role="cm_audit",
            key="kind/id",
            content="control.AuditRecord",
            writer="CLI, console",
            doc="Every change that a person made or asked for: who, when, what, before and after without secrets.",
            retention_ms=730 * DAY_MS,
            partitions=1,
            public=False,
            without_dead_letters="a record that cannot be read is logged, and not shown",
        ),
        Topic(
            role="cm_memberships-changelog",
            key="email",
            content=None,
            writer="export worker",
            doc="The Memberships table: what each person's subscriber should be, and what was delivered.",
            cleanup="compact",
            retention_ms=FOREVER,
            public=False,
            without_dead_letters="a row that cannot be read is named, and costs its person's events only",
        ),
        Topic(
            role="cm_export-state",
            key="audience/<id>, list/<id>, guard/<list> or waiting/<worker>",
            content=None,
            writer="export worker",
            doc="What all export workers know together: audiences' names, lists' fields, removals counted, who waits.",
            cleanup="compact",
            retention_ms=FOREVER,
            partitions=1,
            public=False,
            without_dead_letters="a record that cannot be read is logged, and ignored",
        ),
        Topic(
            role="cm_membership-commands",
            key="email",
            content=None,
            writer="export worker, CLI",
            doc="From row to row: a person's changed address and what is handed over, and requests to send again.",
            public=False,
            dead_letters=True,
        ),
    )
    for topic in declared:
        yield topic
        if topic.dead_letters:
            yield Topic(
                role=topic.role + dead_letter.SUFFIX,
                key="as the input",
                content=None,
                writer="the reader of " + topic.role,
                doc=f"Records of {topic.role} that could not be used, bytes untouched, with reason and position.",
                retention_ms=30 * DAY_MS,
            )


TOPICS: Mapping[str, Topic] = {topic.role: topic for topic in _table()}


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The names in use: a prefix for all, and overrides by role."""

    prefix: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.overrides) - set(TOPICS))
        if unknown:
            raise ValueError(f"no topic is called {', '.join(unknown)}; there are {', '.join(sorted(TOPICS))}")

    def __getitem__(self, role: str) -> str:
        """Return the name of the topic with this role. Raises KeyError for an unknown role."""
        return self.overrides.get(role) or self.prefix + TOPICS[role].role

    def dead_letters(self, topic_name: str) -> str:
        """Return the dead-letter topic of an input topic, by the input's actual name."""
        return topic_name + dead_letter.SUFFIX

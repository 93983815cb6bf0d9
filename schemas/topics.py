"""TOPICS: the one table of topics. Everything that creates, checks, reads, writes or documents a topic reads it here.

Data topics share one number of partitions, because a person's whole story must live on one worker (co-partitioning).
Names are settings: `TopicNames` resolves a topic's role to the name in use.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from schemas import dead_letter
from schemas.topic import DAY_MS, Topic

FOREVER = -1


def _table() -> Iterator[Topic]:
    declared = (
        Topic(
            role="audience-membership",
            key="email",
            content="audience_membership.AudienceMembership",
            writers=("upstream systems", "console", "cli"),
            readers=("export-worker",),
            doc="Who entered or left which audience.",
            dead_letters=True,
        ),
        Topic(
            role="audience-delivery",
            key="email",
            content="audience_delivery.DeliveryReceipt",
            writers=("export-worker",),
            readers=("export-worker", "webhooks"),
            doc="One receipt for each change and job.",
            without_dead_letters="a receipt that cannot be read is logged and ignored: no state is made from it",
        ),
        Topic(
            role="cm_user",
            key="email",
            content="cm_user.CmUser",
            writers=("connector",),
            readers=("profile-worker",),
            doc="One record for each subscriber and list, in each state.",
            retention_ms=FOREVER,
            dead_letters=True,
        ),
        Topic(
            role="cm_activity",
            key="email",
            content="cm_activity.CmActivity",
            writers=("connector", "webhooks", "export-worker"),
            readers=("profile-worker", "export-worker"),
            rejecters=("webhooks",),
            doc="Sends, opens, clicks, unsubscribes, bounces, complaints; subscribes, updates and deactivations.",
            retention_ms=FOREVER,
            dead_letters=True,
        ),
        Topic(
            role="cm_profile",
            key="email",
            content="cm_profile.CmProfile",
            writers=("profile-worker",),
            readers=("profile-worker",),
            doc="The mapped fields of each person; it is the aggregator's changelog, hidden state in a header.",
            cleanup="compact",
            retention_ms=FOREVER,
            without_dead_letters="a row that cannot be read is named, and costs its person's events only",
        ),
        Topic(
            role="cm_profile_changes",
            key="email",
            content="cm_profile.ProfileChange",
            writers=("profile-worker",),
            readers=(),
            doc="With PROFILE_CHANGES: each changed field of a profile, old and new value, and the event behind it.",
            without_dead_letters="nothing of ours reads it",
        ),
        Topic(
            role="cm_profile_moves",
            key="email",
            content=None,
            writers=("profile-worker", "cli", "console"),
            readers=("profile-worker",),
            doc="Changes of address and erasures, handed to the owners of the profiles concerned.",
            retention_ms=30 * DAY_MS,
            public=False,
            dead_letters=True,
        ),
        Topic(
            role="cm_erasures",
            key="request id",
            content="cm_profile.ErasureReceipt",
            writers=("profile-worker",),
            readers=("profile-worker",),
            doc="A receipt for each erasure of a person; it names nobody.",
            retention_ms=FOREVER,
            without_dead_letters="a receipt that cannot be read is logged, and ignored",
        ),
        Topic(
            role="cm_jobs",
            key="job id, or `attention:{by}:{job id}`",
            content="control.JobsRecord",
            writers=("cli", "console", "export-worker", "connector", "webhooks"),
            readers=("export-worker", "connector", "webhooks"),
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
            writers=("cli", "console", "export-worker", "connector", "webhooks"),
            readers=("export-worker", "connector", "webhooks"),
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
            writers=("cli", "console", "webhooks", "connector"),
            readers=("connector",),
            doc="What an import is asked for: a run at once, the events that a webhook missed.",
            retention_ms=30 * DAY_MS,
            public=False,
            without_dead_letters="a request that cannot be read is logged, and dropped: it can be asked for again",
        ),
        Topic(
            role="cm_import_progress",
            key="run, chain, mark or claim",
            content="import_task.ImportProgress",
            writers=("connector",),
            readers=("connector",),
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
            writers=("webhooks",),
            readers=("webhooks",),
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
            writers=("console", "cli"),
            readers=(),
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
            writers=("cli", "console"),
            readers=(),
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
            writers=("export-worker",),
            readers=("export-worker",),
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
            writers=("export-worker",),
            readers=("export-worker",),
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
            writers=("export-worker", "profile-worker", "cli", "console"),
            readers=("export-worker",),
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
                writers=(*topic.readers, *topic.rejecters),
                readers=(),
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

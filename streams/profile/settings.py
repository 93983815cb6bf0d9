"""Settings of the profile aggregator, from `PROFILE_...` environment variables."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from connectors.kafka.settings import KafkaSettings
from schemas.topics import TOPICS
from streams.mapping.catalog import DEFAULT_DIRECTORY, Catalog, load_catalog, mapping_files
from streams.mapping.fields.layout import DEFAULT_CAPACITY
from streams.profile.folding.row import DEFAULT_CAP


class ProfileSettings(BaseSettings):
    """How profiles are made and shown."""

    model_config = SettingsConfigDict(env_prefix="PROFILE_", env_file=".env", extra="ignore", frozen=True)

    app_id: str = Field(
        default="cm-profiles", min_length=1, description="Consumer group of the aggregators; all of them share it."
    )
    instance_id: str | None = Field(
        default=None, description="Name of this worker for static group membership: a quick restart moves no partition."
    )
    mapping_dir: Path | None = Field(
        default=None, description="Directory of .lql files in place of the built-in mappings."
    )
    added_mapping_dir: Path | None = Field(
        default=None, description="Directory of further .lql files: each subscribes the topic it names."
    )
    capacity: int = Field(
        default=DEFAULT_CAPACITY,
        ge=1,
        description="Entries of a set or map in a profile; the oldest are evicted first.",
    )
    event_ids: int = Field(
        default=DEFAULT_CAP,
        ge=100,
        description="Event ids that a profile remembers, 12 bytes each, for 8 days or more.",
    )
    future_tolerance_hours: float = Field(
        default=24,
        ge=0,
        description="An event dated later than this after its arrival counts as having happened when it arrived.",
    )
    changes: bool = Field(default=False, description="Publish each changed field on the topic cm_profile_changes.")
    max_batch_records: int = Field(
        default=20_000, ge=1, description="Records folded at once. More cost less each, and take more memory."
    )
    cache_rows: int = Field(default=30_000, ge=0, description="Profiles kept in memory, all partitions together.")
    cache_megabytes: int = Field(
        default=40, ge=0, description="The same profiles by their encoded size; in memory they take several times that."
    )
    http_host: str = Field(default="127.0.0.1", description="Address on which profiles are served.")
    http_port: int = Field(default=0, ge=0, le=65535, description="Port on which profiles are served; 0: a free one.")
    public_url: str = Field(
        default="",
        description="URL under which other workers reach this one; without it, http://PROFILE_HTTP_HOST:PROFILE_HTTP_PORT.",
    )
    api_token: SecretStr | None = Field(
        default=None, description="Token that readers of profiles must show; without it no profile is served."
    )

    def consumer_group(self, topic_prefix: str) -> str:
        """Return the group as brokers know it: installations that share brokers differ by their prefix."""
        return topic_prefix + self.app_id

    @model_validator(mode="after")
    def _same_url(self) -> Self:
        if self.instance_id and not self.public_url and not self.http_port:
            raise ValueError(
                "PROFILE_INSTANCE_ID needs PROFILE_HTTP_PORT or PROFILE_PUBLIC_URL: a worker that comes back under the "
                "same name is given back its place in the group, and others go on asking it where it was"
            )
        return self


def catalog_of(profile: ProfileSettings) -> Catalog:
    """Return the mappings that the settings name. Raises MappingError, FileNotFoundError."""
    return load_catalog(*_directories(profile), capacity=profile.capacity)


def mapping_texts(profile: ProfileSettings) -> list[tuple[str, str]]:
    """Return name and text of each mapping file that the settings name. Raises FileNotFoundError."""
    return mapping_files(_directories(profile))


def _directories(profile: ProfileSettings) -> list[Path]:
    own = profile.mapping_dir or DEFAULT_DIRECTORY
    return [own] if profile.added_mapping_dir is None else [own, profile.added_mapping_dir]


def source_topics(kafka: KafkaSettings, catalog: Catalog) -> dict[str, str]:
    """Return the topic of each mapped stream."""
    names = kafka.names()
    return {name: names[name] if name in TOPICS else name for name in catalog.streams}

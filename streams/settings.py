"""Settings that all processes share. The edges have their own: Kafka, Campaign Monitor, export, import, webhooks."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from connectors import logs


class StreamsSettings(BaseSettings):
    """Where a process keeps its state and how it reports. Environment prefix `STREAMS_`.

    A value of the environment goes before one of the file `.env`; unknown names are ignored, as the file has others'.
    """

    model_config = SettingsConfigDict(env_prefix="STREAMS_", env_file=".env", extra="ignore")

    data_dir: Path = Field(
        default=Path(".data"),
        description="Local state: table stores, the embedded broker's log, log files. One per host.",
    )
    log_format: Literal["json", "console"] = Field(default="console", description="Form of log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    health_host: str = Field(default="127.0.0.1", description="Address that /live, /ready and /metrics listen on.")
    health_port: int = Field(
        default=0, ge=0, le=65535, description="Port of /live, /ready and /metrics; 0 = a free one."
    )


def start_process(process: str, *, log_level: str | None = None) -> StreamsSettings:
    """Return the settings of this process, once its log lines have their form and carry the process's name.

    `log_level` replaces the configured level: commands that answer on standard output log warnings only.

    Raises:
        ValidationError: a setting is wrong; the console script turns it into a sentence that names it.
    """
    settings = StreamsSettings()
    logs.configure(settings.log_format, log_level or settings.log_level, process=process)
    return settings

"""`cm-streams connector` and `cm-streams webhooks`: the edges as processes."""

import asyncio

from connectors import logs
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.control.crypto import ControlSettings
from connectors.kafka.settings import KafkaSettings
from streams.runtime.startup import refused_with_a_sentence, wait_for_topics
from streams.settings import StreamsSettings


def connector() -> None:
    """Import subscribers and activity: runs the tasks of all import jobs, and schedules their next runs."""
    from connectors.importer.run import run
    from connectors.importer.settings import ImporterSettings

    settings = StreamsSettings()
    logs.configure(settings.log_format, settings.log_level, process="connector")
    kafka = KafkaSettings()
    with refused_with_a_sentence():
        wait_for_topics(kafka)
        asyncio.run(
            run(
                kafka,
                CampaignMonitorSettings(),
                ControlSettings(),
                ImporterSettings(),
                health_host=settings.health_host,
                health_port=settings.health_port,
            )
        )


def webhooks() -> None:
    """Receive Campaign Monitor's webhooks, and keep each list's webhook registered and active."""
    from connectors.webhook.run import run
    from connectors.webhook.settings import WebhookSettings

    settings = StreamsSettings()
    logs.configure(settings.log_format, settings.log_level, process="webhooks")
    kafka = KafkaSettings()
    with refused_with_a_sentence():
        wait_for_topics(kafka)
        asyncio.run(
            run(
                kafka,
                CampaignMonitorSettings(),
                ControlSettings(),
                WebhookSettings(),
                health_host=settings.health_host,
                health_port=settings.health_port,
            )
        )

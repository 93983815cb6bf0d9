"""A webhook receiver as a process of its own, all settings from the environment: something that can be killed."""

import asyncio

from connectors import logs
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.control.crypto import ControlSettings
from connectors.kafka.settings import KafkaSettings
from connectors.webhook.run import run
from connectors.webhook.settings import WebhookSettings

if __name__ == "__main__":
    logs.configure("console", "info", process="webhooks")
    asyncio.run(run(KafkaSettings(), CampaignMonitorSettings(), ControlSettings(), WebhookSettings()))

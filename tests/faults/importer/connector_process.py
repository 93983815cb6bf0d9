"""A connector as a process of its own, all settings from the environment: something that can be killed."""

import asyncio

import uvloop

from connectors import logs
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.control.crypto import ControlSettings
from connectors.importer.run import run
from connectors.importer.settings import ImporterSettings
from connectors.kafka.settings import KafkaSettings

if __name__ == "__main__":
    logs.configure("json", "info", process="connector")
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(run(KafkaSettings(), CampaignMonitorSettings(), ControlSettings(), ImporterSettings()))

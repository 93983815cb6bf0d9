"""Which processes run on this machine, and the settings by which each finds the others. Pure but for keys."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.control.crypto import new_key
from streams.demo.supervisor import Service

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of what listens, all on loopback."""

    simulator: int
    webhooks: int
    profiles: int
    health: Mapping[str, int]
    """By the name of the process."""


PROCESSES = ("export-worker", "profile-worker", "connector", "webhooks")


@dataclass(frozen=True, slots=True)
class Machine:
    """The addresses and secrets of one start."""

    bootstrap_servers: str
    ports: Ports
    data_dir: Path
    base_url: str
    oauth_url: str
    simulated: bool
    """Whether Campaign Monitor is the local one."""
    api_key: str
    encryption_key: str
    webhook_secret: str
    profile_token: str

    @property
    def simulator_admin_url(self) -> str:
        """Where the local Campaign Monitor is asked to act for people."""
        return f"http://{LOOPBACK}:{self.ports.simulator}/simulator"

    def environment(self) -> dict[str, str]:
        """Return the settings that all processes share."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "CM_BASE_URL": self.base_url,
            "CM_OAUTH_URL": self.oauth_url,
            "CONTROL_ENCRYPTION_KEY": self.encryption_key,
            "WEBHOOK_SECRET": self.webhook_secret,
            "WEBHOOK_PORT": str(self.ports.webhooks),
            "WEBHOOK_PUBLIC_URL": f"http://{LOOPBACK}:{self.ports.webhooks}",
            "PROFILE_HTTP_PORT": str(self.ports.profiles),
            "PROFILE_API_TOKEN": self.profile_token,
        }

    def simulator(self) -> Service:
        """Return the local Campaign Monitor with its demo account."""
        port = str(self.ports.simulator)
        return Service(
            "simulator",
            ("simulator", "--port", port, "--api-key", self.api_key, "--subscribers", "400", "--activity", "2000"),
            ready_url=f"http://{LOOPBACK}:{port}/simulator/health",
        )

    def service(self, name: str) -> Service:
        """Return one of `PROCESSES`."""
        verbs = {"export-worker": ("worker", "export"), "profile-worker": ("worker", "profiles")}
        port = self.ports.health[name]
        own = {
            "STREAMS_DATA_DIR": str(self.data_dir / name),
            "STREAMS_HEALTH_PORT": str(port),
        }
        return Service(
            name,
            verbs.get(name, (name,)),
            environment={**self.environment(), **own},
            ready_url=f"http://{LOOPBACK}:{port}/ready",
        )


def machine(
    environment: Mapping[str, str], *, bootstrap_servers: str, data_dir: Path, free_ports: list[int]
) -> Machine:
    """Return this start's machine: what the environment sets stays, everything else is chosen.

    `free_ports`: as many as `PORTS_NEEDED`.
    """
    free_simulator, webhooks, profiles, *health = free_ports
    simulator = int(environment.get("SIMULATOR_PORT") or free_simulator)
    simulated = not environment.get("CM_BASE_URL")
    return Machine(
        bootstrap_servers=bootstrap_servers,
        ports=Ports(
            simulator=simulator,
            webhooks=int(environment.get("WEBHOOK_PORT") or webhooks),
            profiles=int(environment.get("PROFILE_HTTP_PORT") or profiles),
            health=dict(zip(PROCESSES, health, strict=True)),
        ),
        data_dir=data_dir,
        simulated=simulated,
        base_url=environment.get("CM_BASE_URL") or f"http://{LOOPBACK}:{simulator}/api/v3.3",
        oauth_url=environment.get("CM_OAUTH_URL") or f"http://{LOOPBACK}:{simulator}/oauth",
        api_key=environment.get("CM_API_KEY") or secrets.token_hex(16),
        encryption_key=environment.get("CONTROL_ENCRYPTION_KEY") or new_key(),
        webhook_secret=environment.get("WEBHOOK_SECRET") or secrets.token_urlsafe(32),
        profile_token=environment.get("PROFILE_API_TOKEN") or secrets.token_urlsafe(24),
    )


PORTS_NEEDED = 3 + len(PROCESSES)

"""The processes of one machine, and the settings by which each finds the others."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.control.crypto import new_key
from connectors.devkit.ports import is_free
from connectors.devkit.simulator.settings import SimulatorSettings
from streams.demo.supervisor import Service


class PortError(ValueError):
    """A setting names no port; the message names the setting."""


LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of what listens, all on loopback."""

    simulator: int
    webhooks: int
    profiles: int
    console: int
    health: Mapping[str, int]
    """By the name of the process."""


PROCESSES = ("export-worker", "profile-worker", "connector", "webhooks", "console")


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
    setup_token: str
    """The last part of the console's set-up link, while it has no user."""

    @property
    def console_url(self) -> str:
        """Where the pages are."""
        return f"http://{LOOPBACK}:{self.ports.console}/"

    @property
    def simulator_admin_url(self) -> str:
        """Where the local Campaign Monitor is asked to act for people."""
        return f"http://{LOOPBACK}:{self.ports.simulator}/simulator"

    def environment(self) -> dict[str, str]:
        """Return the settings that all processes share."""
        simulator = SimulatorSettings()
        application = {
            "CM_OAUTH_CLIENT_ID": simulator.oauth_client_id,
            "CM_OAUTH_CLIENT_SECRET": simulator.oauth_client_secret,
        }
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
            "CONSOLE_PORT": str(self.ports.console),
            "CONSOLE_SETUP_TOKEN": self.setup_token,
            **(application if self.simulated else {}),
        }

    def shell_settings(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return all that was chosen, for a shell and for the next start, without what the environment sets itself."""
        settings = self.environment()
        if self.simulated:
            settings["SIMULATOR_PORT"] = str(self.ports.simulator)
            if not environment.get("CM_API_KEY"):
                settings["CAMPAIGN_MONITOR_API_KEY"] = self.api_key
        return {name: value for name, value in settings.items() if not environment.get(name)}

    def simulator(self) -> Service:
        """Return the local Campaign Monitor with its demo account."""
        port = str(self.ports.simulator)
        return Service(
            "simulator",
            (
                *("simulator", "--port", port, "--subscribers", "400", "--activity", "2000"),
                *("--state-file", str(self.data_dir / "simulator.state")),
            ),
            environment={"CM_API_KEY": self.api_key},
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
    environment: Mapping[str, str],
    *,
    bootstrap_servers: str,
    data_dir: Path,
    free_ports: list[int],
    kept: Mapping[str, str] | None = None,
) -> Machine:
    """Return this start's machine: what the environment sets stays, then what an earlier start chose, the rest is new.

    `free_ports`: as many as `PORTS_NEEDED`. `kept`: the earlier start's settings; its data is sealed with its key, and
    its webhooks name its port, which is taken again unless somebody else has it now. Raises PortError.
    """
    free_simulator, webhooks, profiles, console, *health = free_ports
    kept = kept or {}
    simulator = _port(environment, kept, "SIMULATOR_PORT", free_simulator)

    def chosen(name: str, new: str, kept_name: str = "") -> str:
        return environment.get(name) or kept.get(kept_name or name) or new

    simulated = not environment.get("CM_BASE_URL")
    return Machine(
        bootstrap_servers=bootstrap_servers,
        ports=Ports(
            simulator=simulator,
            webhooks=_port(environment, kept, "WEBHOOK_PORT", webhooks),
            profiles=_port(environment, kept, "PROFILE_HTTP_PORT", profiles),
            console=_port(environment, kept, "CONSOLE_PORT", console),
            health=dict(zip(PROCESSES, health, strict=True)),
        ),
        data_dir=data_dir,
        simulated=simulated,
        base_url=environment.get("CM_BASE_URL") or f"http://{LOOPBACK}:{simulator}/api/v3.3",
        oauth_url=environment.get("CM_OAUTH_URL") or f"http://{LOOPBACK}:{simulator}/oauth",
        api_key=chosen("CM_API_KEY", secrets.token_hex(16), "CAMPAIGN_MONITOR_API_KEY"),
        encryption_key=chosen("CONTROL_ENCRYPTION_KEY", new_key()),
        webhook_secret=chosen("WEBHOOK_SECRET", secrets.token_urlsafe(32)),
        profile_token=chosen("PROFILE_API_TOKEN", secrets.token_urlsafe(24)),
        setup_token=chosen("CONSOLE_SETUP_TOKEN", secrets.token_urlsafe(24)),
    )


def _port(environment: Mapping[str, str], kept: Mapping[str, str], name: str, free: int) -> int:
    text = environment.get(name) or str(kept_port(kept.get(name, "")) or free)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65_536):
        raise PortError(f"{name} is no port: it is a number from 1 to 65535, or is left out for a free one")
    return int(text)


def kept_port(text: str) -> int | None:
    """Return the port that a kept setting ends with (`9092`, `127.0.0.1:9092`) where it can be listened on now."""
    number = text.rpartition(":")[2]
    if not (number.isascii() and number.isdecimal() and 0 < int(number) < 65_536):
        return None
    return int(number) if is_free(int(number), lingering=True) else None


PORTS_NEEDED = 4 + len(PROCESSES)

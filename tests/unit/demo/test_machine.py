"""The machine of one start: what the environment sets stays, and what a shell gets of the rest."""

import socket
from pathlib import Path

import pytest

from connectors.devkit.ports import free_ports
from streams.demo.machine import PORTS_NEEDED, PROCESSES, PortError, kept_port, machine


def made(kept=None, **environment):
    ports = list(range(20_001, 20_001 + PORTS_NEEDED))
    return machine(environment, bootstrap_servers="127.0.0.1:9", data_dir=Path("x"), free_ports=ports, kept=kept)


@pytest.mark.parametrize("text", ["http", "-1", "0", "65536", "1.5", "\u0663"])
@pytest.mark.parametrize("name", ["SIMULATOR_PORT", "WEBHOOK_PORT", "PROFILE_HTTP_PORT", "CONSOLE_PORT"])
def test_a_port_that_is_none_is_named(name, text):
    with pytest.raises(PortError, match=name):
        made(**{name: text})


CHOSEN = {
    *("KAFKA_BOOTSTRAP_SERVERS", "CM_BASE_URL", "CM_OAUTH_URL", "SIMULATOR_PORT"),
    *("PROFILE_HTTP_PORT", "WEBHOOK_PORT", "WEBHOOK_PUBLIC_URL", "CONSOLE_PORT", "CM_OAUTH_CLIENT_ID"),
}


def test_a_shell_gets_what_was_chosen_and_nothing_that_somebody_has_set():
    secrets = ("CONTROL_ENCRYPTION_KEY", "CM_API_KEY", "PROFILE_API_TOKEN", "WEBHOOK_SECRET", "CONSOLE_SETUP_TOKEN")
    secrets += ("CM_OAUTH_CLIENT_SECRET",)
    mine = {name: f"my-{name}" for name in secrets}
    settings = made(**mine).shell_settings(mine)
    assert settings.keys() == CHOSEN
    assert not set(mine.values()) & set(settings.values())
    chosen = made().shell_settings({})
    chosen_secrets = {"CONTROL_ENCRYPTION_KEY", "PROFILE_API_TOKEN", "WEBHOOK_SECRET", "CAMPAIGN_MONITOR_API_KEY"}
    chosen_secrets |= {"CONSOLE_SETUP_TOKEN", "CM_OAUTH_CLIENT_SECRET"}
    assert chosen.keys() == CHOSEN | chosen_secrets


def test_the_next_start_chooses_the_same():
    """Its authorizations are sealed with that key, and its webhooks are registered with that path and port."""
    first = made().shell_settings({})
    assert made(first).shell_settings({}) == first
    mine = {"CONTROL_ENCRYPTION_KEY": "mine"}
    assert made(first, **mine).encryption_key == "mine"


def test_a_port_that_somebody_else_has_now_is_not_taken_again():
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        assert kept_port(f"127.0.0.1:{port}") is None
        assert made({"WEBHOOK_PORT": str(port)}).ports.webhooks != port
    assert kept_port(f"127.0.0.1:{port}") == port
    assert kept_port("") is kept_port("x") is kept_port("127.0.0.1:0") is kept_port("70000") is None


def test_a_real_campaign_monitor_s_address_and_key_are_never_in_it():
    real = {"CM_BASE_URL": "https://api.createsend.com/api/v3.3", "CM_OAUTH_URL": "https://api.createsend.com/oauth"}
    settings = made(**real).shell_settings(real)
    ours = {"CM_BASE_URL", "CM_OAUTH_URL", "CAMPAIGN_MONITOR_API_KEY", "CM_OAUTH_CLIENT_ID", "CM_OAUTH_CLIENT_SECRET"}
    assert not ours & settings.keys()


def test_no_secret_is_on_a_command_line():
    secrets = {"CM_API_KEY": "my-api-key", "CONTROL_ENCRYPTION_KEY": "my-key", "WEBHOOK_SECRET": "my-secret"}
    here = made(**secrets, PROFILE_API_TOKEN="my-token")
    words = [word for name in PROCESSES for word in here.service(name).arguments] + list(here.simulator().arguments)
    assert not [word for word in words if "my-" in word]
    assert here.simulator().environment == {"CM_API_KEY": "my-api-key"}

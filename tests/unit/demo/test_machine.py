"""The machine of one start: what the environment sets stays, and what a shell gets of the rest."""

from pathlib import Path

import pytest

from streams.demo.supervisor import PORTS_NEEDED, PROCESSES, PortError, machine


def made(**environment):
    ports = list(range(20_001, 20_001 + PORTS_NEEDED))
    return machine(environment, bootstrap_servers="127.0.0.1:9", data_dir=Path("x"), free_ports=ports)


@pytest.mark.parametrize("text", ["http", "-1", "0", "65536", "1.5", "\u0663"])
@pytest.mark.parametrize("name", ["SIMULATOR_PORT", "WEBHOOK_PORT", "PROFILE_HTTP_PORT"])
def test_a_port_that_is_none_is_named(name, text):
    with pytest.raises(PortError, match=name):
        made(**{name: text})


def test_a_shell_gets_what_was_chosen_and_nothing_that_somebody_has_set():
    mine = {"CONTROL_ENCRYPTION_KEY": "my-key", "CM_API_KEY": "my-api-key", "PROFILE_API_TOKEN": "my-token"}
    settings = made(**mine).shell_settings(mine)
    assert settings.keys() == {"KAFKA_BOOTSTRAP_SERVERS", "CM_BASE_URL", "CM_OAUTH_URL", "PROFILE_HTTP_PORT"}
    assert not set(mine.values()) & set(settings.values())
    chosen = made().shell_settings({})
    assert chosen.keys() == {*settings, "CONTROL_ENCRYPTION_KEY", "PROFILE_API_TOKEN", "CAMPAIGN_MONITOR_API_KEY"}


def test_a_real_campaign_monitor_s_address_and_key_are_never_in_it():
    real = {"CM_BASE_URL": "https://api.createsend.com/api/v3.3", "CM_OAUTH_URL": "https://api.createsend.com/oauth"}
    settings = made(**real).shell_settings(real)
    assert not {"CM_BASE_URL", "CM_OAUTH_URL", "CAMPAIGN_MONITOR_API_KEY"} & settings.keys()


def test_no_secret_is_on_a_command_line():
    secrets = {"CM_API_KEY": "my-api-key", "CONTROL_ENCRYPTION_KEY": "my-key", "WEBHOOK_SECRET": "my-secret"}
    here = made(**secrets, PROFILE_API_TOKEN="my-token")
    words = [word for name in PROCESSES for word in here.service(name).arguments] + list(here.simulator().arguments)
    assert not [word for word in words if "my-" in word]
    assert here.simulator().environment == {"CM_API_KEY": "my-api-key"}

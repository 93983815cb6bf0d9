"""Settings come from the environment, say what is wrong, and keep their secrets."""

import pytest
from pydantic import ValidationError

from connectors.campaign_monitor.credentials import CampaignMonitorSettings


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_API_KEY", "canary")
    monkeypatch.setenv("CM_BASE_URL", "http://127.0.0.1:8900/api/v3.3")
    monkeypatch.setenv("CM_ZONE_OVERRIDES", '{"(GMT+01:00) New": "Europe/Paris"}')
    settings = CampaignMonitorSettings()
    assert settings.zone_overrides == {"(GMT+01:00) New": "Europe/Paris"}
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_url", "api.createsend.com"),
        ("base_url", "https://"),
        ("oauth_url", "ftp://x/oauth"),
        ("import_timeout_seconds", 20),
        ("segment_timeout_seconds", 20),
        ("requests_in_flight", 0),
    ],
)
def test_what_cannot_work_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        CampaignMonitorSettings(**{name: value})


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in CampaignMonitorSettings.model_fields.values())

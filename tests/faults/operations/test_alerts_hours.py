"""Faults that alert, or clear, after an hour of an operator's time, all at once. Part of `make faults`."""

import itertools
import json
import shutil

import pytest

from tests.faults.operations.conftest import enters
from tests.faults.operations.running_system import BESIDE, PROCESSES, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.long_fault, pytest.mark.timeout(600)]

MAPPINGS = ROOT / "streams" / "mapping" / "defaults"


def test_what_takes_an_hour_to_alert_or_to_clear(system, tmp_path):
    mapping = tmp_path / "mapping"
    shutil.copytree(MAPPINGS, mapping)
    altered = mapping / "cm_user.lql"
    altered.write_text(altered.read_text().replace("AS cm_name ", "AS cm_full_name "))
    system.start(BESIDE, PROFILE_MAPPING_DIR=str(mapping))
    system.scrape([*PROCESSES, BESIDE])

    token = system.simulate("grant_token", expires_in=1)
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({**token, "expires_in": 1}))
    system.command("auth", "add", "--id", "forgotten", "--tokens", str(tokens))

    fault = system.simulate("inject", kind="status", status=403, code=403, path="/campaigns/*/clicks*", count=None)
    account = ("--authorization", "main", "--client", system.client, "--no-check", "--list", system.newsletter)
    system.command("job", "create-import", *account, "--id", "once")

    numbers = itertools.count()

    def refuse_somebody():
        email = f"refused{next(numbers)}@example.com"
        system.simulate("suppress", client_id=system.client, email=email)
        system.publish("audience-membership", enters([email]))

    names = ["CmStreamsMappingsDiffer", "CmStreamsRefusalsHigh", "CmStreamsTokenNotRefreshed", "CmStreamsImportFailing"]
    system.await_firing(*names, meanwhile=refuse_somebody, seconds=240)

    system.simulate("clear_faults", number=fault)
    system.command("job", "remove", "once")
    tokens.write_text(json.dumps({**token, "expires_in": 86_400 * 10}))
    system.command("auth", "add", "--id", "forgotten", "--tokens", str(tokens))
    system.publish("audience-membership", enters(f"accepted{number}@example.com" for number in range(400)))
    assert system.stop(BESIDE) == 0
    system.scrape(PROCESSES)
    system.await_clear(*names, seconds=240)

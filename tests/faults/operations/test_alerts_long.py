"""Faults that take minutes even with a second for each minute of the rules; part of `make faults`."""

import json
import shutil

import pytest

from tests.faults.operations.conftest import enters

pytestmark = [pytest.mark.slow, pytest.mark.long_fault, pytest.mark.timeout(600)]


def test_campaign_monitor_that_fails(system):
    everything = system.simulate("inject", kind="status", status=500, count=None)
    system.publish("audience-membership", enters(["waiting@example.com"]))
    system.await_firing("CmStreamsApiFailing", "CmStreamsDeliveryLate", "CmStreamsListBlocked")
    system.simulate("clear_faults", number=everything)
    system.await_clear("CmStreamsApiFailing", "CmStreamsDeliveryLate", "CmStreamsListBlocked")
    writes = json.dumps(system.simulate("writes", list_id=system.exported))
    assert "waiting@example.com" in writes


def test_a_webhook_that_cannot_be_kept(system):
    fault = system.simulate("inject", kind="status", status=500, path="/lists/*/webhooks*", count=None)
    system.await_firing("CmStreamsWebhookInactive")
    system.simulate("clear_faults", number=fault)
    system.await_clear("CmStreamsWebhookInactive")


def test_an_account_whose_rate_limit_others_use_up(system):
    fault = system.simulate("inject", kind="status", status=429, probability=0.5, count=None)
    system.await_firing("CmStreamsRateLimited")
    system.simulate("clear_faults", number=fault)
    system.await_clear("CmStreamsRateLimited")


def test_a_disk_that_is_nearly_full(system, disk):
    if not disk.is_mount():
        pytest.skip("a file system cannot be mounted here")
    filler = disk / "filler"
    with filler.open("wb") as file:
        file.write(bytes(int(shutil.disk_usage(disk).free - 0.07 * shutil.disk_usage(disk).total)))
    system.await_firing("CmStreamsDiskNearlyFull")
    filler.unlink()
    system.await_clear("CmStreamsDiskNearlyFull")

"""The simulator from other processes: its admin client, its command, a million rows."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from connectors.devkit.simulator import Simulator, SimulatorAdmin, SimulatorError, SimulatorSettings
from tests.component.devkit.simulator.conftest import Api


async def test_every_verb_answers_by_http(sim, list_id):
    async with SimulatorAdmin(sim.admin_url) as admin:
        assert await admin.healthy()
        await admin.add_subscriber(list_id, "a@example.net", "A", fields=None)
        assert (await admin.subscriber(list_id, "a@example.net"))["Name"] == "A"
        assert await admin.unsubscribe(list_id, email="a@example.net") is True
        assert (await admin.writes(after=0))[0]["act"] == "link"
        number = await admin.inject(kind="status", status=500)
        assert (await admin.faults())[0]["number"] == number
        await admin.change_settings(latency_ms=5)
        assert sim.settings.latency_ms == 5
        before = await admin.clock()
        assert await admin.clock(advance=10) == before + 10
        with pytest.raises(SimulatorError, match="never on this list"):
            await admin.unsubscribe(list_id, "nobody@example.net")
        with pytest.raises(SimulatorError, match="latency"):
            await admin.change_settings(latency_ms=-1)
        with pytest.raises(AttributeError, match="no verb"):
            await admin.explode()
        with pytest.raises(SimulatorError, match="no verb"):
            await admin.do("explode")
        with pytest.raises(TypeError):
            await admin.unsubscribe()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_ready_and_stops_cleanly(number):
    command = [sys.executable, "-m", "streams.cli", "simulator", "--port", "0", "--subscribers", "50"]
    environment = {**os.environ, "CM_API_KEY": "canary-key"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        lines = []
        while "ready" not in lines:
            line = process.stdout.readline()
            assert line, "ended before it was ready"
            lines.append(line.strip())
        shown = Path(f"/proc/{process.pid}/cmdline").read_text() if sys.platform == "linux" else ""
        assert "canary" not in shown + "".join(lines), "everybody on the machine can read it"
        url = next(line.split()[1] for line in lines if line.startswith("admin"))

        async def look():
            async with SimulatorAdmin(url) as admin:
                return await admin.healthy(), await admin.find_lists()

        healthy, lists = asyncio.run(look())
        assert healthy
        assert {entry["Title"] for entry in lists} >= {"Newsletter", "Offers"}
        process.send_signal(number)
        assert process.wait(10) == 0


async def test_a_taken_port_is_said():
    async with Simulator(SimulatorSettings()) as first:
        with pytest.raises(OSError, match="address already in use"):
            async with Simulator(SimulatorSettings(port=first.port)):
                pass


async def test_a_million_subscribers_and_five_million_rows_are_read_by_page(api: Api, sim, client_id, list_id):
    start = time.monotonic()
    sim.controls.seed_subscribers(list_id, 1_000_000)
    campaign = sim.controls.add_campaign([list_id], "Big", days_ago=40, opens=5_000_000, clicks=10, days=20)
    seeded = time.monotonic() - start
    assert seeded < 10
    total = sim.controls.list_state(list_id)["Active"]
    await api.get(f"/lists/{list_id}/active.json", orderfield="date", pagesize=10)
    start = time.monotonic()
    last = (await api.get(f"/lists/{list_id}/active.json", orderfield="date", page=total // 1_000)).json
    assert len(last["Results"]) == 1_000
    opens = (await api.get(f"/campaigns/{campaign}/opens.json", page=4_000)).json
    assert opens["TotalNumberOfRecords"] == 5_000_000
    assert len(opens["Results"]) == 1_000
    assert time.monotonic() - start < 2

"""`cm-streams apply`, `get jobs` and `audit`, against a real broker and a simulated account."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import Result

from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.kafka.settings import KafkaSettings
from tests.integration.cli.test_control_commands import Run, run, settings, topics  # noqa: F401  (fixtures)

FILE = """
jobs:
  - {id: news, kind: export, authorization: Acme Inc., client: Acme, list: Newsletter, audiences: [vip]}
  - {id: all, kind: import, authorization: Acme Inc., client: Acme, state: stopped}
"""


def yaml_of(result: Result) -> str:
    """The file after the lines of the log."""
    return result.stdout[result.stdout.index("jobs:\n") :]


@pytest.mark.usefixtures("topics")
async def test_a_file_is_planned_applied_printed_and_pruned(
    run: Run,  # noqa: F811
    settings: KafkaSettings,  # noqa: F811
    tmp_path: Path,
) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text(FILE)
    async with Simulator(SimulatorSettings()) as simulator:
        client = simulator.controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        list_id = simulator.controls.add_list(client, "Newsletter")

        def play() -> None:
            account = {"CM_BASE_URL": simulator.base_url}
            key = {"CAMPAIGN_MONITOR_API_KEY": simulator.api_key}
            run("auth", "add", "--id", "acme", "--description", "Acme Inc.", **key)
            dry = run("apply", "-f", str(file), "--dry-run", code=1, **account)
            assert "+ create: export news" in dry.stdout
            assert "jobs: []" in run("get", "jobs").stdout
            run("apply", "-f", str(file), **account)
            job = json.loads(run("job", "show", "news", "--json").stdout.splitlines()[-1])
            assert (job["client_id"], job["list_id"], job["audiences"]) == (client, list_id, ["vip"])
            again = run("apply", "-f", str(file), "--dry-run", **account)
            assert again.stdout.count("= unchanged") == 2

            printed = tmp_path / "printed.yaml"
            printed.write_text(yaml_of(run("get", "jobs", "-o", "yaml")))
            assert run("apply", "-f", str(printed), "--prune", **account).stdout.count("= unchanged") == 2
            printed.write_text(yaml_of(run("get", "jobs", "news")).replace("- vip", "- new"))
            refused = run("apply", "-f", str(printed), "--prune", code=1, **account)
            assert "--prune would remove all" in refused.output
            edited = run("apply", "-f", str(printed), "--prune", "--yes", **account)
            assert 'audiences: ["vip"] -> ["new"]' in edited.stdout
            assert "id: all" not in run("get", "jobs").stdout

            file.write_text(FILE.replace("Newsletter", "Nowhere"))
            assert "list 'Nowhere' is not there" in run("apply", "-f", str(file), code=1, **account).output
            simulator.controls.add_list(client, "Newsletter")
            file.write_text(FILE)
            assert "the name of several" in run("apply", "-f", str(file), code=1, **account).output
            file.write_text("jobs: [{}]")
            run("apply", "-f", str(file), code=2, **account)

            records = [
                json.loads(line)
                for line in run("audit", "--kind", "job", "--json").stdout.splitlines()
                if line.startswith("{")
            ]
            assert [(record["id"], record["action"], record["via"]) for record in records] == [
                ("news", "create", "cli"),
                ("all", "create", "cli"),
                ("news", "edit", "cli"),
                ("all", "remove", "cli"),
            ]
            assert "audiences" in run("audit", "--id", "news").stdout
            assert simulator.api_key not in run("audit", "--json").stdout

        await asyncio.to_thread(play)

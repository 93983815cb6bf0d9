"""Campaign Monitor on this machine, for demonstrations and tests.

In the same process::

    async with Simulator(SimulatorSettings(api_key="key")) as sim:
        client_id = sim.controls.add_client("Acme", "(GMT+10:00) Canberra, Melbourne, Sydney")
        list_id = sim.controls.add_list(client_id, "Newsletter")
        sim.controls.add_field(list_id, "Lytics Audiences", "MultiSelectMany", ["buyers"])
        sim.controls.seed_subscribers(list_id, 1_000_000)
        ...                                   # talk to sim.base_url with sim.api_key
        sim.controls.unsubscribe(list_id, "someone@example.net")      # what a person does
        sim.controls.inject(kind="reset", after=True, path="/subscribers/*/import.json")
        sim.controls.inject(kind="reset", late=True, path="/subscribers/*/import.json")   # applied when released:
        sim.controls.release_calls()
        assert sim.controls.writes()[-1]["after"] == "Active"         # the request log

`sim.base_url` ends in `/api/v3.3`, `sim.oauth_url` in `/oauth`; `sim.state` is everything it holds, `sim.controls` all
verbs (`Controls`), `sim.state.request_log` the logs. From another process: `SimulatorAdmin(admin_url)` has the same
verbs, as coroutines. In a thread, for a blocking client: `with SimulatorThread(SimulatorSettings(...)) as sim`.

As a process: `CM_API_KEY=KEY cm-streams simulator --port 8900` with a demo account in which everything exists
(`SimulatorSettings(demo=True)` here). `GET /simulator/health` answers when it serves, `GET /simulator/verbs` lists the
verbs, `POST /simulator/do/{verb}` carries one out.

Behaviour that Campaign Monitor does not document is a switch in `SimulatorSettings`. Time is `sim.controls.clock(...)`.
"""

from connectors.devkit.simulator.controls.admin import SimulatorAdmin, SimulatorError
from connectors.devkit.simulator.controls.controls import Controls
from connectors.devkit.simulator.protocol.faults import Fault
from connectors.devkit.simulator.server import Simulator, SimulatorThread
from connectors.devkit.simulator.settings import SimulatorSettings

__all__ = ["Controls", "Fault", "Simulator", "SimulatorAdmin", "SimulatorError", "SimulatorSettings", "SimulatorThread"]

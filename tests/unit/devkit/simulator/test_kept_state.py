"""The account of a simulator is the same after a restart, and its file is for its owner only."""

from connectors.devkit.simulator.kept_state import StateFile
from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings

SETTINGS = SimulatorSettings(demo=True, subscribers=40, activity=50, api_key="first-api-key")


def lists(simulator):
    return {
        (
            found.list_id,
            found.title,
            tuple(str(s) for s in simulator.controls.do("subscribers", {"list_id": found.list_id})),
        )
        for found in simulator.state.lists.values()
    }


def test_an_account_is_the_same_after_a_restart(tmp_path):
    first = Simulator(SETTINGS)
    (list_id, *_more) = first.state.lists
    first.controls.do("add_subscriber", {"list_id": list_id, "email": "ann@example.com", "name": "Ann"})
    file = StateFile(tmp_path / "account.state")
    file.save(first.state)
    assert (tmp_path / "account.state").stat().st_mode & 0o777 == 0o600
    other = SETTINGS.model_copy(update={"api_key": "second-api-key"})
    second = Simulator(other, StateFile(tmp_path / "account.state").load(other))
    assert lists(second) == lists(first)
    assert second.state.keyring.accounts.keys() >= {"first-api-key", "second-api-key"}
    assert first.state.identifiers.new("list") == second.state.identifiers.new("list")


def test_a_file_that_cannot_be_read_begins_an_account_of_its_own(tmp_path):
    file = tmp_path / "account.state"
    assert StateFile(file).load(SETTINGS) is None
    for content in (b"", b"no pickle", b"\x80\x04garbage"):
        file.write_bytes(content)
        assert StateFile(file).load(SETTINGS) is None

"""An import's flat way and the way of single writes: the same state and the same answer over random imports."""

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.devkit.simulator.data.transitions import SimulatedState
from connectors.devkit.simulator.protocol.call import ApiCall
from connectors.devkit.simulator.protocol.errors import SimulatedApiError
from connectors.devkit.simulator.subscribers import flat_import
from connectors.devkit.simulator.subscribers.subscribers import import_subscribers
from connectors.devkit.simulator.subscribers.subscriptions import put_on_list

EMAILS = [f"{name}@example.net" for name in ("ann", "bob", "cas", "dan", "eve", "fay", "gus", "hal")]
REMOVALS = ("unsubscribe", "delete_subscriber", "hard_bounce", "suppress")
FIELDS: tuple[tuple[str, str, list[str]], ...] = (
    ("City", "Text", []),
    ("Audiences", "MultiSelectMany", ["VIP", "EU"]),
    ("Points", "Number", []),
)

entry = st.fixed_dictionaries(
    {
        "Key": st.sampled_from(["[City]", "City", "[Audiences]", "[Points]", "[Nothing]"]),
        "Value": st.sampled_from(["", "VIP", "EU", "Ghent", "7", "x" * 300]),
    },
    optional={"Clear": st.booleans()},
)
REPEATED: list[list[dict[str, str]]] = [
    [{"Key": "City", "Value": "Ghent"}],
    [{"Key": "[Nothing]", "Value": "dropped"}, {"Key": "[Audiences]", "Value": "EU"}],
]
usual = st.fixed_dictionaries(
    {
        "EmailAddress": st.sampled_from([*EMAILS, "Ann@Example.net"]),
        "Name": st.sampled_from(["Ada", "Bo", ""]),
        "ConsentToTrack": st.just("Unchanged"),
        "CustomFields": st.one_of(st.sampled_from(REPEATED), st.lists(entry, max_size=3)),
    }
)
TWISTS: list[dict[str, Any]] = [
    {"ConsentToTrack": "Yes"},
    {"ConsentToTrack": "unchanged"},
    {"ConsentToTrack": "Perhaps"},
    {"EmailAddress": "no address"},
    {"EmailAddress": " ann@example.net "},
    {"EmailAddress": None},
    {"EmailAddress": 7},
    {"Name": None},
    {"Name": 7},
    {"MobileNumber": "+32470000000"},
    {"MobileNumber": "12"},
    {"ConsentToSendSms": "Yes"},
    {"Extra": "x"},
    {"CustomFields": None},
    {"CustomFields": "text"},
    {"CustomFields": [{"Key": 7, "Value": "x"}]},
    {"CustomFields": [{"key": "City", "value": 7}]},
]
usual_rows = st.lists(usual, min_size=1, max_size=8)
rows = st.one_of(
    usual_rows,
    usual_rows,
    st.builds(lambda rows, twist: [rows[0] | twist, *rows[1:]], usual_rows, st.sampled_from(TWISTS)),
)
body = st.fixed_dictionaries(
    {"Subscribers": rows},
    optional={
        name: st.sampled_from([True, True, False])
        for name in ("Resubscribe", "QueueSubscriptionBasedAutoresponders", "RestartSubscriptionBasedAutoresponders")
    },
)
act = st.one_of(
    body,
    body,
    st.tuples(st.sampled_from([*REMOVALS, "elsewhere", "refuse"]), st.sampled_from(EMAILS)),
)
switches = st.fixed_dictionaries(
    {},
    optional={
        "value_limit": st.sampled_from(["cut", "drop", "keep", "reject"]),
        "import_winner": st.sampled_from(["first", "last"]),
        "failure_spelling": st.sampled_from(["sent", "upper"]),
    },
)
KINDS = ("plain", "plain", "plain", "webhook", "confirmed", "only_this_list", "listed", "seeded")


class Account:
    """One simulated account without a server; `careful`: every row of an import goes the way of single writes."""

    def __init__(self, settings: dict[str, Any], kind: str, careful: bool) -> None:
        self.careful = careful
        self.simulator = Simulator(SimulatorSettings(now="2026-06-15T12:00:00+00:00", frozen=True, **settings))
        self.answers: list[object] = []
        self.controls, self.state = self.simulator.controls, self.simulator.state
        client = self.controls.add_client("Acme")
        self.list_id, self.other_id = (self.controls.add_list(client, title) for title in ("News", "Other"))
        for name, data_type, options in FIELDS:
            self.controls.add_field(self.list_id, name, data_type, options)
        self.target = self.state.lists[self.list_id]
        if kind == "seeded":
            self.controls.seed_subscribers(self.list_id, 20)
        if kind == "webhook":
            self.target.webhooks["w"] = object()  # type: ignore[assignment]
        self.target.confirmed_opt_in = kind == "confirmed"
        if kind == "only_this_list":
            self.target.unsubscribe_setting = "OnlyThisList"
        if kind == "listed":
            for field in ("date", "email", "name"):
                self.target.subscribers.ordered(SimulatedState.ACTIVE, field)
        self.events: list[object] = []
        self.state.emit = lambda target, kind, event: self.events.append((target.list_id, kind, dict(event)))

    def with_everybody(self) -> "Account":
        """Have one subscriber in each state, and two who are suppressed, one of them never on the list."""
        people = [{"EmailAddress": email, "ConsentToTrack": "Unchanged"} for email in EMAILS[:5]]
        self.import_(self.list_id, {"Subscribers": people})
        for act in [*zip(REMOVALS, EMAILS[1:], strict=False), ("suppress", EMAILS[5])]:
            self.do(act)
        return self

    def do(self, act: Any) -> None:
        if isinstance(act, tuple):
            verb, email = act
            with suppress(LookupError):
                if verb == "refuse":
                    self.controls.refuse_rows({email: 205})
                elif verb == "suppress":
                    self.controls.suppress(self.target.client.client_id, email)
                elif verb == "elsewhere":
                    self.import_(self.other_id, {"Subscribers": [{"EmailAddress": email, "ConsentToTrack": "Yes"}]})
                else:
                    self.controls.do(verb, {"list_id": self.list_id, "email": email})
        else:
            self.import_(self.list_id, act)
        self.controls.clock(advance=1)

    def import_(self, list_id: str, asked: dict[str, Any]) -> None:
        identity = self.state.keyring.identify(self.basic, self.state.clock.time())
        call = ApiCall(self.state, identity, {"listid": list_id}, {}, orjson.dumps(asked), "subscribers")
        with pytest.MonkeyPatch.context() as patch:
            if self.careful:
                patch.setattr(flat_import, "usual_rows", lambda rows: None)
                patch.setattr(flat_import.ImportWriter, "put", _put_carefully)
            try:
                answer = import_subscribers(call)
                self.answers.append((answer.status, answer.body))
            except SimulatedApiError as error:
                self.answers.append((error.status, error.code, error.body()))

    basic = "Basic c2ltdWxhdG9yLWtleTp4"

    def everything(self) -> dict[str, object]:
        log, store = self.state.request_log, self.target.subscribers
        return {
            "answers": self.answers,
            "events": self.events,
            "writes": list(log.writes),
            "dropped": list(log.dropped),
            "automations": log.automations,
            "counters": (log.write_count, log.resurrections, store.version, store.counts),
            "people": self.controls.subscribers(self.list_id),
            "elsewhere": self.controls.subscribers(self.other_id),
            "columns": (store.states, store.consents, store.joined, store.changed, store.by_suppression),
            "suppressed": list(self.target.client.suppressed),
            "orders": {
                (state, field): store.ordered(state, field).slice(0, 100)
                for state in SimulatedState
                for field in ("date", "email", "name")
            },
        }


def _put_carefully(self: flat_import.ImportWriter, folded: str, submission: Any) -> bool:
    return put_on_list(self._state, self._target, submission, self._manner)


@given(settings=switches, kind=st.sampled_from(KINDS), acts=st.lists(act, min_size=1, max_size=8))
def test_both_ways_give_the_same_state_and_answers(settings: dict[str, Any], kind: str, acts: list[Any]) -> None:
    flat, careful = (Account(settings, kind, careful).with_everybody() for careful in (False, True))
    for act in acts:
        flat.do(act)
        careful.do(act)
    assert flat.everything() == careful.everything()


def test_the_usual_import_is_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """New and known people, values set and an option cleared: no row goes the way of single writes."""
    account = Account({}, "plain", careful=False)
    monkeypatch.setattr(flat_import, "put_on_list", None)
    monkeypatch.setattr(flat_import, "checked_rows", None)
    entries = [{"Key": "[Audiences]", "Value": "VIP"}, {"Key": "[City]", "Value": "Ghent"}]
    people = [
        {"EmailAddress": email, "Name": "Ada", "ConsentToTrack": "Unchanged", "CustomFields": entries}
        for email in EMAILS
    ]
    account.import_(account.list_id, {"Subscribers": people[:4]})
    people[1]["CustomFields"] = [{"Key": "[Audiences]", "Value": "", "Clear": True}]
    account.import_(account.list_id, {"Subscribers": people})
    assert [answer[0] for answer in account.answers] == [201, 201]  # type: ignore[index]
    assert account.controls.list_state(account.list_id)["Active"] == len(EMAILS)
    bob = account.controls.subscriber(account.list_id, "bob@example.net")
    assert bob is not None
    assert bob["CustomFields"] == [{"Key": "City", "Value": "Ghent"}]

"""The smallest stories that ended wrong once, each with its lesson; see `test_model.py`."""

from typing import Any

import pytest

from tests.unit.export.model_stories import Step
from tests.unit.export.test_model import play

REST = Step("rest", {})
HANGS = {"fault": {"kind": "hang", "seconds": 60, "late": True, "path": "/subscribers/*"}, "times": 1}


def _change(person: str, audience: str, *, enters: bool = True, **more: Any) -> Step:
    return Step("change", {"person": person, "audience": audience, "enters": enters, **more})


STORIES = {
    "who has no address any more keeps no audience that they left": [
        Step("begin", {"email_field": "work"}),
        _change("ann", "vip", fields={"work": "day"}),
        _change("ann", "new"),
        REST,
        _change("ann", "vip", enters=False, fields={"work": None}),
    ],
    "a job that guards every removal removes after a person has confirmed it": [
        Step("begin", {"removal_guard": 0.0, "on_last_exit": "delete"}),
        _change("ann", "vip"),
        REST,
        _change("ann", "vip", enters=False),
        Step("restart", {}),
    ],
    "who confirms the subscription has what came meanwhile": [
        Step("begin", {"confirmed": True}),
        _change("ann", "vip"),
        REST,
        _change("ann", "new"),
        REST,
        Step("own_act", {"person": "ann", "how": "confirm", "webhook": False}),
    ],
    "who was there before the job stays away where existing users are off": [
        Step("begin", {"existing_users": False, "begins_now": True}),
        Step("snapshot", {"person": "ann", "audiences": ["vip"], "steps_late": 0}),
        _change("bob", "vip", steps_late=2),
        _change("cem", "vip", steps_late=0),
    ],
    "an old import that lands after newer state does not stay": [
        Step("begin", {}),
        Step("fault", {"fault": {"kind": "reset", "late": True, "path": "/subscribers/*"}, "times": 1}),
        _change("ann", "vip", then="work"),
        _change("ann", "vip", enters=False),
        _change("ann", "new", then="work"),
    ],
    "a late call of somebody who has no address any more is over after a look": [
        Step("begin", {}),
        Step("fault", HANGS),
        _change("cem", "vip", then="work"),
        Step("edit_job", {"email_field": "work"}),
        Step("work", {"seconds": 10}),
    ],
    "a late call that adds somebody who left is taken back before they confirm": [
        Step("begin", {"confirmed": True, "on_last_exit": "delete"}),
        Step("fault", HANGS),
        _change("ann", "vip", then="work"),
        _change("ann", "vip", enters=False),
    ],
    "who complained loses what a call without an answer wrote": [
        Step("begin", {}),
        Step("fault", {"fault": {"kind": "reset", "path": "/subscribers/*", "after": True}, "times": 2}),
        _change("ann", "vip", then="work"),
        Step("edit_job", {"email_field": "work"}),
        Step("own_act", {"person": "ann", "how": "complain", "webhook": True}),
        _change("ann", "vip", enters=False),
    ],
    "who was deleted loses what a call without an answer wrote": [
        Step("begin", {}),
        Step("fault", {"fault": {"kind": "reset", "path": "/subscribers/*", "after": True}, "times": 2}),
        _change("ann", "vip", then="work"),
        Step("edit_job", {"email_field": "work"}),
        Step("own_act", {"person": "ann", "how": "delete_subscriber", "webhook": True}),
        _change("ann", "vip", enters=False),
    ],
    "of a new address and a change at its instant the later record is in force": [
        Step("begin", {}),
        Step("new_address", {"person": "ann", "audience": "vip"}),
        _change("ann", "vip", enters=False, steps_late=5),
    ],
    "who left gave the address of their field back, and comes back as another subscriber": [
        Step("begin", {"email_field": "work"}),
        _change("ann", "vip", fields={"work": "day"}, then="rest"),
        _change("ann", "vip", enters=False, then="rest"),
        _change("ann", "vip", fields={"work": "night"}),
    ],
    "who unsubscribed comes back with an entry and a consent that are later": [
        Step("begin", {"resubscribe_users": True, "consent_rule": {"user_field": "consented"}}),
        _change("ann", "vip", then="rest"),
        Step("own_act", {"person": "ann", "how": "unsubscribe", "webhook": True}),
        _change("ann", "new", then="rest"),
        Step("repair", {}),
        _change("ann", "vip-eu", fields={"consented": "now"}),
    ],
    "two people become one who are on the list under addresses of a field": [
        Step("begin", {"resubscribe_users": True, "email_field": "work"}),
        _change("cem", "vip-eu", fields={"work": "day"}),
        _change("ann", "new", fields={"work": "night"}, then="rest"),
        Step("become_one", {"person": "cem", "other": "ann", "audience": "new"}),
    ],
    "the same, where the job removes who leaves": [
        Step("begin", {"on_last_exit": "delete", "email_field": "work"}),
        _change("cem", "vip-eu", fields={"work": "day"}),
        _change("ann", "new", fields={"work": "night"}, then="rest"),
        Step("become_one", {"person": "cem", "other": "ann", "audience": "new"}),
    ],
    "a snapshot that repeats one audience and leaves another one of the former address, entered again meanwhile": [
        Step("begin", {"update_only": True, "audiences": ["vip", "vip-eu"]}),
        _change("ann", "vip"),
        _change("ann", "vip-eu", then="rest"),
        Step("new_address", {"person": "ann", "audience": "vip-eu"}),
        Step("fault", {"fault": {"kind": "status", "status": 504, "late": True, "path": "/subscribers/*"}, "times": 1}),
        Step("snapshot", {"person": "ann", "audiences": ["vip-eu"], "steps_late": 0}),
        Step("fault", HANGS),
        _change("cem", "vip-eu", then="work"),
        Step("repair", {}),
        _change("ann", "vip"),
    ],
    "who is not confirmed yet and entered again has their audiences when a late call took them off": [
        Step("begin", {"confirmed": True}),
        _change("ann", "new", then="rest"),
        Step("fault", {"fault": {"kind": "status", "status": 504, "late": True, "path": "/subscribers/*"}, "times": 1}),
        _change("ann", "new", enters=False, then="work"),
        _change("ann", "new"),
    ],
    "who is not confirmed yet and swaps addresses with somebody new": [
        Step("begin", {"confirmed": True}),
        _change("ann", "vip", then="rest"),
        Step("swap", {"person": "ann", "other": "bob", "audience": "vip"}),
    ],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_it_ends_right(story: list[Step]) -> None:
    play(story)

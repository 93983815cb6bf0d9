"""The smallest stories that ended wrong once, each with its lesson; see `test_model.py`."""

from typing import Any

import pytest

from tests.unit.export.model_stories import Step
from tests.unit.export.test_model import play

REST = Step("rest", {})


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
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_it_ends_right(story: list[Step]) -> None:
    play(story)

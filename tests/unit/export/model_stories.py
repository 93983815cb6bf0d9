"""Stories for the model: lists of steps, each of which can be read aloud, so that a failure is a story in words."""

from typing import Any, NamedTuple

from hypothesis import strategies as st

PEOPLE = ("ann", "bob", "cem")
AUDIENCES = ("vip", "vip-eu", "new")

CALLS = "/subscribers/*"
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "status", "status": 500, "path": CALLS},
    {"kind": "status", "status": 500, "path": CALLS, "after": True, "body": "html"},
    {"kind": "status", "status": 504, "path": CALLS, "after": True, "body": "empty"},
    {"kind": "reset", "path": CALLS},
    {"kind": "reset", "path": CALLS, "after": True},
    {"kind": "truncate", "path": CALLS},
    {"kind": "status", "status": 429, "path": CALLS, "code": 429, "headers": {"X-RateLimit-Reset": "1"}},
    {"kind": "status", "status": 500, "path": "/lists/*"},
    {"kind": "reset", "path": "/lists/*", "after": True},
    {"kind": "status", "status": 500, "path": "/segments/*"},
    {"kind": "hang", "seconds": 60, "path": CALLS, "after": True},
)
LATE: tuple[dict[str, Any], ...] = (
    {"kind": "reset", "path": CALLS, "late": True},
    {"kind": "status", "status": 504, "path": CALLS, "late": True},
    {"kind": "hang", "seconds": 60, "path": CALLS, "late": True},
)
OPTIONS: dict[str, tuple[Any, ...]] = {
    "on_last_exit": ("keep", "unsubscribe", "delete"),
    "resubscribe_users": (False, True, True),
    "update_only": (False, True),
    "existing_users": (True, False),
    "queue_autoresponders": (False, True),
    "restart_autoresponders": (False, True),
    "consent_to_track": ("Unchanged", "Yes", "No"),
    "consent_rule": (None, {"user_field": "consented"}),
    "email_field": ("email", "work"),
    "name_field": ("name", "nick"),
    "segment_name": ("{audience}", "In {audience}"),
    "custom_field_name": ("Lytics Audiences", "Groups"),
    "field_mappings": ([], [{"user_field": "city", "custom_field": "City"}]),
    "audiences": ([], ["vip"], ["vip", "vip-eu"], ["new"]),
    "removal_guard": (1.0, 0.0),
}
ACTS = ("unsubscribe", "delete_subscriber", "hard_bounce", "complain", "delete_permanently", "sign_up", "confirm")


class Step(NamedTuple):
    """What happens next: the name of a method of `Play`, and its arguments."""

    action: str
    values: dict[str, Any]

    def __str__(self) -> str:
        values = ", ".join(f"{name} {_spoken(value)}" for name, value in self.values.items() if value is not None)
        return self.action.replace("_", " ") + (f": {values}" if values else "")


def _spoken(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={part}" for name, part in value.items())
    return str(value)


def _step(action: str, **values: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.fixed_dictionaries(values).map(lambda drawn: Step(action, drawn))


_person, _audience = st.sampled_from([*PEOPLE, "ann", "ann"]), st.sampled_from(AUDIENCES)
_back = st.sampled_from([0, 0, 0, 0, 1, 2, 5])
_fields = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {},
        optional={
            "city": st.sampled_from(["Ghent", "Oslo", None]),
            "work": st.sampled_from(["day", "night", "day", None]),
            "name": st.sampled_from(["Ann", "Bo"]),
            "consented": st.just("now"),
        },
    ),
)
_change = _step(
    "change",
    person=_person,
    audience=_audience,
    enters=st.sampled_from([True, True, False]),
    steps_late=_back,
    fields=_fields,
    then=st.sampled_from([None, "work", "rest"]),
)
_begin = st.fixed_dictionaries(
    {
        "confirmed": st.sampled_from([False, False, False, True]),
        "begins_now": st.sampled_from([False, False, True]),
        "direct": st.booleans(),
        "import_size": st.sampled_from([1000, 1000, 2, 1]),
        "max_records": st.sampled_from([100, 100, 3, 1]),
    },
    optional={name: st.sampled_from(values) for name, values in OPTIONS.items()},
).map(lambda options: Step("begin", options))
_edit = st.sampled_from([(name, value) for name, values in OPTIONS.items() for value in values]).map(
    lambda option: Step("edit_job", dict([option]))
)

STEPS: dict[str, st.SearchStrategy[Step]] = {
    "change": _change,
    "snapshot": _step("snapshot", person=_person, audiences=st.sets(_audience).map(sorted), steps_late=_back),
    "repeat": _step("repeat", which=st.integers(0, 30)),
    "misplaced": _step("misplaced", person=_person, audience=_audience, enters=st.booleans()),
    "new_address": _step("new_address", person=_person, audience=_audience),
    "swap": _step("swap", person=_person, other=_person, audience=_audience),
    "become_one": _step("become_one", person=_person, other=_person, audience=_audience),
    "rename": _step("rename", audience=_audience, name=st.sampled_from(["Gold", "Silver", "Blue"])),
    "own_act": _step("own_act", person=_person, how=st.sampled_from(ACTS), webhook=st.booleans()),
    "edit_job": _edit,
    "stop_and_start": _step("stop_and_start"),
    "field_by_hand": _step("field_by_hand", how=st.sampled_from(["delete", "remove an option", "rename", "add"])),
    "segment_by_hand": _step("segment_by_hand", audience=_audience, how=st.sampled_from(["make", "delete", "edit"])),
    "repair": _step("repair"),
    "fault": _step("fault", fault=st.sampled_from(FAULTS), times=st.integers(1, 3)),
    "late": _step("fault", fault=st.sampled_from(LATE), times=st.just(1)),
    "apply_late_calls": _step("apply_late_calls"),
    "crash": _step("crash", effects=st.integers(1, 12)),
    "not_delivered": _step("not_delivered", effects=st.integers(1, 12), late=st.booleans()),
    "restart": _step("restart"),
    "hand_over": _step("hand_over", partition=st.integers(0, 1)),
    "work": _step("work", seconds=st.sampled_from([1, 3, 10])),
    "rest": _step("rest"),
}
_WEIGHTS = {
    "change": 9,
    "snapshot": 2,
    "own_act": 4,
    "edit_job": 4,
    "late": 2,
    "fault": 2,
    "work": 3,
    "rest": 3,
    "new_address": 3,
    "swap": 2,
    "become_one": 2,
}


def stories(max_size: int = 30) -> st.SearchStrategy[list[Step]]:
    """Return lists of steps; the first one makes the job."""
    # Not `one_of`, which takes nested alternatives for its own: nearly every step would be an edit.
    names = [name for name in STEPS for _ in range(_WEIGHTS.get(name, 1))]
    step = st.sampled_from(names).flatmap(STEPS.__getitem__)
    # Short ones are there so that a failure can become short: by themselves few stories would be long.
    short = st.lists(step, min_size=1, max_size=8)
    steps = st.one_of(short, *[st.lists(step, min_size=12, max_size=max_size)] * 5)
    return st.builds(lambda begin, after: [begin, *after], _begin, steps)


def in_words(story: list[Step]) -> str:
    """Return a story, a line for every step."""
    return "\n".join(f"{number:3} {step}" for number, step in enumerate(story, 1))

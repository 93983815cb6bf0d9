"""Fields are found leniently, made strictly, and values that would vanish are named before they are sent."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.campaign_monitor.client.entities import CustomField, Subscriber
from connectors.campaign_monitor.client.requests import FieldWrite
from connectors.campaign_monitor.errors.exceptions import ApiError, FieldRejected, error_of
from connectors.campaign_monitor.fields import (
    Difference,
    FieldConflict,
    differences,
    ensure_field,
    ensure_options,
    find,
    missing_options,
    plain,
    problem_with_option,
    problem_with_value,
)

SHOE = CustomField("Shoe Size", "[ShoeSize]", "Number")
PLAN = CustomField("Plan", "[Plan]", "MultiSelectMany", ("vip", "vip-eu"))
BORN = CustomField("Born", "[Born]", "Date")


class FakeList:
    """A list's fields; `others` come into being while we create, `silent` writes change nothing."""

    def __init__(self, *fields: CustomField) -> None:
        self.fields = list(fields)
        self.calls: list[str] = []
        self.create_error: ApiError | None = None
        self.others: list[CustomField] = []
        self.silent = False

    async def custom_fields(self, list_id: str) -> list[CustomField]:
        self.calls.append("read")
        return list(self.fields)

    async def create_custom_field(
        self, list_id: str, name: str, data_type: str, options: Sequence[str] = (), *, visible: bool = False
    ) -> str:
        self.calls.append(f"create {name}")
        self.fields += self.others
        if self.create_error:
            raise self.create_error
        if not self.silent:
            self.fields.append(CustomField(name, f"[{name.replace(' ', '')}]", data_type, tuple(options), visible))
        return "[somethingelse]"

    async def update_custom_field_options(
        self, list_id: str, key: str, options: Sequence[str], *, keep_existing: bool = True
    ) -> None:
        self.calls.append(f"options {key} {','.join(options)} {keep_existing}")
        if not self.silent:
            self.fields = [
                CustomField(f.name, f.key, f.data_type, (*f.options, *options)) if f.key == key else f
                for f in self.fields
            ]


@pytest.mark.parametrize("text", ["[ShoeSize]", "Shoe Size", "shoesize", " [shoe size] ", "SHOE  SIZE"])
def test_a_field_is_found(text: str) -> None:
    assert find([PLAN, SHOE], text) is SHOE


def test_an_exact_match_comes_first_and_nothing_matches_nothing() -> None:
    other = CustomField("shoesize", "[x]", "Text")
    assert find([SHOE, other], "shoesize") is other
    assert find([CustomField("", "[]", "Text")], "!") is None
    assert find([CustomField("", "[]", "Text"), SHOE], "") is not SHOE
    assert find([], "x") is None
    assert find([CustomField("", "[]", "Text"), SHOE], "") is None


@given(st.text())
def test_plain_is_idempotent(text: str) -> None:
    once = plain(text)
    assert plain(f"[{once}]") == once or once.startswith("[")


async def test_a_missing_field_is_created_and_read_back() -> None:
    api = FakeList()
    field = await ensure_field(api, "l", "Lytics Audiences", "MultiSelectMany", ["vip"])
    assert (field.key, field.options) == ("[LyticsAudiences]", ("vip",))
    assert api.calls == ["read", "create Lytics Audiences", "read"]


async def test_an_existing_field_gets_only_its_missing_options() -> None:
    api = FakeList(PLAN)
    field = await ensure_field(api, "l", "plan", "MultiSelectMany", ["vip", "new", "new"])
    assert field.options == ("vip", "vip-eu", "new")
    assert api.calls == ["read", "options [Plan] new True", "read"]
    assert await ensure_options(api, "l", field, ["new"]) is field


async def test_somebody_else_created_it_at_the_same_time() -> None:
    api = FakeList()
    api.others = [PLAN]
    api.create_error = error_of("POST", 400, b'{"Code":255,"Message":"exists"}')
    field = await ensure_field(api, "l", "Plan", "MultiSelectMany", ["vip", "b"])
    assert field.options == ("vip", "vip-eu", "b")
    api = FakeList()
    api.create_error = error_of("POST", 400, b'{"Code":254,"Message":"bad name"}')
    with pytest.raises(FieldRejected):
        await ensure_field(api, "l", "Plan", "Text")


async def test_conflicts_are_said_in_a_sentence() -> None:
    with pytest.raises(FieldConflict, match=r"'Shoe Size' is of type Number, and Text is needed"):
        await ensure_field(FakeList(SHOE), "l", "Shoe Size", "Text")
    silent = FakeList(PLAN)
    silent.silent = True
    with pytest.raises(FieldConflict, match="does not show 'lost'"):
        await ensure_field(silent, "l", "Plan", "MultiSelectMany", ["lost"])
    with pytest.raises(FieldConflict, match="does not show it"):
        await ensure_field(silent, "l", "Other", "Text")
    with pytest.raises(FieldConflict, match="separates options"):
        await ensure_options(silent, "l", PLAN, ["a||b"])


def test_options_match_exactly() -> None:
    assert missing_options(PLAN, ["VIP", "vip", "vip-eu", "VIP"]) == ["VIP"]
    assert [problem_with_option(text) is None for text in ("ok", "", " x", "x" * 251, "a||b", "€")] == [
        True, False, False, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "fine"),
    [
        (SHOE, "42", True),
        (SHOE, "-4.5", True),
        (SHOE, "4,5", False),
        (SHOE, "nan", False),
        (SHOE, "٤", False),
        (SHOE, "", True),
        (BORN, "1999-12-31", True),
        (BORN, "1999/12/31", True),
        (BORN, "0000-00-00", True),
        (BORN, "1899-12-31", False),
        (BORN, "2076-06-07", False),
        (BORN, "31.12.1999", False),
        (PLAN, "vip", True),
        (PLAN, "VIP", False),
        (CustomField("T", "[T]", "Text"), "x" * 250, True),
        (CustomField("T", "[T]", "Text"), "x" * 251, False),
    ],
)
def test_values_that_would_vanish_are_named(field: CustomField, value: str, fine: bool) -> None:
    assert (problem_with_value(field, value) is None) is fine


def subscriber(*values: tuple[str, str]) -> Subscriber:
    return Subscriber("a@x.example", "A", "Active", "", None, values, None, None, None, {})


def test_what_was_dropped_comes_to_light() -> None:
    fields = [SHOE, PLAN, BORN]
    sent = [
        FieldWrite("[ShoeSize]", "42"),
        FieldWrite("[Plan]", "vip"),
        FieldWrite("[Plan]", "vip-eu"),
        FieldWrite("[Born]", "2026/01/02"),
    ]
    good = subscriber(("Shoe Size", "42.0"), ("Plan", "vip-eu"), ("[plan]", "vip"), ("Born", "2026-01-02"))
    assert differences(sent, good, fields) == []
    bad = subscriber(("Shoe Size", "42"), ("Plan", "vip"))
    assert differences(sent, bad, fields) == [
        Difference("[Plan]", ("vip", "vip-eu"), ("vip",)),
        Difference("[Born]", ("2026/01/02",), ()),
    ]


def test_cleared_values_must_be_gone() -> None:
    sent = [FieldWrite("[Plan]", clear=True), FieldWrite("[Born]", "0000-00-00")]
    assert differences(sent, subscriber(), [PLAN, BORN]) == []
    assert [d.key for d in differences(sent, subscriber(("Plan", "vip")), [PLAN, BORN])] == ["[Plan]"]

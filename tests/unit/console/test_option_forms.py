"""A job as a form and back: nothing is lost, and every option has an input."""

from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.control import ActivityKind, ConsentRule, DataType, ExportJob, FieldMapping, ImportJob
from schemas.jobs_file import SYSTEM_FIELDS
from streams.console.pages.option_forms import inputs, read_options, texts_of
from streams.control.job_edits import changed_options, edited, option_values, version_of

NOW = datetime(2026, 5, 2, 3, 4, 5, 678000, tzinfo=UTC)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
EXPORTS = st.builds(
    ExportJob,
    **dict.fromkeys(("id", "authorization_id", "client_id", "list_id", "email_field", "segment_name"), TEXT),
    audiences=st.lists(TEXT, max_size=3),
    existing_users=st.booleans(),
    field_mappings=st.lists(
        st.builds(
            FieldMapping,
            user_field=TEXT.filter(lambda text: "=" not in text),
            custom_field=TEXT,
            data_type=st.sampled_from(get_args(DataType)),
        ),
        max_size=2,
    ),
    on_last_exit=st.sampled_from(["keep", "unsubscribe", "delete"]),
    consent_rule=st.none() | st.builds(ConsentRule, user_field=TEXT),
    removal_guard=st.floats(0, 1),
    created_at=st.just(NOW),
    updated_at=st.just(NOW),
    started_at=st.just(NOW),
)
IMPORTS = st.builds(
    ImportJob,
    **dict.fromkeys(("id", "authorization_id", "client_id"), TEXT),
    lists=st.lists(TEXT, max_size=3),
    keep_updated=st.booleans(),
    interval_seconds=st.integers(60, 10**6),
    activities=st.lists(st.sampled_from(get_args(ActivityKind)), max_size=3),
    since=st.none() | st.just(NOW),
    created_at=st.just(NOW),
    updated_at=st.just(NOW),
)


def sent(job: Any) -> Any:
    """What a browser sends of the form, by input: texts of several lines as one."""
    kinds = {found.name: found.kind for found in inputs(type(job), {})}
    texts = texts_of(job)
    return lambda name: ["\n".join(texts[name])] if kinds[name] == "lines" else texts[name]


@settings(max_examples=60, deadline=None)
@given(EXPORTS | IMPORTS)
def test_a_form_that_is_sent_as_it_was_shown_changes_nothing(job: Any) -> None:
    options, faults = read_options(type(job), sent(job))
    assert faults == []
    assert edited(job, options, NOW) == job


@pytest.mark.parametrize("model", [ExportJob, ImportJob])
def test_every_option_has_an_input(model: Any) -> None:
    found = list(inputs(model, {}))
    assert {option.name for option in found} == set(model.model_fields) - SYSTEM_FIELDS - {"state"}


@pytest.mark.parametrize(
    ("model", "name", "text", "fault"),
    [
        (ImportJob, "interval_seconds", "often", "it should be a number."),
        (ImportJob, "since", "yesterday", "it should be a date, or a date and time."),
        (ExportJob, "removal_guard", "", "it should be a number."),
        (ExportJob, "field_mappings", "city", "'city' is not USER_FIELD=CUSTOM FIELD[:TYPE]"),
    ],
)
def test_what_cannot_be_read_is_named(model: Any, name: str, text: str, fault: str) -> None:
    known = {"interval_seconds": "60", "removal_guard": "0.3"}
    _options, faults = read_options(model, lambda asked: [text if asked == name else known.get(asked, "")])
    assert [(found.field, found.text) for found in faults] == [(name, fault)]


@settings(max_examples=30, deadline=None)
@given(EXPORTS, EXPORTS)
def test_versions_differ_where_options_do(one: ExportJob, other: ExportJob) -> None:
    same = not [*changed_options(option_values(one), option_values(other))]
    assert (version_of(one) == version_of(other)) == same

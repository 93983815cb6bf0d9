"""A job compared with its account: which option a sentence names, and what it proposes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.control import ExportJob, FieldMapping
from streams.cli.job_changes import resets
from streams.cli.job_checks import field_faults, missing_list

NOW = datetime(2026, 5, 2, tzinfo=UTC)


def _job(**options: Any) -> ExportJob:
    ids = {"id": "e", "authorization_id": "a", "client_id": "c", "list_id": "l"}
    return ExportJob(**{**ids, "created_at": NOW, "updated_at": NOW, "started_at": NOW, **options})


def _mapping(custom_field: str, data_type: Any = "Text") -> FieldMapping:
    return FieldMapping(user_field="city", custom_field=custom_field, data_type=data_type)


@pytest.mark.parametrize(
    ("options", "fields", "sentence"),
    [
        ({}, {}, None),
        ({}, {"lyticsaudiences": "MultiSelectMany"}, None),
        ({}, {"lyticsaudiences": "Text"}, "--custom-field-name Lytics Audiences: the list's field is Text"),
        ({"field_mappings": [_mapping("City")]}, {"city": "Text"}, None),
        ({"field_mappings": [_mapping("City")]}, {}, None),
        ({"field_mappings": [_mapping("City", "Date")]}, {"city": "Text"}, "write :Text"),
        ({"field_mappings": [_mapping("Lytics Audiences")]}, {}, "holds the audiences"),
        ({"field_mappings": [_mapping("A"), _mapping("A", "Date")]}, {}, "also writes this field as Text"),
    ],
)
def test_fields_of_another_type_are_named(options: Any, fields: Any, sentence: str | None) -> None:
    found = list(field_faults(_job(**options), fields))
    assert (not found) if sentence is None else (len(found) == 1 and sentence in found[0])


def test_a_missing_list_names_those_that_there_are() -> None:
    assert missing_list("x", "c", {"l1": "News"}).endswith("it has l1 (News).")
    assert missing_list("x", "c", {}).endswith("it has none.")


def test_what_a_replacement_resets_is_what_changes_unnamed() -> None:
    before, after = _job(audiences=["vip"], update_only=True, name="x"), _job(name="y")
    assert list(resets(before, after, {"name"})) == ['audiences: ["vip"] -> []', "update_only: true -> false"]
    assert not list(resets(before, after, {"name", "audiences", "update_only"}))

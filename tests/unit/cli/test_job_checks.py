"""A job compared with its account: which option a sentence names, and what it proposes."""

from datetime import UTC, datetime
from typing import Any

import pytest
import typer
from pydantic import ValidationError

from schemas.control import ExportJob, FieldMapping, ImportJob
from schemas.jobs_file import SYSTEM_FIELDS
from streams.cli.job_changes import option_faults, option_of, resets
from streams.cli.jobs import app
from streams.control.job_checks import field_faults, missing_list
from streams.control.job_edits import consequences
from streams.control.job_writing import faults_of

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
        (
            {"field_mappings": [_mapping("City", "Date")]},
            {"city": "Text"},
            "--field city=City:Date: the list's field is Text; choose this type",
        ),
        ({"field_mappings": [_mapping("Lytics Audiences")]}, {}, "holds the audiences"),
        ({"field_mappings": [_mapping("A"), _mapping("A", "Date")]}, {}, "also writes this field as Text"),
    ],
)
def test_fields_of_another_type_are_named(options: Any, fields: Any, sentence: str | None) -> None:
    form = typer.main.get_group(app).commands["create-export"]
    found = list(option_faults(form, field_faults(_job(**options), fields)))
    assert (not found) if sentence is None else (len(found) == 1 and sentence in found[0])


def test_a_missing_list_names_those_that_there_are() -> None:
    assert missing_list("c", {"l1": "News"}).endswith("it has l1 (News).")
    assert missing_list("c", {}).endswith("it has none.")


def test_what_a_replacement_resets_is_what_changes_unnamed() -> None:
    before, after = _job(audiences=["vip"], update_only=True, name="x"), _job(name="y")
    assert list(resets(before, after, {"name"})) == ['audiences: ["vip"] -> []', "update_only: true -> false"]
    assert not list(resets(before, after, {"name", "audiences", "update_only"}))


@pytest.mark.parametrize(
    ("kind", "wrong", "sentence"),
    [
        ("export", {"on_last_exit": "forget"}, "--on-last-exit forget: it should be 'keep'"),
        ("export", {"consent_to_track": "perhaps"}, "--consent-to-track perhaps: "),
        ("export", {"removal_guard": 2.0}, "--removal-guard 2.0: "),
        ("import", {"activities": ["open", "nonsense"]}, "--activity nonsense: it should be"),
        ("import", {"interval_seconds": 1}, "--interval 1: "),
    ],
)
def test_a_fault_of_a_job_names_the_option_and_what_was_given(kind: str, wrong: Any, sentence: str) -> None:
    form = typer.main.get_group(app).commands[f"create-{kind}"]
    times = {"created_at": NOW, "updated_at": NOW, **({"started_at": NOW, "list_id": "l"} if kind == "export" else {})}
    model: type[ExportJob] | type[ImportJob] = ExportJob if kind == "export" else ImportJob
    with pytest.raises(ValidationError) as caught:
        model(**{"id": "i", "authorization_id": "a", "client_id": "c", **times, **wrong})
    (fault,) = option_faults(form, faults_of(caught.value))
    assert fault.startswith(sentence)
    assert "\n" not in fault


def test_every_field_of_a_job_has_an_option_or_is_the_systems() -> None:
    for kind, model in (("export", ExportJob), ("import", ImportJob)):
        form = typer.main.get_group(app).commands[f"create-{kind}"]
        fields = set(model.model_fields) - SYSTEM_FIELDS
        assert [name for name in fields if not option_of(form, name).startswith("--")] == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({}, {"resubscribe_users": True}, []),
        ({}, {"custom_field_name": "Groups"}, ["'Lytics Audiences' stays on the list"]),
        ({"audiences": ["a", "b"]}, {"audiences": ["b"], "on_last_exit": "delete"}, ["is deleted from the list"]),
        ({"audiences": ["a", "b"]}, {"audiences": ["b", "a", "c"]}, []),
        ({"audiences": []}, {"audiences": ["a"]}, ["stays on the list (on last exit)"]),
        ({"audiences": ["a"]}, {"audiences": []}, []),
    ],
)
def test_an_edit_names_what_it_leads_to_on_the_list(
    before: dict[str, Any], after: dict[str, Any], words: list[str]
) -> None:
    now = datetime.now(UTC)
    base: dict[str, Any] = {"id": "a", "authorization_id": "k", "client_id": "c", "list_id": "l"}
    base |= dict.fromkeys(("created_at", "updated_at", "started_at"), now)
    found = [*consequences(ExportJob(**base, **before), ExportJob(**base, **after))]
    assert len(found) == len(words)
    assert all(text in sentence for text, sentence in zip(words, found, strict=True))

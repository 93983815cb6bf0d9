"""The options of a job as inputs of a form, from the job's model; and back from what was sent. Pure."""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from connectors.control.jobs import ExportOrImportJob
from schemas.control import ConsentRule, FieldMapping
from schemas.jobs_file import SYSTEM_FIELDS
from streams.console.pages.job_forms import label_of
from streams.control.job_checks import JobFault
from streams.control.job_writing import JobModel, field_mapping

NOT_HERE = SYSTEM_FIELDS | {"state"}
"""Fields that are no inputs: the system's, and what Start and Stop change."""


class OptionInput(NamedTuple):
    """One input. `kind`: check, checks, select, lines or text."""

    name: str
    label: str
    kind: str
    note: str
    texts: list[str]
    """What is filled in; of a `check` that is checked `yes`."""
    choices: list[str]


def inputs(model: JobModel, texts: Mapping[str, list[str]], left_out: Collection[str] = ()) -> Iterator[OptionInput]:
    """Yield the inputs of a form, filled in with `texts`. `left_out`: those that the page has in a way of its own."""
    for name, field in model.model_fields.items():
        if name not in NOT_HERE and name not in left_out:
            kind, choices = _kind(field.annotation)
            yield OptionInput(name, label_of(name), kind, field.description or "", texts.get(name, []), choices)


def default_texts(model: JobModel) -> dict[str, list[str]]:
    """Return what a form for a new job is filled in with: the defaults of the model."""
    return {
        name: _texts(field.get_default(call_default_factory=True))
        for name, field in model.model_fields.items()
        if name not in NOT_HERE and not field.is_required()
    }


def texts_of(job: ExportOrImportJob) -> dict[str, list[str]]:
    """Return what a form for this job is filled in with."""
    return {name: _texts(getattr(job, name)) for name in type(job).model_fields if name not in NOT_HERE}


def read_options(
    model: JobModel, texts: Callable[[str], list[str]], left_out: Collection[str] = ()
) -> tuple[dict[str, Any], list[JobFault]]:
    """Return the options that were sent, and what cannot be read. `texts`: an input's values. `left_out`: not read."""
    options: dict[str, Any] = {}
    faults: list[JobFault] = []
    for name, field in model.model_fields.items():
        if name in NOT_HERE or name in left_out:
            continue
        sent = [text.strip() for text in texts(name)]
        try:
            options[name] = _value(field.annotation, sent)
        except ValueError as fault:
            faults.append(JobFault(name, "", f"{fault}"))
    return options, faults


def _kind(annotation: Any) -> tuple[str, list[str]]:
    if annotation is bool:
        return "check", []
    if get_origin(annotation) is Literal:
        return "select", [*get_args(annotation)]
    if get_origin(annotation) is list:
        (of,) = get_args(annotation)
        return ("checks", [*get_args(of)]) if get_origin(of) is Literal else ("lines", [])
    return "text", []


def _texts(value: Any) -> list[str]:
    if isinstance(value, bool):
        return ["yes"] if value else []
    if isinstance(value, list):
        return [_text(part) for part in value]
    return [] if value is None else [_text(value)]


def _text(value: Any) -> str:
    if isinstance(value, FieldMapping):
        return f"{value.user_field}={value.custom_field}:{value.data_type}"
    if isinstance(value, ConsentRule):
        return value.user_field
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _value(annotation: Any, sent: list[str]) -> Any:
    """Return a value of this type. Raises ValueError with a sentence."""
    if annotation is bool:
        return bool(sent and sent[0])
    if get_origin(annotation) is list:
        (of,) = get_args(annotation)
        lines = [line.strip() for text in sent for line in text.splitlines() if line.strip()]
        return [field_mapping(line) for line in lines] if of is FieldMapping else lines
    text = sent[0] if sent else ""
    if get_origin(annotation) in (Union, UnionType) and not text:
        return None
    if _is(annotation, ConsentRule):
        return ConsentRule(user_field=text)
    kind = next((kind for kind in _READ if _is(annotation, kind)), None)
    if kind is None:
        return text
    read, what = _READ[kind]
    try:
        return read(text)
    except ValueError:
        raise ValueError(f"it should be {what}.") from None


_READ: Mapping[type, tuple[Callable[[str], Any], str]] = {
    datetime: (datetime.fromisoformat, "a date, or a date and time"),
    int: (int, "a number"),
    float: (float, "a number"),
}


def _is(annotation: Any, kind: type) -> bool:
    """Return whether a field holds values of this type, maybe with metadata, or none."""
    return annotation is kind or any(_is(part, kind) for part in get_args(annotation))

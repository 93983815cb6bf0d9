"""Jobs as requests and answers hold them. Options are those of the jobs' own models: a new one needs nothing here."""

from typing import Annotated, Any, Literal, Union

from pydantic import Field, RootModel, create_model
from pydantic.fields import FieldInfo

from schemas.control import AnyJob, ExportJob, ImportJob
from schemas.import_task import RunProgress
from streams.console.api.operation import ApiAnswer, PartQuery, RequestBody, RequestQuery

JobId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]

KEPT = frozenset(
    {"id", "kind", "created_at", "updated_at", "started_at", "attention", "full_read", "removals_confirmed_at", "state"}
)
"""Fields that the system keeps, or that have an operation of their own."""


def options(model: type[ExportJob] | type[ImportJob]) -> dict[str, FieldInfo]:
    """Return the fields of a kind of job that people choose."""
    return {name: field for name, field in model.model_fields.items() if name not in KEPT}


def _new(name: str, model: type[ExportJob] | type[ImportJob], kind: Any) -> type[RequestBody]:
    fields: dict[str, Any] = {
        "kind": (kind, ...),
        "id": (JobId | None, Field(default=None, description="Made up without it.")),
        "stopped": (bool, Field(default=False, description="It is made without being started.")),
        **{field: (info.annotation, info) for field, info in options(model).items()},
    }
    made: type[RequestBody] = create_model(
        name, __base__=RequestBody, __doc__=f"{model.__doc__} What is left out has its default.", **fields
    )
    return made


NewExportJob = _new("NewExportJob", ExportJob, Literal["export"])
NewImportJob = _new("NewImportJob", ImportJob, Literal["import"])


class NewJob(RootModel[Annotated[Union[NewExportJob, NewImportJob], Field(discriminator="kind")]]):  # type: ignore[valid-type]  # noqa: UP007  (made above)
    """A job that is made."""


class CheckQuery(RequestQuery):
    """Whether a job is compared with its account first."""

    check: bool = Field(default=True, description="Compare list, fields and types with the account before.")


class JobsQuery(PartQuery):
    """Which jobs."""

    kind: Literal["", "export", "import"] = Field(default="", description="Only these; both without it.")
    state: Literal["", "running", "stopped"] = Field(default="", description="Only those; both without it.")
    attention: bool = Field(default=False, description="Only those that need a person.")


class JobsAnswer(ApiAnswer):
    """Jobs by id."""

    items: list[AnyJob]
    next: str = Field(description="Cursor of the next page; empty on the last one.")


class CheckFault(ApiAnswer):
    """What does not fit."""

    field: str
    given: str
    text: str


class CheckAnswer(ApiAnswer):
    """One thing that was compared, and what is wrong with it."""

    name: str
    faults: list[CheckFault]


class ChecksAnswer(ApiAnswer):
    """A job compared with its account."""

    fits: bool
    checks: list[CheckAnswer]


def _edit() -> type[RequestBody]:
    """Return the options of both kinds of job, none of which has to be there; null: the default again."""
    fields: dict[str, Any] = {}
    for name, info in {**options(ImportJob), **options(ExportJob)}.items():
        described = Field(default=None, description=info.description)
        bounded: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        fields[name] = (bounded | None, described)
    made: type[RequestBody] = create_model(
        "JobEdit", __base__=RequestBody, __doc__="Options of a job that change. Null: the default again.", **fields
    )
    return made


JobEdit = _edit()


class EditAnswer(ApiAnswer):
    """An edited job, and what the edit leads to on its list that the options do not show."""

    job: AnyJob
    consequences: list[str]


class PlanAnswer(ApiAnswer):
    """What an export would do now, in people unless another unit is stated."""

    adds: int
    updates: int
    removals: int
    blocked: int = Field(description="They left at Campaign Monitor.")
    refused: int
    would_resubscribe: int = Field(description="An upper bound.")
    wait_for_confirmation: int
    not_subscribers: int = Field(description="Not added, because the job only updates.")
    unchanged: int
    billable: int = Field(description="Billable contacts that are added; an upper bound.")
    calls: int = Field(description="Calls.")
    fields_missing: list[str] = Field(description="Custom fields that are made.")
    segments_missing: list[str] = Field(description="Segments that are made.")
    options_missing: int = Field(description="Options of the audiences' field that are made.")
    confirmed_opt_in: bool
    nothing_to_do: bool


class DriftAnswer(ApiAnswer):
    """An export's list compared with what was delivered."""

    compared: int
    drifted: int
    waiting: int = Field(description="They are sent anyway.")
    wait_for_confirmation: int
    confirmed_opt_in: bool
    missing: list[str] = Field(description="Addresses; no more than 100 of each kind.")
    different: list[str]
    strangers: list[str]
    sent_again: int = Field(description="People that the worker sends again; 0 unless a repair was asked for.")


class ConfirmedAnswer(ApiAnswer):
    """The removals that go on."""

    list_id: str
    people: int | None = Field(description="Null: they could not be counted.")
    counted: str = Field(description="What the export had counted when it stopped.")
    not_counted: str = Field(description="Why they could not be counted now.")


class RunsAnswer(ApiAnswer):
    """Runs of an import."""

    items: list[RunProgress]

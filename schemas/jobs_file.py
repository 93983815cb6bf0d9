"""Jobs as a file: each job with its id and options, authorization, client and lists by id or by name.

What a job does not name has its default, so the file is all that there is to know about it.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from schemas.control import ExportJob, ImportJob

SYSTEM_FIELDS = frozenset(
    {"id", "kind", "created_at", "updated_at", "started_at", "attention", "full_read", "removals_confirmed_at"}
)
"""Fields of a job that are no options: the system keeps them."""
NAMED_FIELDS = {"authorization": "authorization_id", "client": "client_id", "list": "list_id", "lists": "lists"}
"""A field of the file that takes an id or a name -> the job's field."""


class Declaration(BaseModel):
    """What each job in a file has."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: str = Field(min_length=1, description="The job's id: the same one is the same job.")
    authorization: str = Field(min_length=1, description="Id or description of the authorization to use.")
    client: str = Field(min_length=1, description="Id or name of the Campaign Monitor client.")


def _declaration(model: type[ExportJob] | type[ImportJob], **fields: Any) -> type[Declaration]:
    """Return the model of a job in a file: the options of the job's model, and `fields`."""
    options: dict[str, Any] = {
        name: (field.annotation if not field.metadata else Annotated[field.annotation, *field.metadata], field)
        for name, field in model.model_fields.items()
        if name not in SYSTEM_FIELDS and name not in NAMED_FIELDS.values()
    }
    name = "ExportDeclaration" if model is ExportJob else "ImportDeclaration"
    return create_model(name, __base__=Declaration, __doc__=model.__doc__, **fields, **options)


ExportDeclaration = _declaration(
    ExportJob,
    kind=(Literal["export"], ...),
    list=(str, Field(min_length=1, description="Id or name of the list to export to.")),
)
ImportDeclaration = _declaration(
    ImportJob,
    kind=(Literal["import"], ...),
    lists=(list[str], Field(default_factory=list, description="Ids or names of lists; none = all of the client.")),
)


class AnyDeclaration(RootModel[Annotated[ExportDeclaration | ImportDeclaration, Field(discriminator="kind")]]):  # type: ignore[valid-type]  # made above
    """An export or an import job in a file."""


class JobsFile(BaseModel):
    """The jobs that there are to be."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    jobs: list[AnyDeclaration] = Field(default_factory=list)

"""Why a request was not done, as `application/problem+json` (RFC 9457)."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus

from aiohttp import web
from confluent_kafka import KafkaException
from pydantic import BaseModel, Field, ValidationError

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.control.authorizations import AuthorizationInUseError, NoDescriptionError
from connectors.control.crypto import SealError
from connectors.control.jobs import JobExistsError
from connectors.control.table import UnknownModelError
from connectors.control.users import UserChangeError
from connectors.kafka.publishing import PublishError
from connectors.kafka.read_to_end import ReadError
from connectors.kafka.transaction import TransactionError
from streams.console.access.user_changes import UserFaultError
from streams.control.job_checks import JobFault
from streams.dead_letters.letters import NoDeadLettersError, ReplayError
from streams.export.recovery.reconcile import SnapshotError

MEDIA_TYPE = "application/problem+json"


class ProblemFault(BaseModel):
    """What is wrong with one value of a request."""

    field: str = Field(description="The field, nested ones with dots; empty where it is none of them.")
    given: str = Field(default="", description="What it is about, where that is no secret.")
    text: str = Field(description="What is wrong, in a sentence.")


class Problem(BaseModel):
    """Why a request was not done."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(default="", description="A sentence for people.")
    faults: list[ProblemFault] = Field(default_factory=list)


class ApiRefusal(Exception):  # noqa: N818  (an answer, and no failure)
    """A request that is not done, with its status and a sentence."""

    def __init__(
        self,
        status: int,
        detail: str,
        faults: Iterable[ProblemFault] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.faults, self.headers = status, detail, list(faults), headers or {}


EXCEPTIONS: tuple[tuple[tuple[type[Exception], ...], int], ...] = (
    ((UnknownModelError, NoDeadLettersError), 404),
    ((AuthorizationInUseError, JobExistsError, UserChangeError), 409),
    ((NoDescriptionError, UserFaultError), 422),
    ((CampaignMonitorError,), 502),
)
"""Errors whose text is the sentence -> status."""
NOT_NOW = (PublishError, ReadError, ReplayError, SnapshotError, TransactionError, TimeoutError, KafkaException)


def refusal_of(error: Exception) -> ApiRefusal | None:
    """Return what an error of ours leads to; None for one that nobody expected."""
    if isinstance(error, ApiRefusal):
        return error
    if isinstance(error, ValidationError):
        return ApiRefusal(422, "The request is not as it should be.", validation_faults(error))
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return ApiRefusal(413, "The request is too large.")
    if isinstance(error, SealError):
        return ApiRefusal(503, f"Secrets cannot be used: {error}")
    for errors, status in EXCEPTIONS:
        if isinstance(error, errors):
            return ApiRefusal(status, f"{error.args[0] if error.args else error}")
    if isinstance(error, NOT_NOW):
        return ApiRefusal(503, "Kafka does not answer. Nothing was changed, or it is not known: look again soon.")
    return None


def problem_response(refusal: ApiRefusal) -> web.Response:
    """Return the answer to a request that is not done."""
    problem = Problem(
        title=HTTPStatus(refusal.status).phrase,
        status=refusal.status,
        detail=refusal.detail,
        faults=refusal.faults,
    )
    return web.Response(
        status=refusal.status,
        body=problem.model_dump_json().encode(),
        content_type=MEDIA_TYPE,
        headers=refusal.headers,
    )


def validation_faults(error: ValidationError) -> Iterator[ProblemFault]:
    """Yield what is wrong with each value; the value itself may be a secret, and is left out."""
    for fault in error.errors(include_url=False, include_input=False):
        field = ".".join(str(part) for part in fault["loc"])
        yield ProblemFault(field=field, text=fault["msg"].removeprefix("Value error, ").replace("Input", "it", 1))


def job_faults(faults: Iterable[JobFault]) -> list[ProblemFault]:
    """Return the faults of a job, which name its fields."""
    return [ProblemFault(field=fault.field, given=fault.given, text=fault.text) for fault in faults]

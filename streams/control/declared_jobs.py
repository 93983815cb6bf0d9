"""Jobs as a file: names resolved against the account, what would change, and the file of the jobs that there are."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson
import yaml
from pydantic import ValidationError

from connectors.control.jobs import ExportOrImportJob, Jobs, Seen
from schemas.control import Authorization, ExportJob, ImportJob
from schemas.jobs_file import NAMED_FIELDS, Declaration, JobsFile
from streams.control.accounts import account_clients
from streams.control.job_checks import JobFault
from streams.control.job_edits import OptionChange, StaleEditError, changed_options, edited, option_values, write_edit
from streams.control.job_writing import never_ran, new_job

if TYPE_CHECKING:
    from connectors.campaign_monitor.client.api import CampaignMonitor
    from connectors.control.accounts import OpenApi

_ID = re.compile(r"[0-9a-f]{32}")
"""How ids of Campaign Monitor are: they are not looked up, and a client's own key cannot look up clients."""

Action = Literal["create", "edit", "remove", "unchanged", "not in the file"]


class WrongFileError(ValueError):
    """A file is no file of jobs; the text has a sentence for each fault."""


class UnresolvedNameError(LookupError):
    """A name is nobody's, or that of several; the text is a sentence."""


class PlannedJob(NamedTuple):
    """What happens to one job so that it is as the file has it."""

    action: Action
    job_id: str
    before: ExportOrImportJob | None
    after: ExportOrImportJob | None
    changes: list[OptionChange]


class _Loader(yaml.SafeLoader):
    """YAML in which a key comes once: of two the last would count, and with --prune the jobs of the first would go."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _value in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        for key, count in Counter(keys).items():
            if count > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key} comes {count} times", node.start_mark)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def read_file(text: str) -> list[Declaration]:
    """Return the jobs of a file, in YAML or JSON. Raises WrongFileError."""
    try:
        body = yaml.load(text, _Loader)  # noqa: S506  (it is a safe one)
        found = JobsFile.model_validate_json(orjson.dumps(body if body is not None else {}))
    except (yaml.YAMLError, orjson.JSONEncodeError, RecursionError) as error:
        raise WrongFileError(f"The file is no YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise WrongFileError("\n".join(_faults(error, body))) from None
    declared: list[Declaration] = [entry.root for entry in found.jobs]
    twice = [job_id for job_id, count in Counter(job.id for job in declared).items() if count > 1]
    if twice:
        raise WrongFileError(f"The file has several jobs with the id {', '.join(twice)}")
    return declared


def _faults(error: ValidationError, body: Any) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_input=False):
        where = [str(part) for part in fault["loc"] if part not in ("export", "import")]
        yield f"{'.'.join(where) or 'the file'}: {fault['msg'].removeprefix('Value error, ')}"


def file_of(jobs: Iterable[ExportOrImportJob]) -> str:
    """Return the file of these jobs, in YAML. Options that have their defaults are left out."""
    return yaml.safe_dump({"jobs": [_declared(job) for job in jobs]}, sort_keys=False, allow_unicode=True, width=120)


def _declared(job: ExportOrImportJob) -> dict[str, Any]:
    values = option_values(job)
    fresh = {name: field.get_default(call_default_factory=True) for name, field in type(job).model_fields.items()}
    named = {field: values[name] for field, name in NAMED_FIELDS.items() if values.get(name)}
    options = {
        name: value
        for name, value in values.items()
        if name not in NAMED_FIELDS.values() and getattr(job, name) != fresh[name]
    }
    return {"id": job.id, "kind": job.kind, **named, **options}


async def resolved(
    declared: Declaration, authorizations: Mapping[str, Authorization], open_api: "OpenApi"
) -> dict[str, Any]:
    """Return the options of a declared job as values of its model, names replaced by ids.

    Raises UnresolvedNameError, CampaignMonitorError, LookupError: the account cannot be opened.
    """
    options = {name: getattr(declared, name) for name in type(declared).model_fields if name not in ("id", "kind")}
    chosen = {field: options.pop(field) for field in NAMED_FIELDS if field in options}
    known = [(found.id, found.description) for found in authorizations.values()]
    authorization = pick("authorization", chosen["authorization"], known, or_as_it_is=not authorizations)
    client, api = chosen["client"], _Account(open_api, authorization)
    if not _ID.fullmatch(client):
        found = await account_clients(await api.open())
        client = pick("client", client, [(ref.client_id, ref.name) for ref in found])
    wanted = [chosen["list"]] if "list" in chosen else chosen["lists"]
    if not all(map(_ID.fullmatch, wanted)):
        lists = [(ref.list_id, ref.name) for ref in await (await api.open()).clients.lists(client)]
        wanted = [text if _ID.fullmatch(text) else pick("list", text, lists) for text in wanted]
    ids = {"list_id": wanted[0]} if "list" in chosen else {"lists": wanted}
    return {**options, "authorization_id": authorization, "client_id": client, **ids}


class _Account:
    """An account that is opened when it is needed."""

    def __init__(self, open_api: "OpenApi", authorization_id: str) -> None:
        self._open_api, self._id = open_api, authorization_id

    async def open(self) -> "CampaignMonitor":
        return await self._open_api(self._id)


def pick(what: str, text: str, known: Sequence[tuple[str, str]], *, or_as_it_is: bool = False) -> str:
    """Return the id of what has this id, or else this name. `known`: (id, name). Raises UnresolvedNameError."""
    if or_as_it_is or any(text == found for found, _name in known):
        return text
    ids = [found for found, name in known if name == text]
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise UnresolvedNameError(
            f"{what} {text!r} is the name of several: use one of the ids {', '.join(sorted(ids))}"
        )
    names = ", ".join(f"{found} ({name})" for found, name in known[:10]) or "none"
    raise UnresolvedNameError(f"{what} {text!r} is not there; there are: {names}")


def plan_jobs(
    declared: Mapping[str, tuple[type[ExportJob] | type[ImportJob], Mapping[str, Any]]],
    present: Mapping[str, ExportOrImportJob],
    now: datetime,
    *,
    prune: bool,
) -> list[PlannedJob]:
    """Return what makes the jobs equal to a file. `declared`: by id. Raises ValidationError, WrongFileError (pure)."""
    return [
        *(_planned(job_id, model, options, present.get(job_id), now) for job_id, (model, options) in declared.items()),
        *(
            PlannedJob("remove" if prune else "not in the file", job_id, job, None, [])
            for job_id, job in present.items()
            if job_id not in declared
        ),
    ]


def _planned(
    job_id: str,
    model: type[ExportJob] | type[ImportJob],
    options: Mapping[str, Any],
    before: ExportOrImportJob | None,
    now: datetime,
) -> PlannedJob:
    if before is None:
        job = model(**{**new_job(model, options, job_id, now), "state": options.get("state", "running")})
        return PlannedJob("create", job_id, None, job, [])
    if not isinstance(before, model):
        raise WrongFileError(f"Job {job_id} is an {before.kind} job, and cannot become another kind: use another id")
    after = edited(before, options, now)
    if isinstance(after, ExportJob) and after.state == "running" and never_ran(before):
        after = after.model_copy(update={"started_at": now})
    changes = list(changed_options(option_values(before), option_values(after)))
    return PlannedJob("edit" if changes else "unchanged", job_id, before, after if changes else before, changes)


async def apply_plan(jobs: Jobs, plan: Iterable[PlannedJob]) -> None:
    """Write what was planned, a job at a time.

    Raises StaleEditError, JobExistsError, UnknownJobError, PublishError, TimeoutError.
    """
    for planned in plan:
        if planned.action == "remove" and planned.before is not None:
            await jobs.remove(planned.job_id, seen=_as_planned(planned.before))
        elif planned.action == "create" and planned.after is not None:
            await jobs.add(planned.after)
        elif planned.action == "edit" and planned.after is not None and planned.before is not None:
            await write_edit(jobs, option_values(planned.before), planned.after, keep_state=False)


def _as_planned(before: ExportOrImportJob) -> Seen:
    """Return what raises StaleEditError for a job that was edited since it was planned to be removed."""

    def seen(now: ExportOrImportJob) -> None:
        changes = list(changed_options(option_values(before), option_values(now)))
        if changes:
            raise StaleEditError(changes)

    return seen


def named_faults(job_id: str, faults: Iterable[JobFault]) -> Iterator[str]:
    """Yield `job: field value: what is wrong` for each fault of a job."""
    for fault in faults:
        yield f"{job_id}: " + " ".join(
            filter(None, [fault.field, f"{fault.given}:" if fault.given else "", fault.text])
        )

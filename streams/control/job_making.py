"""A new job: checked by its model and by its account, and written once however often it is asked for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.control.authorizations import Authorizations
from connectors.control.jobs import ExportOrImportJob
from streams.control.job_checks import JobCheck, JobFault, compared, permitted
from streams.control.job_writing import JobModel, account_faults, faults_of, new_job, now_in_millis

if TYPE_CHECKING:
    from connectors.control.accounts import OpenApi


async def fitting_job(
    authorizations: Authorizations,
    open_api: "OpenApi",
    model: JobModel,
    options: Mapping[str, Any],
    job_id: str,
    *,
    stopped: bool = False,
    check: bool = True,
) -> ExportOrImportJob | list[JobFault]:
    """Return the job that options describe, or what is wrong with it; nothing is written.

    Without `check` the account is not compared with it.
    """
    try:
        job = model(**new_job(model, options, job_id, now_in_millis(), stopped=stopped))
    except ValidationError as error:
        return list(faults_of(error))
    try:
        authorizations.known(job.authorization_id)
        return (await account_faults(job, open_api) if check else []) or job
    except (CampaignMonitorError, LookupError) as fault:
        return [JobFault("authorization_id", "", f"it cannot be read: {fault}")]


async def checked_job(job: ExportOrImportJob, open_api: "OpenApi") -> list[JobCheck]:
    """Compare a job with its account: it can be reached, lists are there, fields fit, permissions are granted.

    Nothing is changed, there or here.
    """
    try:
        api = await open_api(job.authorization_id)
        checks = await compared(job, api)
        if not any(check.faults for check in checks):
            checks += await permitted(job, api)
    except (CampaignMonitorError, LookupError) as fault:
        return [JobCheck("account", [JobFault("authorization_id", job.authorization_id, str(fault))])]
    return [JobCheck("account", []), *checks]

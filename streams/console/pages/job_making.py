"""A job from a filled-in form: checked by its model and by the account, and written once however often it is sent."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.control.jobs import ExportOrImportJob
from streams.console.context import Console
from streams.control.job_checks import JobFault
from streams.control.job_writing import JobModel, account_faults, faults_of, new_job, now_in_millis

_JOB_ID = re.compile(r"(export|import)-[0-9a-f]{8}")


async def checked_job(
    console: Console, model: JobModel, options: Mapping[str, Any], job_id: str
) -> ExportOrImportJob | list[JobFault]:
    """Return the job that a form describes, or what is wrong with it; nothing is written."""
    if not _JOB_ID.fullmatch(job_id):
        return [JobFault("", "", "The form is not complete: open the page again.")]
    try:
        job = model(**new_job(model, options, job_id, now_in_millis()))
    except ValidationError as error:
        return list(faults_of(error))
    try:
        console.authorizations.known(job.authorization_id)
        return await account_faults(job, console.apis.api) or job
    except (CampaignMonitorError, LookupError) as fault:
        return [JobFault("authorization_id", "", f"it cannot be read: {fault}")]


async def made_job(
    console: Console, model: JobModel, options: Mapping[str, Any], job_id: str
) -> ExportOrImportJob | list[JobFault]:
    """Write a new job that runs, and return it; or what is wrong, and nothing is written.

    `job_id` was made with the form: when it is sent again, the job that it made is returned.
    Raises PublishError, TimeoutError.
    """
    if (before := console.jobs.get(job_id)) is not None:
        return before
    job = await checked_job(console, model, options, job_id)
    return job if isinstance(job, list) else await console.jobs.put(job)

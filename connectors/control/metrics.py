"""Jobs and authorizations as metrics. Every process that reads them shows the same numbers: take max, not sum."""

from collections import Counter
from typing import Literal

from connectors.control.authorizations import Authorizations
from connectors.control.jobs import Jobs
from connectors.metrics import ScrapedGauge, ScrapedValues

JOBS = ScrapedGauge(
    "cm_streams_jobs",
    "Jobs by kind and state. Every process shows all of them: take max, not sum.",
    ("kind", "state"),
    unite="max",
)
ATTENTION = ScrapedGauge(
    "cm_streams_job_needs_attention",
    "1 for each running job for which a person has to do something; its page and cm-streams job list name what.",
    ("job", "kind"),
    unite="max",
)
AUTHORIZATIONS = ScrapedGauge(
    "cm_streams_authorizations",
    "Authorizations by state. needs_attention: its access was refused, and jobs that use it wait for a person.",
    ("state",),
    unite="max",
)
EXPIRY = ScrapedGauge(
    "cm_streams_authorization_expiry_timestamp_seconds",
    "Unix time at which an OAuth access token ends. It is refreshed well before: in the past means that the refresh "
    "fails or that nothing uses it. Absent for API keys, which do not expire.",
    ("authorization",),
    unite="max",
)

ACCESS_STATES: tuple[Literal["ready", "needs_attention"], ...] = ("ready", "needs_attention")


class ControlMetrics:
    """Shows what two tables hold, until `end`."""

    def __init__(self, jobs: Jobs, authorizations: Authorizations) -> None:
        self._jobs = jobs
        self._authorizations = authorizations
        self._shown = (
            (JOBS, self._states),
            (ATTENTION, self._attention),
            (AUTHORIZATIONS, self._access),
            (EXPIRY, self._expiry),
        )
        for gauge, read in self._shown:
            gauge.add(read)

    def end(self) -> None:
        """Show nothing any more."""
        for gauge, read in self._shown:
            gauge.remove(read)

    def _states(self) -> ScrapedValues:
        found = Counter((job.kind, job.state) for job in self._jobs.all().values())
        return [
            ((kind, state), found[kind, state]) for kind in ("export", "import") for state in ("running", "stopped")
        ]

    def _attention(self) -> ScrapedValues:
        running = [job for job in self._jobs.all().values() if job.state == "running"]
        return [((job.id, job.kind), job.attention is not None) for job in running]

    def _access(self) -> ScrapedValues:
        found = Counter(access.state for access in self._authorizations.all().values())
        return [((state,), found[state]) for state in ACCESS_STATES]

    def _expiry(self) -> ScrapedValues:
        expiries = {name: self._authorizations.expires_at(name) for name in self._authorizations.all()}
        return [((name,), at) for name, at in expiries.items() if at is not None]

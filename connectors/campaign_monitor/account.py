"""One account: the way of every call, from a request to the body of a good answer or an exception."""

import time
from dataclasses import replace

from pydantic import SecretStr

from connectors.campaign_monitor import metrics
from connectors.campaign_monitor.client.requests import Budget, Request
from connectors.campaign_monitor.client.transport import Answer, Transport
from connectors.campaign_monitor.credentials import CampaignMonitorSettings, Credential
from connectors.campaign_monitor.errors.exceptions import ApiError, CampaignMonitorError, error_of
from connectors.campaign_monitor.errors.verdicts import Unauthorised
from connectors.campaign_monitor.limits.allowance import read_signal
from connectors.campaign_monitor.limits.limiter import Limiter, Priority


class Account:
    """A credential with its connection pool and its limits; a `Caller` for the endpoints."""

    def __init__(
        self,
        transport: Transport,
        credential: Credential,
        settings: CampaignMonitorSettings,
        limiter: Limiter,
        *,
        priority: Priority = "live",
    ) -> None:
        self._transport = transport
        self._credential = credential
        self._settings = settings
        self.limiter = limiter
        self._priority = priority

    def with_priority(self, priority: Priority) -> "Account":
        """Return the same account, waiting with another priority at the same limiter."""
        return Account(self._transport, self._credential, self._settings, self.limiter, priority=priority)

    async def call(self, request: Request) -> bytes:
        """Make one attempt, and one replay when the token had to be renewed. Waits for its turn at the limiter.

        Returns the body of a 2xx answer. Raises `errors.CampaignMonitorError`.
        """
        try:
            header, answer, error = await self._turn(request)
            if (
                error is not None
                and isinstance(error.verdict, Unauthorised)
                and await self._credential.renewed(header, error.verdict)
            ):
                _, answer, error = await self._turn(request)
            if error is not None:
                raise error
        except CampaignMonitorError as refused:
            if isinstance(refused.verdict, Unauthorised) and not refused.verdict.problem:
                refused.verdict = replace(refused.verdict, problem=self._credential.refused(refused.verdict))
            raise
        self._credential.accepted()
        return answer.body

    def wait(self) -> float:
        """Return the seconds until a call may start; 0 = now, infinity = once one in flight was answered."""
        return self.limiter.wait()

    async def _turn(self, request: Request) -> tuple[SecretStr, Answer, ApiError | None]:
        asked = time.monotonic()
        async with self.limiter.slot(request.list_id, self._priority) as slot:
            metrics.LIMITER_WAIT.observe(time.monotonic() - asked)
            header = await self._credential.header()
            with metrics.measured(request.operation) as call:
                answer = await self._transport.send(
                    request.method,
                    request.url(self._settings.base_url),
                    operation=request.operation,
                    seconds=self._seconds(request.budget),
                    authorization=header,
                    body=request.body,
                )
                slot.answered(read_signal(answer.status, answer.headers, answer.body))
                call.error = self._error(request, answer)
        return header, answer, call.error

    def _seconds(self, budget: Budget) -> float:
        match budget:
            case "import":
                return self._settings.import_timeout_seconds
            case "segment":
                return self._settings.segment_timeout_seconds
            case "read":
                return self._settings.read_timeout_seconds

    def _error(self, request: Request, answer: Answer) -> ApiError | None:
        if 200 <= answer.status < 300:
            return None
        body = answer.body
        private = (*(secret.get_secret_value() for secret in self._credential.secrets()), *request.private)
        for text in filter(None, private):  # an error may quote the request, and its text goes to logs
            body = body.replace(text.encode(), b"***")
        return error_of(request.operation, answer.status, body, answer.headers)

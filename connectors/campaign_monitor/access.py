"""Access that is refused: the sentence that names the authorization and what repairs it, and when it is reported."""

from collections.abc import Callable

from connectors.campaign_monitor.errors.verdicts import Unauthorised

LOG_IN, STORE_KEY = "cm-streams auth login {}", "cm-streams auth add --id {}"
"""The commands that repair an authorization."""
ReportProblem = Callable[[str | None], None]
"""Called when a credential begins to be refused, with what a person has to do, and with None when it works."""


class Reported:
    """A credential of an authorization, which reports when it begins or ends to be refused.

    A permission that is missing concerns some calls only: it is returned, and not reported.
    """

    def __init__(self, authorization: str, report: ReportProblem, *, oauth: bool) -> None:
        self._authorization = authorization
        self._report = report
        self._oauth = oauth
        self._reported: str | None = ""  # neither: what an earlier process reported is not known

    def accepted(self) -> None:
        """Report that it works, at the first call and after a refusal."""
        if self._reported is not None:
            self._reported = None
            self._report(None)

    def refused(self, verdict: Unauthorised) -> str:
        """Report what a person has to do, and return it."""
        problem = access_problem(self._authorization, verdict, oauth=self._oauth)
        if verdict.remedy != "scope" and self._reported != problem:
            self._reported = problem
            self._report(problem)
        return problem


def access_problem(authorization: str, verdict: Unauthorised, *, oauth: bool) -> str:
    """Return what is wrong with an authorization's access, and the command that repairs it; without one, CM_API_KEY."""
    again = f"log in again with `{LOG_IN.format(authorization)}`"
    if not authorization:
        return f"Campaign Monitor does not accept the API key (code {verdict.code}): set CM_API_KEY to another one"
    if not oauth:
        again = f"store another one with `{STORE_KEY.format(authorization)}`"
        return f"Campaign Monitor does not accept the API key of {authorization} (code {verdict.code}): {again}"
    match verdict.code, verdict.remedy:
        case _, "scope":
            return (
                f"Authorization {authorization} lacks a permission (code 60): {again}, and allow all that is asked for"
            )
        case 122, _:
            return f"The access of authorization {authorization} was revoked at Campaign Monitor (code 122): {again}"
        case 121 | None, _:
            return f"The access of authorization {authorization} has expired, and cannot be refreshed: {again}"
        case code, _:
            return f"Campaign Monitor does not know the token of authorization {authorization} (code {code}): {again}"


def asks_for_access(text: str, authorization: str) -> bool:
    """Return whether a sentence names the command that repairs this authorization."""
    return any(f"`{command.format(authorization)}`" in text for command in (LOG_IN, STORE_KEY))

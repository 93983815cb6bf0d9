"""Who uses the console: the caller, and the tokens of programs."""

from pydantic import Field

from schemas.control import ConsoleToken, Role
from schemas.envelope import Instant
from streams.console.access.rules import form_token
from streams.console.api.operation import ApiAnswer, Call, Found, Operation, PartQuery, RequestBody
from streams.console.api.paging import part_of
from streams.control.job_writing import now_in_millis
from streams.control.tokens import make_token


class CallerAnswer(ApiAnswer):
    """Who asks."""

    name: str = Field(description="A user's name, or `token:` and a token's id.")
    role: Role
    form_token: str = Field(description="For changes by session, in X-Form-Token; empty for tokens.", repr=False)


class TokenAnswer(ApiAnswer):
    """A token without its secret."""

    id: str
    description: str
    role: Role
    made_by: str
    made_at: Instant
    ends_at: Instant | None


class TokensAnswer(ApiAnswer):
    """Tokens by id."""

    items: list[TokenAnswer]
    next: str = Field(description="Cursor of the next page; empty on the last one.")


class NewTokenRequest(RequestBody):
    """A token that is made."""

    description: str = Field(min_length=1, max_length=200, description="What uses it.")
    role: Role
    days: int | None = Field(default=None, ge=1, le=3650, description="It ends after so many; without it, never.")


class NewTokenAnswer(TokenAnswer):
    """A token that was made."""

    token: str = Field(
        description="What the program sends as `Authorization: Bearer`; it is not shown again.", repr=False
    )


async def show_me(call: Call) -> CallerAnswer:
    """Show who asks."""
    caller = call.caller
    given = "" if not caller.cookie else form_token(call.console.key, caller.cookie)
    return CallerAnswer(name=caller.name, role=caller.role, form_token=given)


async def list_tokens(call: Call) -> TokensAnswer:
    """List tokens, without their secrets."""
    query = call.asked(PartQuery)
    part = part_of(call.console.users.tokens().values(), lambda token: token.id, query.cursor, query.limit)
    return TokensAnswer(items=[_answer(token) for token in part.items], next=part.next)


async def create_token(call: Call) -> Found:
    """Make a token. It is shown in this answer only."""
    new = call.sent(NewTokenRequest)
    made = await make_token(call.console.users, new.description, new.role, call.caller.name, now_in_millis(), new.days)
    answer = NewTokenAnswer(**_answer(made.stored).model_dump(), token=made.text)
    return Found(answer, location=f"/tokens/{made.stored.id}")


async def revoke_token(call: Call) -> None:
    """Revoke a token: it is refused from now on."""
    await call.console.users.revoke(call.part("token"))


def _answer(token: ConsoleToken) -> TokenAnswer:
    return TokenAnswer(**token.model_dump(include=set(TokenAnswer.model_fields)))


OPERATIONS = (
    Operation(method="GET", path="/me", needs="viewer", handle=show_me, answer=CallerAnswer),
    Operation(method="GET", path="/tokens", needs="admin", handle=list_tokens, query=PartQuery, answer=TokensAnswer),
    Operation(
        method="POST",
        path="/tokens",
        needs="admin",
        handle=create_token,
        body=NewTokenRequest,
        answer=NewTokenAnswer,
        status=201,
    ),
    Operation(method="DELETE", path="/tokens/{token}", needs="admin", handle=revoke_token),
)

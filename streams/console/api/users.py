"""Users of the console: listed, added, changed, removed."""

from pydantic import Field

from schemas.control import ConsoleUser, Role
from schemas.envelope import Instant
from streams.console.access.user_changes import add_user, change_user
from streams.console.api.operation import ApiAnswer, Call, Found, Operation, PartQuery, RequestBody
from streams.console.api.paging import part_of


class UserAnswer(ApiAnswer):
    """A user without the password."""

    name: str
    role: Role
    updated_at: Instant


class UsersAnswer(ApiAnswer):
    """Users by name."""

    items: list[UserAnswer]
    next: str = Field(description="Cursor of the next page; empty on the last one.")


class NewUserRequest(RequestBody):
    """A user who is added."""

    name: str = Field(max_length=64, description="1 to 64 of a-z, 0-9 and . _ -, beginning with a letter or a digit.")
    role: Role
    password: str = Field(max_length=1_024, repr=False, description="12 characters at least.")


class UserChangeRequest(RequestBody):
    """What changes of a user; null: as it is."""

    role: Role | None = None
    password: str | None = Field(
        default=None, max_length=1_024, repr=False, description="It ends the user's sessions, also when it is the same."
    )


async def list_users(call: Call) -> UsersAnswer:
    """List who may log in to the console."""
    query = call.asked(PartQuery)
    part = part_of(call.console.users.all().values(), lambda user: user.name, query.cursor, query.limit)
    return UsersAnswer(items=[_answer(user) for user in part.items], next=part.next)


async def create_user(call: Call) -> Found:
    """Add a user, who logs in with this password."""
    console, new = call.console, call.sent(NewUserRequest)
    user = await add_user(console.users, console.passwords, new.name, new.role, new.password)
    return Found(_answer(user), location=f"/users/{user.name}")


async def edit_user(call: Call) -> UserAnswer:
    """Give a user another role, which counts at the next request, or another password."""
    console, change = call.console, call.sent(UserChangeRequest)
    changed = await change_user(console.users, console.passwords, call.part("user"), change.role, change.password)
    return _answer(changed)


async def remove_user(call: Call) -> None:
    """Remove a user, whose sessions end at once. The last admin stays."""
    await call.console.users.take_away(call.part("user"))


def _answer(user: ConsoleUser) -> UserAnswer:
    return UserAnswer(**user.model_dump(include=set(UserAnswer.model_fields)))


OPERATIONS = (
    Operation(method="GET", path="/users", needs="admin", handle=list_users, query=PartQuery, answer=UsersAnswer),
    Operation(
        method="POST",
        path="/users",
        needs="admin",
        handle=create_user,
        body=NewUserRequest,
        answer=UserAnswer,
        status=201,
    ),
    Operation(
        method="PATCH",
        path="/users/{user}",
        needs="admin",
        handle=edit_user,
        body=UserChangeRequest,
        answer=UserAnswer,
    ),
    Operation(method="DELETE", path="/users/{user}", needs="admin", handle=remove_user),
)

"""Users: who may log in, with which role; add, change, remove."""

from typing import get_args

from aiohttp import web

from connectors.control.users import UserChangeError
from schemas.control import ConsoleUser, Role
from streams.console.access.rules import password_fault, user_fault
from streams.console.context import Route, Visit, go_to
from streams.control.job_writing import now_in_millis

ROLES: dict[str, Role] = {role: role for role in get_args(Role)}


async def show(visit: Visit, status: int = 200, fault: str = "") -> web.StreamResponse:
    """Show all users."""
    return visit.page("users.html", status, users=visit.console.users.all().values(), roles=list(ROLES), fault=fault)


async def add(visit: Visit) -> web.StreamResponse:
    """Add a user."""
    console, name, password = visit.console, visit.text("name").lower(), str(visit.form.get("password", ""))
    role = ROLES.get(visit.text("role"))
    fault = user_fault(name, password)
    if role is None or fault:
        return await show(visit, 422, f"{fault or 'There is no such role'}.")
    hashed = await console.passwords.hashed(password)
    user = ConsoleUser(name=name, role=role, password_hash=hashed, updated_at=now_in_millis())
    try:
        await console.users.put(user, new=True)
    except UserChangeError as refusal:
        return await show(visit, 409, f"{refusal}.")
    return go_to("/users")


async def change(visit: Visit) -> web.StreamResponse:
    """Give a user another role, and another password where one is filled in; that ends the user's sessions."""
    console, password = visit.console, str(visit.form.get("password", ""))
    user = console.users.known(visit.request.match_info["id"])
    role = ROLES.get(visit.text("role"))
    fault = password_fault(user.name, password) if password else None
    if role is None or fault:
        return await show(visit, 422, f"{fault or 'There is no such role'}.")
    update: dict[str, object] = {"role": role, "updated_at": now_in_millis()}
    if password:
        update["password_hash"] = await console.passwords.hashed(password)
    try:
        await console.users.put(user.model_copy(update=update), new=False)
    except UserChangeError as refusal:
        return await show(visit, 409, f"{refusal}.")
    return go_to("/users")


async def remove(visit: Visit) -> web.StreamResponse:
    """Remove a user, whose sessions end at once."""
    try:
        await visit.console.users.take_away(visit.request.match_info["id"])
    except UserChangeError as refusal:
        return await show(visit, 409, f"{refusal}.")
    return go_to("/users")


ROUTES = (
    Route("GET", "/users", "admin", show),
    Route("POST", "/users", "admin", add),
    Route("POST", "/users/{id}", "admin", change),
    Route("POST", "/users/{id}/remove", "admin", remove),
)

"""Users: who may log in, with which role; add, change, remove."""

from collections.abc import Awaitable
from typing import get_args

from aiohttp import web

from connectors.control.users import UserChangeError
from schemas.control import ConsoleUser, Role
from streams.console.access.user_changes import UserFaultError, add_user, change_user
from streams.console.context import Route, Visit, go_to

ROLES: dict[str, Role] = {role: role for role in get_args(Role)}
NO_ROLE = "There is no such role."


async def show(visit: Visit, status: int = 200, fault: str = "") -> web.StreamResponse:
    """Show all users."""
    return visit.page("users.html", status, users=visit.console.users.all().values(), roles=list(ROLES), fault=fault)


async def add(visit: Visit) -> web.StreamResponse:
    """Add a user."""
    console, role = visit.console, ROLES.get(visit.text("role"))
    if role is None:
        return await show(visit, 422, NO_ROLE)
    name, password = visit.text("name").lower(), str(visit.form.get("password", ""))
    return await _changed(visit, add_user(console.users, console.passwords, name, role, password))


async def change(visit: Visit) -> web.StreamResponse:
    """Give a user another role, and another password where one is filled in; that ends the user's sessions."""
    console, role = visit.console, ROLES.get(visit.text("role"))
    if role is None:
        return await show(visit, 422, NO_ROLE)
    name, password = visit.request.match_info["id"], str(visit.form.get("password", "")) or None
    return await _changed(visit, change_user(console.users, console.passwords, name, role, password))


async def _changed(visit: Visit, change: Awaitable[ConsoleUser]) -> web.StreamResponse:
    try:
        await change
    except UserFaultError as fault:
        return await show(visit, 422, f"{fault}.")
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

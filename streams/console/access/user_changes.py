"""Users added and changed: names and passwords are checked, and passwords hashed, for pages and programs alike."""

from connectors.control.users import Users
from schemas.control import ConsoleUser, Role
from streams.console.access.passwords import Passwords
from streams.console.access.rules import password_fault, user_fault
from streams.control.job_writing import now_in_millis


class UserFaultError(ValueError):
    """A name or a password is not taken; the text is the sentence without its full stop."""


async def add_user(users: Users, passwords: Passwords, name: str, role: Role, password: str) -> ConsoleUser:
    """Add a user. Raises UserFaultError, UserChangeError, PublishError, TimeoutError."""
    fault = user_fault(name, password)
    if fault:
        raise UserFaultError(fault)
    hashed = await passwords.hashed(password)
    user = ConsoleUser(name=name, role=role, password_hash=hashed, updated_at=now_in_millis())
    await users.add(user)
    return user


async def change_user(
    users: Users, passwords: Passwords, name: str, role: Role | None, password: str | None
) -> ConsoleUser:
    """Give a user another role, another password, or both; another password ends the user's sessions.

    Raises UserFaultError, UserChangeError, UnknownUserError, PublishError, TimeoutError.
    """
    users.known(name)  # before its password is hashed
    fault = password_fault(name, password) if password is not None else None
    if fault:
        raise UserFaultError(fault)
    update: dict[str, object] = {"updated_at": now_in_millis()}
    if role is not None:
        update["role"] = role
    if password is not None:
        update["password_hash"] = await passwords.hashed(password)
    return await users.change(name, **update)

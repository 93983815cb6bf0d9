"""The same world as the integration tests of profiles."""

from tests.integration.profile.conftest import world

__all__ = ["world"]

"""Both kinds of a profile's fields: what holds of one must hold of the other."""

import pytest

from streams.mapping import fields
from streams.mapping.fields import reference

MODULES = [reference]
if fields.COMPILED:
    from streams.mapping.fields import native

    MODULES.append(native)

KINDS = pytest.mark.parametrize("kind", MODULES, ids=[module.__name__.rpartition(".")[2] for module in MODULES])

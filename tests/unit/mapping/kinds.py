"""Both kinds of a profile's fields: what holds of one must hold of the other."""

import pytest

from streams.domain.mapping import fields, merge

MODULES = [merge]
if fields.COMPILED:
    from streams.domain.mapping import compact

    MODULES.append(compact)

KINDS = pytest.mark.parametrize("kind", MODULES, ids=[module.__name__.rpartition(".")[2] for module in MODULES])

"""The pass over people of the common kind is compiled, and its receipts in C are those in Python."""

import shutil
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.export.rules.flat_import import FlatImport
from streams.export.sending import flat_calls
from streams.export.sending.direct_queue import FlatAnswer
from streams.export.sending.flat_calls import receipts_of
from tests.unit.export.rules.test_flat_import import CONTEXT, SOURCE, exports_of, plan_of


def test_it_is_compiled_where_there_is_a_compiler() -> None:
    assert flat_calls.native_flat is not None or shutil.which("cc") is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 20_000)), max_size=5),
    st.integers(0, 6),
    st.sampled_from(["job-1", "j" * 120, "b\u00e9", 'a"b']),
    st.sampled_from(["audience-membership", "t" * 120]),
)
def test_receipts_in_c_are_those_in_python(people: list[Any], new: int, job: str, topic: str) -> None:
    plan = plan_of(exports_of({"id": job}), frozenset())
    context = replace(CONTEXT, source_topic=topic)
    made = [
        FlatImport(f"p{at}@example.com".encode(), b"", b"", known, had, [(at, appended, enters)], ["VIP"])
        for at, (known, had, enters, appended) in enumerate(people)
    ]
    with pytest.MonkeyPatch.context() as patch:
        native = receipts_of(context, plan, made, FlatAnswer(new=new), SOURCE, 9_999)
        patch.setattr(flat_calls, "native_receipts", None)
        assert receipts_of(context, plan, made, FlatAnswer(new=new), SOURCE, 9_999) == native

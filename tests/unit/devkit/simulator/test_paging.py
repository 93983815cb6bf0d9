import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.devkit.simulator.protocol.errors import ApiError
from connectors.devkit.simulator.protocol.paging import PageRequest, envelope, read_page


@given(st.integers(0, 500), st.integers(10, 120), st.booleans())
def test_the_pages_together_are_everything_once(total, size, descending):
    everything, found = list(range(total)), []
    pages = envelope([], PageRequest(1, size, "email", descending), total)["NumberOfPages"]
    for page in range(1, pages + 2):
        request = PageRequest(page, size, "email", descending)
        start, stop = request.window(total)
        rows = everything[start:stop]
        found += rows[::-1] if descending else rows
        assert len(rows) == (size if page < pages else total - size * (pages - 1) if page == pages else 0)
    assert found == (everything[::-1] if descending else everything)


def test_defaults_and_case():
    assert read_page({}, ("date", "email")) == PageRequest(1, 1000, "date", False)
    assert read_page({"orderfield": "EMAIL", "orderdirection": "DESC"}, ("date", "email")) == PageRequest(
        1, 1000, "email", True
    )
    assert read_page({"page": "", "pagesize": ""}, ("date",), descending=True) == PageRequest(1, 1000, "date", True)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"page": "0"}, 800),
        ({"page": "-1"}, 800),
        ({"page": "x"}, 800),
        ({"pagesize": "9"}, 801),
        ({"pagesize": "1001"}, 801),
        ({"orderfield": "size"}, 802),
        ({"orderdirection": "down"}, 803),
    ],
)
def test_refusals(query, code):
    with pytest.raises(ApiError) as refused:
        read_page(query, ("date", "email"))
    assert (refused.value.code, refused.value.status) == (code, 400)


def test_spelling_of_the_families():
    request = PageRequest(2, 10, "date", True)
    assert envelope([1], request, 11) == {
        "Results": [1], "ResultsOrderedBy": "date", "OrderDirection": "desc", "PageNumber": 2, "PageSize": 10,
        "RecordsOnThisPage": 1, "TotalNumberOfRecords": 11, "NumberOfPages": 2,
    }  # fmt: skip
    assert envelope([], request, 0, field="SentDate", upper=True)["OrderDirection"] == "DESC"

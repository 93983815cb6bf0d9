from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.devkit.simulator.data import roster
from connectors.devkit.simulator.data.roster import OrderedRows

KEYS = st.dictionaries(st.integers(0, 400), st.integers(0, 50), max_size=200)


@given(KEYS, st.data())
@settings(max_examples=60)
def test_behaves_like_a_sorted_list(keys, data):
    def key(row):
        return keys[row], row

    start = data.draw(st.sets(st.sampled_from(sorted(keys)) if keys else st.nothing()))
    order, model = OrderedRows(key, start), sorted(start, key=key)
    for row in data.draw(st.lists(st.sampled_from(sorted(keys)), max_size=60)) if keys else []:
        if row in model:
            order.remove(row)
            model.remove(row)
        else:
            order.add(row)
            model = sorted([*model, row], key=key)
    assert len(order) == len(model)
    assert order.slice(0, len(model) + 5) == model
    first, last = data.draw(st.integers(0, 210)), data.draw(st.integers(0, 210))
    assert order.slice(first, last) == model[first:last]
    bound = (data.draw(st.integers(0, 51)), -1)
    assert order.position(bound) == sum(key(row) < bound for row in model)


def test_chunks_split_and_vanish(monkeypatch):
    monkeypatch.setattr(roster, "_CHUNK", 3)
    order = OrderedRows(lambda row: row, [])
    for row in (7, 1, 9, 3, 5, 2, 8, 4, 6, 0):
        order.add(row)
    assert order.slice(0, 10) == list(range(10))
    for row in (0, 9, 4, 5, 6, 1, 2, 3):
        order.remove(row)
    assert order.slice(0, 10) == [7, 8]
    assert order.position(8) == 1


def test_a_row_that_is_not_there_cannot_be_removed():
    order = OrderedRows(lambda row: row, [1, 3])
    for row in (0, 2, 4):
        try:
            order.remove(row)
        except ValueError:
            continue
        raise AssertionError(row)

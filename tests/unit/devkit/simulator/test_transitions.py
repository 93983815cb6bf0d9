"""Row by row, the table of the subscriber's states."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.devkit.simulator.data.transitions import REFUSALS, Outcome, State, leave, submit


def put(current, suppressed=False, by_suppression=False, resubscribe=False, confirmed=False):
    return submit(
        current,
        suppressed=suppressed,
        by_suppression=by_suppression,
        resubscribe=resubscribe,
        confirmed_opt_in=confirmed,
    )


def test_new_addresses():
    assert put(None) == Outcome(State.ACTIVE, "Subscribe")
    assert put(None, confirmed=True) == Outcome(State.UNCONFIRMED, None)
    assert put(None, suppressed=True).refusal == 204
    assert put(None, suppressed=True, resubscribe=True) == Outcome(State.ACTIVE, "Subscribe")


def test_active_subscribers_are_edited():
    assert put(State.ACTIVE) == Outcome(State.ACTIVE, "Update")
    assert put(State.ACTIVE, confirmed=True) == Outcome(State.ACTIVE, "Update")
    assert put(State.ACTIVE, suppressed=True).refusal == 204


@pytest.mark.parametrize(
    ("state", "code"), [("DELETED", 205), ("UNSUBSCRIBED", 206), ("BOUNCED", 207), ("UNCONFIRMED", 208)]
)
def test_inactive_ones_stay_as_they_are(state, code):
    assert put(State[state]) == Outcome(None, None, code)
    assert put(State[state], resubscribe=True) == Outcome(State.ACTIVE, "Subscribe")
    assert put(State[state], resubscribe=True, confirmed=True) == Outcome(State.UNCONFIRMED, None)
    assert put(State[state], suppressed=True).refusal == code
    assert put(State[state], suppressed=True, by_suppression=True).refusal == 204


@given(st.sampled_from([None, *State]), st.booleans(), st.booleans(), st.booleans())
def test_nobody_inactive_becomes_active_without_resubscribe(current, suppressed, by_suppression, confirmed):
    outcome = put(current, suppressed, by_suppression, False, confirmed)
    if current in REFUSALS or suppressed:
        assert outcome.state is None
        assert outcome.refusal in {204, *REFUSALS.values()}


def test_leaving():
    assert leave(State.ACTIVE, State.UNSUBSCRIBED) == (State.UNSUBSCRIBED, "Deactivate")
    assert leave(State.UNCONFIRMED, State.UNSUBSCRIBED) == (State.UNSUBSCRIBED, None)
    assert leave(State.ACTIVE, State.DELETED) == (State.DELETED, "Deactivate")
    assert leave(State.BOUNCED, State.DELETED) == (State.DELETED, None)
    for gone in (State.UNSUBSCRIBED, State.BOUNCED, State.DELETED):
        assert leave(gone, State.UNSUBSCRIBED) is None
        assert leave(State.DELETED, gone) is None

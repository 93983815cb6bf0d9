"""Row by row, the table of the subscriber's states."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.devkit.simulator.data.transitions import (
    REFUSALS,
    SimulatedState,
    SubmissionOutcome,
    outcome_of_removal,
    outcome_of_submission,
)


def put(current, suppressed=False, by_suppression=False, resubscribe=False, confirmed=False):
    return outcome_of_submission(
        current,
        suppressed=suppressed,
        by_suppression=by_suppression,
        resubscribe=resubscribe,
        confirmed_opt_in=confirmed,
    )


def test_new_addresses():
    assert put(None) == SubmissionOutcome(SimulatedState.ACTIVE, "Subscribe")
    assert put(None, confirmed=True) == SubmissionOutcome(SimulatedState.UNCONFIRMED, None)
    assert put(None, suppressed=True).refusal == 204
    assert put(None, suppressed=True, resubscribe=True) == SubmissionOutcome(SimulatedState.ACTIVE, "Subscribe")


def test_active_subscribers_are_edited():
    assert put(SimulatedState.ACTIVE) == SubmissionOutcome(SimulatedState.ACTIVE, "Update")
    assert put(SimulatedState.ACTIVE, confirmed=True) == SubmissionOutcome(SimulatedState.ACTIVE, "Update")
    assert put(SimulatedState.ACTIVE, suppressed=True).refusal == 204


@pytest.mark.parametrize(
    ("state", "code"), [("DELETED", 205), ("UNSUBSCRIBED", 206), ("BOUNCED", 207), ("UNCONFIRMED", 208)]
)
def test_inactive_ones_stay_as_they_are(state, code):
    assert put(SimulatedState[state]) == SubmissionOutcome(None, None, code)
    assert put(SimulatedState[state], resubscribe=True) == SubmissionOutcome(SimulatedState.ACTIVE, "Subscribe")
    assert put(SimulatedState[state], resubscribe=True, confirmed=True) == SubmissionOutcome(
        SimulatedState.UNCONFIRMED, None
    )
    assert put(SimulatedState[state], suppressed=True).refusal == code
    assert put(SimulatedState[state], suppressed=True, by_suppression=True).refusal == 204


@given(st.sampled_from([None, *SimulatedState]), st.booleans(), st.booleans(), st.booleans())
def test_nobody_inactive_becomes_active_without_resubscribe(current, suppressed, by_suppression, confirmed):
    outcome = put(current, suppressed, by_suppression, False, confirmed)
    if current in REFUSALS or suppressed:
        assert outcome.state is None
        assert outcome.refusal in {204, *REFUSALS.values()}


def test_leaving():
    assert outcome_of_removal(SimulatedState.ACTIVE, SimulatedState.UNSUBSCRIBED) == (
        SimulatedState.UNSUBSCRIBED,
        "Deactivate",
    )
    assert outcome_of_removal(SimulatedState.UNCONFIRMED, SimulatedState.UNSUBSCRIBED) == (
        SimulatedState.UNSUBSCRIBED,
        None,
    )
    assert outcome_of_removal(SimulatedState.ACTIVE, SimulatedState.DELETED) == (SimulatedState.DELETED, "Deactivate")
    assert outcome_of_removal(SimulatedState.BOUNCED, SimulatedState.DELETED) == (SimulatedState.DELETED, None)
    for gone in (SimulatedState.UNSUBSCRIBED, SimulatedState.BOUNCED, SimulatedState.DELETED):
        assert outcome_of_removal(gone, SimulatedState.UNSUBSCRIBED) is None
        assert outcome_of_removal(SimulatedState.DELETED, gone) is None

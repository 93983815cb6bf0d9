"""Which call a person needs, row by row: what the list holds, what is desired, what was tried -> route."""

import pytest

from schemas.audience_delivery import Refusal
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.routing import AttemptState, RequestKind, RequestRoute, is_due, route_of
from streams.export.rules.row import DeliveredPart, Held
from tests.unit.export.rules.rows import desired, held

K = RequestKind
UNKNOWN = AttemptState(outcome_unknown=True)
FIRST = AttemptState()
DELIVERED = {"job-1": "digest"}
RESUBSCRIBE = {"resubscribe": True}


def refused(code: int) -> AttemptState:
    return AttemptState(refused_code=code)


@pytest.mark.parametrize(
    ("on_list", "wanted", "attempt", "route"),
    [
        # nothing differs
        (held(), desired(digests=DELIVERED), FIRST, RequestRoute(K.NO_CALL)),
        (held(), desired(digests=DELIVERED), UNKNOWN, RequestRoute(K.IMPORT)),
        # no usable address
        (None, desired(address=None, refused=Refusal.NO_ADDRESS), FIRST, RequestRoute(K.REFUSE)),
        (held(), desired(address=None, refused=Refusal.INVALID), FIRST, RequestRoute(K.REFUSE)),
        (held(), desired(address=None, refused=Refusal.INVALID), UNKNOWN, RequestRoute(K.CLEAR_AUDIENCES)),
        (held(address=None), desired(address=None, refused=Refusal.INVALID), UNKNOWN, RequestRoute(K.REFUSE)),
        (
            held(audiences=["vip", "eu"]),
            desired(address=None, refused=Refusal.NO_ADDRESS),
            FIRST,
            RequestRoute(K.CLEAR_AUDIENCES),
        ),
        # desired, may be added
        (None, desired(), FIRST, RequestRoute(K.IMPORT)),
        (held(), desired(), FIRST, RequestRoute(K.IMPORT)),
        (held(), desired(), UNKNOWN, RequestRoute(K.IMPORT)),
        (None, desired(queue=True), FIRST, RequestRoute(K.IMPORT, queue=True)),
        (None, desired(restart=True), FIRST, RequestRoute(K.IMPORT)),
        # nobody is made active again by an import
        (None, desired(restart=True, **RESUBSCRIBE), FIRST, RequestRoute(K.IMPORT)),
        (None, desired(queue=True, **RESUBSCRIBE), FIRST, RequestRoute(K.IMPORT, queue=True)),
        # who left is read first: the list may not know them any more, and an import would add them
        (held(code=206), desired(**RESUBSCRIBE), FIRST, RequestRoute(K.CHECK_CONSENT, True)),
        (held(code=205), desired(), FIRST, RequestRoute(K.CHECK_CONSENT)),
        (held(code=207), desired(), FIRST, RequestRoute(K.CHECK_CONSENT)),
        (held(code=207, address=None), desired(), FIRST, RequestRoute(K.IMPORT)),
        (held(code=204), desired(), FIRST, RequestRoute(K.IMPORT)),
        (held(address=None, removed=1), desired(), FIRST, RequestRoute(K.IMPORT)),
        # on the list under another address
        (held(address="old@example.com"), desired(), FIRST, RequestRoute(K.UPDATE)),
        (held(address="old@example.com"), desired(queue=True), FIRST, RequestRoute(K.UPDATE)),
        (held(address="old@example.com"), desired(**RESUBSCRIBE), FIRST, RequestRoute(K.CHECK_CONSENT, True)),
        (held(address="old@example.com"), desired(), AttemptState(address_moved=True), RequestRoute(K.IMPORT)),
        # must not be added
        (None, desired(may_add=False), FIRST, RequestRoute(K.UPDATE)),
        (None, desired(may_add=False, **RESUBSCRIBE), FIRST, RequestRoute(K.CHECK_CONSENT, True)),
        (held(address=None, removed=1), desired(may_add=False), FIRST, RequestRoute(K.CHECK_CONSENT, True)),
        # outcome unknown, and mails might go twice
        (held(), desired(queue=True), UNKNOWN, RequestRoute(K.VERIFY)),
        (held(), desired(restart=True), UNKNOWN, RequestRoute(K.VERIFY)),
        (held(), desired(queue=True), AttemptState(True, not_applied=True), RequestRoute(K.IMPORT, queue=True)),
        # an import was refused, since the person left
        (held(), desired(), refused(206), RequestRoute(K.REFUSE)),
        (held(audiences=["vip", "eu"]), desired(), refused(206), RequestRoute(K.CLEAR_AUDIENCES)),
        (held(), desired(), AttemptState(True, refused_code=204), RequestRoute(K.CLEAR_AUDIENCES)),
        (held(), desired(**RESUBSCRIBE), refused(207), RequestRoute(K.CHECK_CONSENT, True)),
        (held(address=None, removed=1), desired(), refused(205), RequestRoute(K.CHECK_CONSENT, True)),
        # who has not confirmed yet is kept up to date, and nothing confirms for them
        (held(), desired(**RESUBSCRIBE), refused(208), RequestRoute(K.UPDATE)),
        (
            held(),
            desired(queue=True, restart=True, **RESUBSCRIBE),
            refused(207),
            RequestRoute(K.CHECK_CONSENT, True, True, True),
        ),
        (held(), desired(), refused(1), RequestRoute(K.IMPORT)),
        # left the last audience
        (None, desired(present=False), FIRST, RequestRoute(K.NO_CALL)),
        (held(address=None), desired(present=False), FIRST, RequestRoute(K.NO_CALL)),
        (None, desired(present=False, address=None), UNKNOWN, RequestRoute(K.NO_CALL)),
        (held(), desired(present=False), FIRST, RequestRoute(K.UPDATE)),
        (held(), desired(present=False), UNKNOWN, RequestRoute(K.UPDATE)),
        (None, desired(present=False), UNKNOWN, RequestRoute(K.UPDATE)),
        (held(code=206), desired(present=False), FIRST, RequestRoute(K.UPDATE)),
        (held(), desired(present=False), refused(206), RequestRoute(K.UPDATE)),
        # left, and the job removes such people
        (held(), desired(present=False, on_exit="delete"), FIRST, RequestRoute(K.REMOVE)),
        (None, desired(present=False, on_exit="unsubscribe"), UNKNOWN, RequestRoute(K.REMOVE)),
        (None, desired(present=False, on_exit="delete"), FIRST, RequestRoute(K.NO_CALL)),
    ],
)
def test_the_call(on_list: Held | None, wanted: DesiredSubscriber, attempt: AttemptState, route: RequestRoute) -> None:
    assert route_of(on_list, wanted, attempt) == route


@pytest.mark.parametrize(
    ("on_list", "wanted", "due"),
    [
        (None, desired(), True),
        (held(), desired(digests=DELIVERED), False),
        (held(), desired(), True),
        (held(delivered={}), desired(digests=DELIVERED), True),
        (held(), desired(digests={**DELIVERED, "job-2": "digest"}), True),
        (
            held(delivered={"job-1": DeliveredPart("digest", 5), "gone": DeliveredPart("x", 1)}),
            desired(digests=DELIVERED),
            False,
        ),
        # a refusal from before resubscribing was on is tried again, while its entry was not used
        (held(code=206), desired(digests=DELIVERED), False),
        (held(code=206), desired(digests=DELIVERED, **RESUBSCRIBE), True),
        (held(code=1), desired(digests=DELIVERED, **RESUBSCRIBE), False),
    ],
)
def test_whether_a_list_has_to_be_written(on_list: Held | None, wanted: DesiredSubscriber, due: bool) -> None:
    assert is_due(on_list, wanted) is due

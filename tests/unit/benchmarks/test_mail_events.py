"""The generated messages are what the contracts say, and their mix is the one that the README promises."""

from collections import Counter

import orjson

from benchmarks.mail_events import mail_events
from benchmarks.workloads import ROUND_ROBIN, ZIPF
from schemas.cm_activity import CmActivity
from schemas.cm_user import CmUser

MESSAGES = list(mail_events(ZIPF, 4_000, "cm_user", "cm_activity"))


def test_every_message_is_valid_and_keyed_by_its_normalised_address() -> None:
    for message in MESSAGES:
        model = CmUser if message.topic == "cm_user" else CmActivity
        read = model.from_bytes(message.value)
        assert read.email.lower().encode() == message.key


def test_every_event_has_an_id_of_its_own() -> None:
    assert len({orjson.loads(message.value)["event_id"] for message in MESSAGES}) == len(MESSAGES)


def test_the_mix_is_that_of_real_mail() -> None:
    kinds = Counter(orjson.loads(message.value).get("event", "cm_user") for message in MESSAGES)
    assert 0.67 < kinds["sent"] / len(MESSAGES) < 0.73
    assert 0.18 < kinds["open"] / len(MESSAGES) < 0.22
    assert 0.04 < kinds["click"] / len(MESSAGES) < 0.06
    assert kinds["cm_user"] > 0
    assert kinds["deactivate"] > 0


def test_the_same_bytes_come_every_time() -> None:
    again = list(mail_events(ZIPF, 4_000, "cm_user", "cm_activity"))
    assert again == MESSAGES
    assert list(mail_events(ROUND_ROBIN, 10, "u", "a")) == list(mail_events(ROUND_ROBIN, 10, "u", "a"))

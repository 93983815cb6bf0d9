"""One active webhook per list, and no gap unnoticed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from connectors.campaign_monitor.client.entities import Webhook
from connectors.webhook.body import path_of
from connectors.webhook.registration.hooks import (
    ActivateHook,
    CreateHook,
    DeleteHook,
    RequestMissedChanges,
    attention_changes,
    hook_attention,
    hook_steps,
    wanted_lists,
)
from schemas.control import ImportJob, WebhookRegistration

NOW = datetime(2026, 5, 2, tzinfo=UTC)
URL = "https://hooks.example.com" + path_of(SecretStr("a-secret-of-ours"), "l1")
OLD = "https://hooks.example.com" + path_of(SecretStr("the-one-before-it"), "l1")
ALL = ("Subscribe", "Update", "Deactivate")


def hook(number: int, url: str = URL, status: str = "Active", events: tuple[str, ...] = ALL) -> Webhook:
    return Webhook(str(number), events, url, status, "json")


def known(seen: datetime | None = NOW - timedelta(minutes=50), **change: object) -> WebhookRegistration:
    return WebhookRegistration(
        list_id="l1",
        client_id="c",
        time_zone="",
        job_ids=["j"],
        authorization_id="a",
        webhook_id="1",
        seen_active_at=seen,
        updated_at=NOW,
    ).model_copy(update=change)


def test_a_list_without_one_gets_one():
    assert hook_steps(URL, [], None, NOW, begun=NOW) == [CreateHook()]
    assert hook_steps(URL, [hook(1, "https://other.example.com/x")], None, NOW, begun=NOW) == [CreateHook()]


def test_what_came_before_the_first_one_is_polled_once_it_is_there():
    begun = NOW - timedelta(days=3)
    assert hook_steps(URL, [], None, NOW, begun=begun) == [CreateHook(), RequestMissedChanges(begun)]
    never_worked = known(None)
    assert hook_steps(URL, [], never_worked, NOW, begun=begun) == [CreateHook(), RequestMissedChanges(begun)]
    polled = known(NOW - timedelta(minutes=9), webhook_id=None)
    steps = hook_steps(URL, [], polled, NOW, begun=begun)
    assert steps == [CreateHook(), RequestMissedChanges(NOW - timedelta(minutes=9))]


def test_an_active_one_is_left_alone():
    assert hook_steps(URL, [hook(1)], known(), NOW, begun=NOW) == []


def test_one_that_was_switched_off_is_switched_on_and_the_gap_is_polled():
    assert hook_steps(URL, [hook(1, status="Deactivated")], known(), NOW, begun=NOW) == [
        ActivateHook("1"),
        RequestMissedChanges(NOW - timedelta(days=8)),
    ]


@pytest.mark.parametrize(("away", "since"), [(0, 8), (5, 8), (8, 8), (30, 30)])
def test_no_gap_begins_before_errors_that_switched_a_webhook_off_or_nobody_looked(away, since):
    """What came before was published; profiles remember it for 8 days, and would count it twice."""
    found = [hook(1, status="Deactivated")]
    steps = hook_steps(URL, found, known(NOW - timedelta(days=away)), NOW, begun=NOW)
    assert steps == [ActivateHook("1"), RequestMissedChanges(NOW - timedelta(days=since))]


def test_one_that_is_missing_is_created_again_and_the_gap_is_polled():
    assert hook_steps(URL, [], known(), NOW, begun=NOW) == [
        CreateHook(),
        RequestMissedChanges(NOW - timedelta(minutes=50)),
    ]


def test_the_old_one_is_removed_after_the_new_one_is_there():
    assert hook_steps(URL, [hook(1, OLD)], None, NOW, begun=NOW) == [CreateHook(), DeleteHook("1")]
    assert hook_steps(URL, [hook(1, events=("Update",))], None, NOW, begun=NOW) == [CreateHook(), DeleteHook("1")]


def test_what_was_missed_while_no_receiver_was_there_is_polled():
    long_ago = known(NOW - timedelta(days=3))
    assert hook_steps(URL, [hook(1)], long_ago, NOW, begun=NOW) == [RequestMissedChanges(NOW - timedelta(days=3))]


def test_one_at_the_public_address_before_is_removed_after_the_new_one_is_there():
    before = "https://before.example.com/in/hooks/l1/"
    moved = known(base_url="https://before.example.com/in/")
    others = [hook(7, before.replace("l1", "l2") + "x"), hook(8, "https://before.example.com/hooks/l1/x")]
    steps = hook_steps(
        URL, [*others, hook(1, before + "token"), hook(2, before + "token/verify")], moved, NOW, begun=NOW
    )
    assert [step for step in steps if not isinstance(step, RequestMissedChanges)] == [
        CreateHook(),
        DeleteHook("1"),
        DeleteHook("2"),
    ]


def test_below_a_public_address_that_ends_with_hooks_only_the_lists_own_are_ours():
    base = "https://example.com/hooks"
    url = base + path_of(SecretStr("a-secret-of-ours"), "l1")
    theirs = [hook(3, f"{base}/hooks/l2/token"), hook(4, f"{base}/mine"), hook(5, "https://example.com/hooks/l1/t")]
    assert hook_steps(url, [hook(1, url), *theirs], known(base_url=base), NOW, begun=NOW) == []


@given(
    st.lists(
        st.builds(
            hook,
            st.integers(0, 50),
            st.sampled_from([URL, OLD, "https://x.example/h"]),
            st.sampled_from(["Active", "Deactivated"]),
        ),
        max_size=5,
        unique_by=lambda webhook: webhook.webhook_id,
    )
)
def test_carried_out_there_is_exactly_one(found):
    hooks = {known.webhook_id: known for known in found}
    for step in hook_steps(URL, found, None, NOW, begun=NOW):
        match step:
            case CreateHook():
                hooks["new"] = hook(0)
            case ActivateHook(webhook_id):
                hooks[webhook_id] = hook(0)
            case DeleteHook(webhook_id):
                del hooks[webhook_id]
    mine = [webhook for webhook in hooks.values() if webhook.url != "https://x.example/h"]
    assert [(webhook.url, webhook.active) for webhook in mine] == [(URL, True)]
    assert len(hooks) - 1 == sum(known.url == "https://x.example/h" for known in found)


def test_which_lists_want_one():
    job = ImportJob(id="j", authorization_id="a", client_id="c", keep_updated=True, created_at=NOW, updated_at=NOW)
    assert wanted_lists(job, ["a", "b"]) == ["a", "b"]
    assert wanted_lists(job.model_copy(update={"lists": ["b", "z"]}), ["a", "b"]) == ["b"]
    assert wanted_lists(job.model_copy(update={"state": "stopped"}), ["a"]) == []
    assert wanted_lists(job.model_copy(update={"keep_updated": False}), ["a"]) == ["a"], "started is enough"


def test_a_job_shows_what_a_person_has_to_do_and_nothing_of_others_is_overwritten():
    job = ImportJob(id="j", authorization_id="a", client_id="c", created_at=NOW, updated_at=NOW)
    sentence = hook_attention(job, "", [])
    assert sentence is not None
    assert "WEBHOOK_PUBLIC_URL" in sentence
    assert sentence.count(". ") == 0
    assert "on cm_activity when it is set" in sentence
    kept = hook_attention(job.model_copy(update={"keep_updated": True}), "", [])
    assert "on cm_activity once an interval only" in (kept or "")
    assert hook_attention(job.model_copy(update={"state": "stopped"}), "", []) is None
    broken = [known(problem="a"), known(problem="b"), known(), known(problem="c", job_ids=["k"])]
    assert hook_attention(job, "https://x", broken) == "Webhooks: a (and 1 more)"
    assert hook_attention(job, "https://x", [known()]) is None
    assert attention_changes([job], {"j": sentence}) == {"j": sentence}
    ours = job.model_copy(update={"attention": sentence})
    assert attention_changes([ours], {"j": sentence}) == {}
    assert attention_changes([ours], {"j": None}) == {"j": None}
    theirs = job.model_copy(update={"attention": "The authorization was revoked."})
    assert attention_changes([theirs], {"j": None}) == {}
    both = f"{theirs.attention}\n{sentence}"
    assert attention_changes([theirs], {"j": sentence}) == {"j": sentence}
    showing = job.model_copy(update={"attention": both})
    assert attention_changes([showing], {"j": sentence}) == {}
    assert attention_changes([showing], {"j": None}) == {"j": None}

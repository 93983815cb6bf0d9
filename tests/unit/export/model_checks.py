"""What must hold at the end of a story, whatever happened in it."""

from collections import Counter
from typing import Any

from tests.unit.export.model_people import ENTER, SNAP_IN, Act, Person
from tests.unit.export.model_play import Play

SECOND = 1.0  # Campaign Monitor's dates have seconds


def check(play: Play) -> None:
    """Raise AssertionError for the first thing that does not hold."""
    writes = play.controls.writes()
    for person in play.people.values():
        _one_subscriber(play, person)
        _content(play, person)
        _consent(person, [write for write in writes if write["email"] in person.addresses])
        _additions(play, person, [write for write in writes if write["email"] in person.addresses])
    _receipts(play)
    _hand_made_segments(play)
    _logs(play)


def _one_subscriber(play: Play, person: Person) -> None:
    found = {email: play.world.subscriber(email) for email in person.addresses}
    active = [email for email, subscriber in found.items() if subscriber and subscriber["State"] == "Active"]
    assert set(active) <= {person.email}, f"{person.email} is active as {active}"


def _content(play: Play, person: Person) -> None:
    exported = play.option("audiences") or list(play.names)
    wanted = {play.names[audience][1] for audience in person.inside() if audience in exported}
    found = play.world.subscriber(person.email)
    if found is None or found["State"] != "Active":
        free = person.acts or "True" in play.ever("update_only") or play.ever("on_last_exit") - {"keep"}
        assert not wanted or free, f"{person.email} is not active, and wanted in {sorted(wanted)}"
        return
    if person.unseen:
        return  # nobody reported what they did last
    held = play.world.options(person.email, play.option("custom_field_name"))
    assert held == sorted(wanted), f"{person.email} has {held}, not {sorted(wanted)}"
    if not wanted and not person.acts and len(play.ever("on_last_exit")) == 1:
        assert play.option("on_last_exit") == "keep", f"{person.email} left the last audience and is still active"
    if wanted and person.cities and play.option("field_mappings"):
        city = [person.cities[max(person.cities)]]
        assert play.world.options(person.email, "City") == city, f"{person.email} is not in {city}"


def _consent(person: Person, writes: list[dict[str, Any]]) -> None:
    ends = [act.seq for act in person.acts[1:]] + [float("inf")]
    for act, end in zip(person.acts, ends, strict=False):
        if act.how in ("sign_up", "delete_permanently"):
            continue
        back = [
            write for write in writes
            if act.seq < write["seq"] <= end and write["who"] != "person" and write["resurrected_from"] is not None
        ]  # fmt: skip
        entries = _entries_after(person, act)
        assert len(back) <= entries, (
            f"{person.email}: {act.how}, {entries} entries later, made active {len(back)} times"
        )


def _entries_after(person: Person, act: Act) -> int:
    return sum(rank in (ENTER, SNAP_IN) and at > act.at - SECOND for at, rank, _ in person.statements)


def _additions(play: Play, person: Person, writes: list[dict[str, Any]]) -> None:
    added = [write for write in writes if write["before"] is None and write["who"] != "person"]
    if not any(rank in (ENTER, SNAP_IN) for _, rank, _ in person.statements):
        assert not added, f"{person.email} never entered, and was added"
    if play.ever("update_only") == {"True"}:
        assert not added, f"{person.email} was added by a job that adds nobody"
    if person.exits_only and person.acts:
        late = [write for write in added if write["seq"] > person.acts[-1].seq]
        assert not late, f"{person.email} was deleted permanently, left, and was added"


def _receipts(play: Play) -> None:
    receipts = play.world.receipts()
    ids = Counter(receipt["event_id"] for receipt in receipts)
    assert max(ids.values(), default=1) == 1, "a receipt came twice"
    if play.ever("audiences") - {"[]"} or play.misplaced_events:
        return  # which changes concern the job is not the model's business
    answered = {(receipt["source"]["partition"], receipt["source"]["offset"]) for receipt in receipts}
    for partition in range(play.world.log.partitions):
        for record in play.world.log.topics.get(("audience-membership", partition), ()):
            if b'"snapshot"' not in (record.value or b""):
                assert (partition, record.offset) in answered, f"no receipt for {record.value!r}"


def _hand_made_segments(play: Play) -> None:
    for segment_id, (title, groups) in play.hand_made.items():
        segment = play.simulator.state.segments.get(segment_id)
        assert segment is not None, f"the segment {title}, made by hand, was deleted"
        assert (segment.title, segment.groups) == (title, groups), f"the segment {title}, made by hand, was changed"


def _logs(play: Play) -> None:
    text = str(play.logged)
    shown = [email for person in play.people.values() for email in person.addresses if email in text]
    assert not shown, f"addresses in the logs: {shown}"

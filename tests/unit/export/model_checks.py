"""What must hold at the end of a story, whatever happened in it."""

from collections import Counter
from typing import Any

from streams.batches import MOVED_FROM
from tests.unit.export.model_people import ENTER, Act, Person
from tests.unit.export.model_play import Play
from tests.unit.export.model_stage import Published

SECOND = 1.0  # Campaign Monitor's dates have seconds
MINUTE = 60.0  # those of states have minutes
ON_LIST = ("Active", "Unconfirmed")


def check(play: Play) -> None:
    """Raise AssertionError for the first thing that does not hold."""
    writes = play.controls.writes()
    for person in _everybody(play):
        own = [write for write in writes if write["email"] in person.everywhere()]
        _one_subscriber(play, person)
        _content(play, person)
        _nothing_stale(play, person)
        if not person.mixed:
            _consent(play, person, own)
            _additions(play, person, own)
            _guard(play, person, own)
    _receipts(play)
    _reconciliation(play)
    _hand_made_segments(play)
    _logs(play)


def _everybody(play: Play) -> list[Person]:
    return list({id(person): person for person in play.people.values()}.values())


def _addresses(play: Play, person: Person) -> list[str]:
    """Where the person may be on the list: under all addresses that nobody else has now."""
    others = {other.email for other in _everybody(play) if other is not person}
    return [email for email in dict.fromkeys(person.everywhere()) if email not in others]


def _sharing(play: Play, person: Person) -> list[Person]:
    """The person, and whoever had an address of theirs: whose act it was that was done under it is not followed."""
    mine = set(person.addresses)
    return [other for other in _everybody(play) if other is person or mine & set(other.addresses)]


def _unseen(play: Play, person: Person) -> bool:
    """Whether the last act under one of the person's addresses was not reported."""
    return any(other.unseen for other in _sharing(play, person))


def _allowed(play: Play, person: Person) -> list[set[str]]:
    """The audiences that the list may hold, by name: one way, or two where the model does not know."""
    exported = play.exported()
    inside = {play.names[audience] for audience in person.inside(exported)}
    counts = True if play.option("existing_users") else person.counts(exported, play.started)
    if counts is False and "True" in play.ever("existing_users"):
        counts = None  # who was exported while the option was on stays until they leave
    return [inside] if counts else [set()] if counts is False else [inside, set()]


def _one_subscriber(play: Play, person: Person) -> None:
    found = {email: play.world.subscriber(email) for email in _addresses(play, person)}
    active = [email for email, subscriber in found.items() if subscriber and subscriber["State"] == "Active"]
    address = person.address(play.option("email_field"))
    stays = "keep" in play.ever("on_last_exit") or play.values_lost
    if (person.mixed or "work" in play.ever("email_field")) and stays:
        # Where both addresses were on the list, or the person had left and comes back with another address in their
        # field, the former one stays on it, and has no audiences. Whatever the exit rule is, so does one whose
        # audiences somebody took off with the field: it looks like one who signed up there by themselves.
        field = play.option("custom_field_name")
        full = [email for email in active if play.world.options(email, field)]
        assert address is None or set(full) <= {address}, f"{address} has audiences as {full}"
        return
    assert len(active) <= 1, f"{person.email} is active as {active}"
    assert address is None or set(active) <= {address}, f"{address} is active as {active}"


def _content(play: Play, person: Person) -> None:
    allowed = _allowed(play, person)
    address = person.address(play.option("email_field"))
    if address is None:
        return
    found = play.world.subscriber(address)
    if found is None or found["State"] not in ON_LIST:
        assert not all(allowed) or _may_be_away(play, person), f"{address} is not active, and wanted in {allowed}"
        return
    if _unseen(play, person):
        return  # nobody reported what they did last
    held = set(play.world.options(address, play.option("custom_field_name")))
    assert held in allowed, f"{address} has {sorted(held)}, not {allowed}"
    if not held:
        if not person.acts and len(play.ever("on_last_exit")) == 1:
            assert play.option("on_last_exit") == "keep", f"{address} left the last audience and is still active"
        return
    if (city := person.value("city")) and play.option("field_mappings"):
        assert play.world.options(address, "City") == [city], f"{address} is not in {city}"
    name = person.value(play.option("name_field"))
    assert name is None or found["Name"] == name, f"{address} is not called {name}, but {found['Name']}"


def _may_be_away(play: Play, person: Person) -> bool:
    """Whether somebody who is wanted may be away from the list."""
    if "True" in play.ever("update_only"):
        return True
    if any(other.acts for other in _sharing(play, person) if other is not person):
        return True  # who swaps addresses with somebody who left the list is off it, too
    if not person.acts:  # who was taken off before they confirmed stays away
        confirms = play.controls.list(play.world.list_id).confirmed_opt_in
        return (play.lost or confirms) and bool(play.ever("on_last_exit") - {"keep"})
    last = person.acts[-1]
    simple = len(person.acts) == 1 and last.how in ("unsubscribe", "delete_subscriber") and last.webhook
    free = play.ever("resubscribe_users") == {"True"} and play.ever("consent_rule") == {"None"}
    settled = play.ever("email_field") == {"email"} and not play.lost
    entered = [entry for entry in person.last().values() if entry.audience in play.exported() and entry.rank == ENTER]
    return not (simple and free and settled and any(entry.at > last.at + 2 * MINUTE for entry in entered))


def _nothing_stale(play: Play, person: Person) -> None:
    """Also who is refused, or has no address, holds no audience that they are not in; perhaps by a former name."""
    if any(other.unseen and other.acts[-1].how in ("sign_up", "confirm") for other in _sharing(play, person)):
        return
    known = person.inside(play.exported())
    inside = {name for audience in known for name in (play.names[audience], *play.former_names[audience])}
    for email in _addresses(play, person):
        found = play.world.subscriber(email)
        if found is not None:
            held = set(play.world.options(email, play.option("custom_field_name")))
            assert held <= inside, f"{email}, {found['State']}, still has {sorted(held - inside)}"


def _consent(play: Play, person: Person, writes: list[dict[str, Any]]) -> None:
    ends = [act.seq for act in person.acts[1:]] + [float("inf")]
    for act, end in zip(person.acts, ends, strict=False):
        if act.how in ("sign_up", "confirm", "delete_permanently"):
            continue
        back = [
            write for write in writes
            if act.seq < write["seq"] <= end and write["who"] != "person" and write["resurrected_from"] is not None
        ]  # fmt: skip
        entries = _entries_after(person, act)
        assert len(back) <= entries, (
            f"{person.email}: {act.how}, {entries} entries later, made active {len(back)} times"
        )
        assert not back or "True" in play.ever("resubscribe_users"), (
            f"{person.email}: {act.how}, made active by a job that resubscribes nobody"
        )
        if "None" not in play.ever("consent_rule"):
            consents = [at for at in person.fields.get("consented", {}) if at > act.at - SECOND]
            assert consents or not back, f"{person.email}: {act.how}, no consent later, made active"


def _entries_after(person: Person, act: Act) -> int:
    return sum(statement.enters and statement.at > act.at - SECOND for statement in person.statements)


def _additions(play: Play, person: Person, writes: list[dict[str, Any]]) -> None:
    added = [write for write in writes if write["before"] is None and write["who"] != "person"]
    if not any(statement.enters for statement in person.statements):
        assert not added, f"{person.email} never entered, and was added"
    if play.ever("update_only") == {"True"}:
        assert not added, f"{person.email} was added by a job that adds nobody"
    if play.ever("existing_users") == {"False"} and person.counts(play.names, play.started) is False:
        assert not added, f"{person.email} was there before the job, and was added"
    if person.no_entry and person.acts:
        late = [write for write in added if write["seq"] > person.acts[-1].seq]
        assert not late, f"{person.email} was deleted permanently, did not enter, and was added"


def _guard(play: Play, person: Person, writes: list[dict[str, Any]]) -> None:
    """With a guard of nothing, nobody is removed before somebody confirms it."""
    if play.ever("removal_guard") != {"0.0"} or len(play.ever("custom_field_name")) > 1:
        return
    if play.values_lost or person.acts:
        return
    if len(play.ever("audiences")) > 1 and None in person.fields.get("work", {}).values():
        return  # without an address they get no audience that is exported now, and lose the one that is not any more
    field, had = play.option("custom_field_name").replace(" ", ""), False
    for write in writes:
        has = any(value["Key"].strip("[]") == field for value in write["values"])
        if had and not has and write["who"] != "person":
            first = play.confirmations[0] if play.confirmations else float("inf")
            assert write["seq"] > first, f"{person.email} was removed, and nobody confirmed it"
        had = has


def _receipts(play: Play) -> None:
    receipts = play.world.receipts()
    ids = Counter(receipt["event_id"] for receipt in receipts)
    assert max(ids.values(), default=1) == 1, "a receipt came twice"
    answered = {(receipt["source"]["partition"], receipt["source"]["offset"]) for receipt in receipts}
    moved = {
        record.value: (partition, record.offset)
        for (topic, partition), records in play.world.log.topics.items()
        for record in records
        if topic == "audience-membership" and any(name == MOVED_FROM for name, _ in record.headers)
    }
    for published in play.published:
        where = moved.get(published.value) if published.misplaced else (published.partition, published.offset)
        if _is_answered_for(play, published):
            assert where in answered, f"no receipt for {published.value!r} at {where}"


def _is_answered_for(play: Play, published: Published) -> bool:
    """Whether the job exported one of the record's audiences from then on."""
    audiences = [edit["audiences"] or list(play.names) for edit in play.edits[published.edits - 1 :]]
    return any(all(audience in exported for exported in audiences) for audience in published.audiences)


def _reconciliation(play: Play) -> None:
    """Nothing waits, and nothing differs but where people did something that nobody reported."""
    report = play.drift
    unseen = {email for person in _everybody(play) if _unseen(play, person) for email in person.everywhere()}
    different = {*report.missing, *report.different, *report.strangers} - unseen
    assert not different, f"reconciliation: {sorted(different)} differ"
    if play.option("consent_rule") is None:  # else who is refused waits for their consent
        assert report.waiting == 0, f"reconciliation: {report.waiting} wait"


def _hand_made_segments(play: Play) -> None:
    for segment_id, (title, groups) in play.hand_made.items():
        segment = play.simulator.state.segments.get(segment_id)
        assert segment is not None, f"the segment {title}, made by hand, was deleted"
        assert (segment.title, segment.groups) == (title, groups), f"the segment {title}, made by hand, was changed"


def _logs(play: Play) -> None:
    text = str(play.logged)
    shown = [email for person in _everybody(play) for email in person.everywhere() if email in text]
    assert not shown, f"addresses in the logs: {shown}"

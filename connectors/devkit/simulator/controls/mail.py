"""Verbs about mail: campaigns of the past with computed activity, new ones, journeys, and who opened or clicked."""

from collections.abc import Sequence
from datetime import datetime

from connectors.devkit.simulator.account.segments import checked_groups, members
from connectors.devkit.simulator.campaigns.activity import (
    LOCATIONS,
    Recipients,
    ReportRow,
    SeededActivity,
    first_subscribers,
    unique_recipients,
)
from connectors.devkit.simulator.campaigns.mailings import (
    ActivityReport,
    SimulatedCampaign,
    SimulatedJourney,
    SimulatedJourneyEmail,
)
from connectors.devkit.simulator.data.entities import SimulatedSegment, SubscriberList
from connectors.devkit.simulator.data.population import mix
from connectors.devkit.simulator.data.transitions import SimulatedState
from connectors.devkit.simulator.state import SimulatorState

LINKS = (
    "https://shop.acme.example/products/7?ref=mail&utm_source=news",
    "https://shop.acme.example/",
    "https://blog.acme.example/2026/café?id=3#top",
    "https://shop.acme.example/sale",
)
_DAY = 86_400
_DAYS_AGO = 14


class MailVerbs:
    """Activity is given in rows; how many people are behind them follows: two of three opens are first ones."""

    state: SimulatorState

    def add_segment(self, list_id: str, title: str, rules: Sequence[Sequence[tuple[str, str]]]) -> str:
        """Add a segment; `rules` are groups of (rule type, clause). Return its id. Raises ApiError 277."""
        target = self.state.lists[list_id]
        raw = [{"Rules": [{"RuleType": kind, "Clause": clause} for kind, clause in group]} for group in rules]
        groups = checked_groups(self.state, target, raw)
        made = SimulatedSegment(self.state.identifiers.new("segment"), target, title, groups, self.state.clock.time())
        self.state.segments[made.segment_id] = made
        return made.segment_id

    def add_campaign(
        self,
        list_ids: Sequence[str],
        name: str,
        *,
        sent: str | None = None,
        days_ago: float = _DAYS_AGO,
        recipients: int | None = None,
        opens: int = 0,
        clicks: int = 0,
        unsubscribes: int = 0,
        spam: int = 0,
        bounces: int = 0,
        days: float = 10,
        tags: Sequence[str] = (),
        segment_ids: Sequence[str] = (),
    ) -> str:
        """Add a campaign that was sent in the past to the first `recipients` of the lists; return its id.

        Activity is computed, whatever its size, and spread over `days` after sending; rows whose time has not come
        show when the clock gets there. `sent` is ISO with offset.
        """
        lists = [self.state.lists[list_id] for list_id in list_ids]
        at = int(datetime.fromisoformat(sent).timestamp()) if sent else self.state.history_end - int(days_ago * _DAY)
        made = self._campaign(lists, name, tags, segment_ids)
        made.created_at, made.sent_at = at - _DAY, at
        made.recipients = first_subscribers(lists, recipients) if lists else self._in_segments(made, recipients)
        counts = {"opens": opens, "clicks": clicks, "unsubscribes": unsubscribes, "spam": spam, "bounces": bounces}
        made.reports = self._seeded(made.recipients, counts, at, int(days * _DAY), made.links)
        made.social = {"Forwards": opens // 400, "Likes": opens // 300, "Mentions": opens // 1_000}
        return made.campaign_id

    def add_draft(self, list_ids: Sequence[str], name: str, *, tags: Sequence[str] = ()) -> str:
        """Add a draft; return its id."""
        return self._campaign([self.state.lists[list_id] for list_id in list_ids], name, tags, ()).campaign_id

    def schedule_campaign(
        self, list_ids: Sequence[str], name: str, *, in_seconds: float, tags: Sequence[str] = ()
    ) -> str:
        """Add a campaign that is sent to the then Active subscribers when its time has come; return its id."""
        made = self._campaign([self.state.lists[list_id] for list_id in list_ids], name, tags, ())
        made.scheduled_at = int(self.state.clock.time() + in_seconds)
        self.state.schedule(in_seconds, lambda: self._send(made))
        return made.campaign_id

    def send_campaign(
        self,
        list_ids: Sequence[str],
        name: str,
        *,
        segment_ids: Sequence[str] = (),
        tags: Sequence[str] = (),
        opens: int = 0,
        clicks: int = 0,
        bounces: int = 0,
        hours: float = 24,
    ) -> str:
        """Send a campaign now to the Active subscribers of lists and segments; return its id.

        Computed activity, if asked for, shows as the clock goes on for `hours`.
        """
        made = self._campaign([self.state.lists[list_id] for list_id in list_ids], name, tags, segment_ids)
        self._send(made)
        counts = {"opens": opens, "clicks": clicks, "bounces": bounces}
        made.reports = self._seeded(made.recipients, counts, made.sent_at or 0, int(hours * 3_600), made.links)
        return made.campaign_id

    def add_journey(
        self,
        list_id: str,
        name: str,
        *,
        mails: int = 2,
        status: str = "Active",
        trigger: str = "On Subscription",
        sent: int = 0,
        opens: int = 0,
        clicks: int = 0,
        bounces: int = 0,
        unsubscribes: int = 0,
        days: float = 300,
    ) -> list[str]:
        """Add a journey; the activity is that of each mail, over the last `days`. Return its id and the mails' ids."""
        target = self.state.lists[list_id]
        made = SimulatedJourney(self.state.identifiers.new("journey"), target, name, trigger, status)
        self.state.journeys[made.journey_id] = made
        people = first_subscribers([target], sent)
        start = self.state.history_end - int(days * _DAY)
        counts = {"recipients": sent, "opens": opens, "clicks": clicks, "bounces": bounces}
        counts["unsubscribes"] = unsubscribes
        for number in range(1, mails + 1):
            mail = SimulatedJourneyEmail(
                self.state.identifiers.new("journey mail"), made, f"{name} {number}", list(LINKS)
            )
            mail.reports = self._seeded(people, counts, start, int(days * _DAY) - 3_600, mail.links)
            made.emails.append(mail)
            self.state.journey_emails[mail.email_id] = mail
        return [made.journey_id, *(mail.email_id for mail in made.emails)]

    def open(self, mail_id: str, email: str, *, ip: str | None = None, at: float | None = None) -> None:
        """Open a campaign or a journey mail, by its id."""
        self.record(mail_id, "opens", email, ip=ip, at=at)

    def click(
        self, mail_id: str, email: str, url: str | None = None, *, ip: str | None = None, at: float | None = None
    ) -> None:
        """Click a link, the first one when none is named."""
        self.record(mail_id, "clicks", email, url=url, ip=ip, at=at)

    def soft_bounce(self, mail_id: str, email: str, reason: str = "Soft Bounce - Mailbox Full ") -> None:
        """Let a mail bounce for now: the subscriber's state stays."""
        self.record(mail_id, "bounces", email, bounce_type="Soft", reason=reason)

    def record(
        self,
        mail_id: str,
        kind: str,
        email: str,
        *,
        url: str | None = None,
        ip: str | None = None,
        at: float | None = None,
        bounce_type: str = "Hard",
        reason: str = "Hard Bounce ",
    ) -> None:
        """Put a row into a report (opens, clicks, unsubscribes, spam, bounces); `at` may lie in the past."""
        mail: SimulatedCampaign | SimulatedJourneyEmail = (
            self.state.campaigns.get(mail_id) or self.state.journey_emails[mail_id]
        )
        bits = mix(sum(email.encode()))
        bounced = kind == "bounces"
        mail.report(kind).add(
            ReportRow(
                email,
                self._list_of(mail, email),
                int(self.state.clock.time() if at is None else at),
                (url or next(iter(mail.links), "")) if kind == "clicks" else "",
                ip or f"203.0.113.{1 + bits % 254}",
                LOCATIONS[bits % len(LOCATIONS)],
                bounce_type if bounced else "",
                reason if bounced else "",
            )
        )

    def _list_of(self, mail: SimulatedCampaign | SimulatedJourneyEmail, email: str) -> str:
        if isinstance(mail, SimulatedJourneyEmail):
            return mail.journey.target.list_id
        number = mail.recipients.find(email)
        if number is not None:
            return mail.recipients[number][0].list_id
        raise KeyError(f"{email} did not get this campaign")

    def _campaign(
        self, lists: Sequence[SubscriberList], name: str, tags: Sequence[str], segment_ids: Sequence[str]
    ) -> SimulatedCampaign:
        titles = {target.list_id: target.title for target in lists}
        segments = [self.state.segments[segment_id] for segment_id in segment_ids]
        client = lists[0].client if lists else segments[0].parent.client
        made = SimulatedCampaign(
            self.state.identifiers.new("campaign"), client, name, f"{name} is here", self.state.clock.now()
        )
        made.list_ids, made.list_titles = list(titles), titles
        made.segment_ids, made.tags, made.links = list(segment_ids), list(tags), list(LINKS)
        self.state.campaigns[made.campaign_id] = made
        return made

    def _in_segments(self, made: SimulatedCampaign, limit: int | None) -> Recipients:
        segments = [self.state.segments[segment_id] for segment_id in made.segment_ids]
        return unique_recipients(
            [(part.parent, members(self.state, part, allow_stale=True)[:limit]) for part in segments]
        )

    def _send(self, made: SimulatedCampaign) -> None:
        lists = [self.state.lists[list_id] for list_id in made.list_ids if list_id in self.state.lists]
        parts = [(target, list(target.subscribers.rows(SimulatedState.ACTIVE))) for target in lists]
        for segment_id in made.segment_ids:
            segment = self.state.segments[segment_id]
            parts.append((segment.parent, members(self.state, segment, allow_stale=True)))
            made.list_titles.setdefault(segment.parent.list_id, segment.parent.title)
        made.recipients = unique_recipients(parts)
        made.sent_at = self.state.clock.now()

    def _seeded(
        self, people: Recipients, counts: dict[str, int], start: int, span: int, links: Sequence[str]
    ) -> dict[str, ActivityReport]:
        seed = self.state.settings.seed + start
        reports = {}
        for kind, rows in counts.items():
            if rows:
                acting = rows if kind in ("recipients", "unsubscribes", "spam", "bounces") else max(1, rows * 2 // 3)
                rows = min(rows, len(people)) if acting == rows and kind != "opens" else rows
                reports[kind] = ActivityReport(SeededActivity(seed, kind, people, rows, acting, start, span, links))
        return reports

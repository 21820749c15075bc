"""Whatever happens in whatever order, what a customer sees has consent, a decision on its words, and no finding."""

import datetime as dt
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine, select

from spendsense_pipeline.governance import audit, operators, release, review
from spendsense_pipeline.governance.database import connect, reading, upgrade, writing
from spendsense_pipeline.governance.models import (
    ConsentEvent,
    ConsentPeriod,
    Decision,
    Recommendation,
    RecommendationText,
    Release,
)
from spendsense_pipeline_tests.governance import town
from spendsense_pipeline_tests.governance.conftest import wipe

USERS = st.sampled_from(["mia", "noah", "ada"])  # ada is an operator too
OPERATORS = st.sampled_from(["ada", "ben", "gone", "eve"])
SCOPES = st.sets(st.sampled_from(["education", "partner_offers"]), min_size=1).map(sorted)
CRITICAL = '[{"check": "tone", "severity": "critical", "message": "shames"}]'


class AnyHistory(RuleBasedStateMachine):
    """Customers, operators, runs and clocks in any order, on one database."""

    engine: Engine

    @initialize(four_eyes=st.booleans())
    def open(self, four_eyes: bool) -> None:
        self.four_eyes = four_eyes
        self.now, self.as_of = town.NOW, town.TODAY
        wipe(self.engine)
        with writing(self.engine) as session:
            for name in ("ada", "ben", "gone"):
                operators.add(session, name, self.now)
            operators.deactivate(session, "gone", self.now)

    def some(self, number: int) -> dict[str, Any] | None:
        """Any recommendation there is, as its id and the hash that stands."""
        with reading(self.engine) as session:
            rows = session.execute(
                select(
                    Recommendation.recommendation_id, Recommendation.content_hash, Recommendation.original_hash
                ).order_by(Recommendation.registered_at, Recommendation.recommendation_id)
            ).all()
        return dict(rows[number % len(rows)]._mapping) if rows else None

    @rule(user=USERS, scopes=SCOPES)
    def grant(self, user: str, scopes: list[str]) -> None:
        town.grant(self.engine, user, self.now, scopes=scopes)

    @rule(user=USERS, scopes=SCOPES)
    def revoke(self, user: str, scopes: list[str]) -> None:
        town.revoke(self.engine, user, self.now, scopes=scopes)

    @rule(hours=st.sampled_from([1, 24, 24 * 15]))
    def time_passes(self, hours: int) -> None:
        self.now += dt.timedelta(hours=hours)

    @rule(back=st.integers(0, 1), figure=st.sampled_from([0.5, 0.52, 0.9]), findings=st.sampled_from(["[]", CRITICAL]))
    def a_day_is_run(self, back: int, figure: float, findings: str) -> None:
        as_of = self.now.date() - dt.timedelta(days=back)
        with reading(self.engine) as session:
            live = live_periods(session)
        drafts = [
            town.draft(
                user,
                {scope: consent_id},
                product="card" if scope == "partner_offers" else None,
                as_of=as_of,
                figure=figure,
                findings=findings,
            )
            for user, scope, consent_id in live
        ]
        if drafts:
            town.register(self.engine, *drafts, now=self.now)

    @rule(
        number=st.integers(0, 50),
        operator=OPERATORS,
        stale=st.booleans(),
        action=st.sampled_from(["approve", "reject", "undo"]),
    )
    def decide(self, number: int, operator: str, stale: bool, action: str) -> None:
        if (one := self.some(number)) is not None:
            hashed = one["original_hash"] if stale else one["content_hash"]
            asked = review.Request(action, one["recommendation_id"], operator, hashed, reason="because")
            review.decide(self.engine, [asked], self.now, four_eyes=self.four_eyes)

    @rule(
        number=st.integers(0, 50),
        operator=OPERATORS,
        sharp=st.booleans(),
        title=st.text(max_size=5),
    )
    def override(self, number: int, operator: str, sharp: bool, title: str) -> None:
        if (one := self.some(number)) is not None:
            review.override(
                self.engine,
                one["recommendation_id"],
                operator,
                self.now,
                guardrails=town.critical if sharp else town.no_findings,
                reason="calmer",
                title=title,
                four_eyes=self.four_eyes,
            )

    @rule()
    def the_gate_runs(self) -> None:
        town.gate(self.engine, self.now)

    @precondition(lambda self: hasattr(self, "now"))
    @invariant()
    def what_is_seen_may_be_seen(self) -> None:
        shown = town.feed(self.engine, self.now)
        with reading(self.engine) as session:
            assert audit.verify(session).ok
            assert release.every_release_had_consent(session).violations == []
            releases = [row.recommendation_id for row in session.query(Release)]
            assert len(releases) == len(set(releases))
            for row in shown:
                period = session.get_one(ConsentPeriod, row["consent_id"])
                assert period.closed_at is None
                last = session.query(ConsentEvent).filter_by(consent_id=period.consent_id).order_by(ConsentEvent.seq)
                assert [event.action for event in last][-1] != "closed"
                decision = session.get_one(Decision, row["decision_id"])
                assert decision.action in ("approve", "override")
                assert decision.content_hash == row["content_hash"]
                assert decision.operator_id in ("ada", "ben")
                assert decision.operator_id != row["user_id"] == period.user_id
                later = session.query(Decision).filter(
                    Decision.recommendation_id == row["recommendation_id"], Decision.ordinal > decision.ordinal
                )
                assert later.count() == 0
                authors = session.query(Decision).filter_by(
                    recommendation_id=row["recommendation_id"], content_hash=row["content_hash"], action="override"
                )
                last_author = authors.order_by(Decision.ordinal.desc()).first()
                assert not (self.four_eyes and last_author) or last_author.operator_id != decision.operator_id
                text = session.get_one(RecommendationText, (row["recommendation_id"], row["content_hash"]))
                assert (text.title, text.content) == (row["title"], row["content"])
                assert released_before_expiry(session, row["recommendation_id"])


def live_periods(session: Any) -> list[tuple[str, str, str]]:
    """Live periods, read without the code under test."""
    return [
        (period.user_id, period.scope, period.consent_id)
        for period in session.query(ConsentPeriod).filter(ConsentPeriod.closed_at.is_(None))
    ]


def released_before_expiry(session: Any, recommendation_id: str) -> bool:
    one = session.get_one(Recommendation, recommendation_id)
    return bool(one.released_at < one.expires_at)


AnyHistory.engine = connect("sqlite://")  # in memory: one thread, one connection
upgrade(AnyHistory.engine)

TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=5, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

"""Whatever happens in whatever order, what a customer sees has consent, a decision on its words, and no finding.

``make test`` tells a few short histories, ``make verify`` 2,000 of 50 steps.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, event, select, text, true

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import (
    audit,
    endings,
    feedback,
    operators,
    queue,
    release,
    review,
    standing,
    topics,
)
from spendsense_pipeline.governance.database import connect, reading, upgrade, writing
from spendsense_pipeline.governance.models import Base, ConsentPeriod, Recommendation, Release
from spendsense_pipeline_tests.governance import town, verdicts
from spendsense_pipeline_tests.governance.conftest import wipe

USERS = st.sampled_from(["mia", "noah", "ada"])  # ada is an operator too
OPERATORS = st.sampled_from(["ada", "ben", "ben", "gone", "eve"])
SCOPES = st.sampled_from([["education"], ["partner_offers"], ["education", "partner_offers"]])
NUMBERS = st.integers(0, 20)
CRITICAL = '[{"check": "tone", "severity": "critical", "message": "shames"}]'

RELEASED = text(
    """
    SELECT shown.recommendation_id, shown.content_hash, shown.released_at, one.expires_at, one.user_id,
           period.user_id AS consent_user, period.scope, one.content_type, period.closed_at,
           (SELECT action FROM consent_events said WHERE said.consent_id = shown.consent_id
             ORDER BY seq DESC LIMIT 1) AS last_said,
           (SELECT max(recorded_at) FROM consent_events said WHERE said.consent_id = shown.consent_id
             AND action <> 'closed') AS agreed_at,
           verdict.action, verdict.content_hash AS decided_hash, verdict.operator_id,
           (SELECT count(*) FROM decisions later WHERE later.recommendation_id = shown.recommendation_id
             AND later.ordinal > verdict.ordinal) AS overtaken,
           (SELECT operator_id FROM decisions wrote WHERE wrote.recommendation_id = shown.recommendation_id
             AND wrote.action = 'override' AND wrote.content_hash = shown.content_hash
             ORDER BY ordinal DESC LIMIT 1) AS author,
           words.severity, words.title, words.content,
           (SELECT count(*) FROM releases twin
             WHERE twin.recommendation_id = shown.recommendation_id) AS release_rows,
           one.product_id, one.template_id, one.template_hash, one.persona, shown.seq,
           (SELECT cause FROM recalls over WHERE over.release_id = shown.release_id) AS ended,
           (SELECT choice FROM topic_choices wish WHERE wish.user_id = one.user_id AND wish.topic = 'debt'
             ORDER BY seq DESC LIMIT 1) AS debt,
           (SELECT count(*) FROM wording_holds held WHERE held.template_id = one.template_id
             AND held.template_hash = one.template_hash AND held.cleared_at IS NULL) AS held
      FROM releases shown
      LEFT JOIN recommendations one ON one.recommendation_id = shown.recommendation_id
      LEFT JOIN consent_periods period ON period.consent_id = shown.consent_id
      LEFT JOIN decisions verdict ON verdict.decision_id = shown.decision_id
      LEFT JOIN recommendation_texts words ON words.recommendation_id = shown.recommendation_id
            AND words.content_hash = shown.content_hash
    """
)
"""Every release with what it rests on, in SQL of its own: none of it comes from the code under test."""


class Crash(Exception):
    """The process dies here."""


class AnyHistory(RuleBasedStateMachine):
    """Customers, operators, runs and clocks in any order, on one database."""

    engine: ClassVar[Engine]
    dies_at: ClassVar[int | None] = None
    told: ClassVar[Counter[str]] = Counter()

    @initialize(
        four_eyes=st.booleans(), consent_days=st.sampled_from([0, 3, 10]), weekly_cap=st.sampled_from([0, 1, 2])
    )
    def open(self, four_eyes: bool, consent_days: int, weekly_cap: int) -> None:
        self.four_eyes, self.consent_days, self.weekly_cap = four_eyes, consent_days, weekly_cap
        self.withdrawn: set[str] = set()
        self.sent = 0
        self.now, self.figure, self.template, self.checked = town.NOW, 0.5, "a", None
        AnyHistory.dies_at = None
        self.told["histories"] += 1
        wipe(self.engine)
        with writing(self.engine) as session:
            for name in ("ada", "ben", "gone"):
                operators.add(session, name, self.now)
            operators.deactivate(session, "gone", self.now)
        for user in ("mia", "noah"):
            town.grant(self.engine, user, self.now)

    def act(self, action: Callable[[], Any]) -> Any:
        """Do it; where the process dies on the way, find everything as it was before."""
        self.told["actions"] += 1
        if AnyHistory.dies_at is None:
            return action()
        before = everything(self.engine)
        try:
            return action()
        except Crash:
            assert everything(self.engine) == before
            self.told["crashes"] += 1
        finally:
            AnyHistory.dies_at = None

    def some(self, number: int, waiting: bool = False) -> dict[str, Any] | None:
        """Any recommendation there is, or any that waits, the newest first, as its id and hashes."""
        with reading(self.engine) as session:
            rows = session.execute(
                select(Recommendation.recommendation_id, Recommendation.content_hash, Recommendation.original_hash)
                .where(Recommendation.status == "pending_approval" if waiting else true())
                .order_by(Recommendation.registered_at.desc(), Recommendation.recommendation_id)
            ).all()
        return dict(rows[number % len(rows)]._mapping) if rows else None

    @rule(user=USERS, scopes=SCOPES)
    def grant(self, user: str, scopes: list[str]) -> None:
        self.act(lambda: town.grant(self.engine, user, self.now, scopes=scopes, consent_days=self.consent_days))

    @rule(user=USERS, scopes=SCOPES)
    def revoke(self, user: str, scopes: list[str]) -> None:
        told = self.act(lambda: town.revoke(self.engine, user, self.now, scopes=scopes)) or []
        self.told["recalled"] += sum(len(row["recalled"]) for row in told)
        self.told["voided"] += sum(len(row["voided"]) for row in told)

    @rule(user=USERS, wanted=st.sampled_from([True, True, True, False]))
    def switches_a_topic(self, user: str, wanted: bool) -> None:
        def choose() -> None:
            with writing(self.engine) as session:
                topics.choose(session, user, {"debt": wanted}, self.now, actor=user, source="test", channel="app")

        self.act(choose)
        self.told["topic switched"] += 1

    @rule(
        number=NUMBERS,
        kind=st.sampled_from(["seen", "dismissed", "complaint", "wrong_figure"]),
        twice=st.booleans(),
    )
    def says_something_back(self, number: int, kind: str, twice: bool) -> None:
        with reading(self.engine) as session:
            releases = session.scalars(select(Release.release_id).order_by(Release.seq)).all()
        if not releases:
            return
        self.sent += not twice
        event = {
            "event_id": f"e{self.sent}",
            "release_id": releases[number % len(releases)],
            "kind": kind,
            "occurred_at": self.now,
        }
        done = self.act(lambda: feedback.record(self.engine, [event], self.now, source="test"))
        if done is not None:
            assert done["accepted"] + done["duplicate"] + len(done["refused"]) == 1
            self.told["held"] += len(done["held"])

    @rule()
    def an_operator_looks_at_what_is_held(self) -> None:
        with reading(self.engine) as session:
            held = endings.holds(session)
        for one in held:
            reference = f"{one['template_id']}@{one['template_hash']}"
            self.act(lambda at=reference: endings.clear_hold(self.engine, at, "ben", self.now, note="looked"))

    @rule(template=st.sampled_from(["a", "b", "c"]), gone=st.booleans())
    def the_catalogue_changes(self, template: str, gone: bool) -> None:
        (self.withdrawn.add if gone else self.withdrawn.discard)(f"card {template}")

    @rule(number=NUMBERS, what=st.sampled_from(["recommendation", "template", "product", "operator"]))
    def an_admin_recalls(self, number: int, what: str) -> None:
        if (one := self.some(number)) is None:
            return
        subject = {
            "recommendation": one["recommendation_id"],
            "template": "a@" + town.draft("mia", {"education": "x"}, template="a")["template_hash"],
            "product": "card a",
            "operator": "ben",
        }[what]
        since = self.now - dt.timedelta(days=1) if what == "operator" else None
        try:
            done = self.act(lambda: endings.recall(self.engine, what, subject, self.now, reason="a test", since=since))
        except SpendSenseError as refused:
            if refused.code not in ("nothing_to_recall", "unknown_template"):
                raise
            return
        self.told["recalled by order"] += len(done["recalled"]) if done else 0

    @rule(template=st.sampled_from(["a", "b", "c"]))
    def an_operator_approves_later_drafts_too(self, template: str) -> None:
        reference = f"{template}@" + town.draft("mia", {"education": "x"}, template=template)["template_hash"]
        with reading(self.engine) as session:
            waiting = session.scalars(
                select(Recommendation.recommendation_id).where(
                    Recommendation.template_id == template, Recommendation.status == "pending_approval"
                )
            ).first()
        if waiting is None:
            return
        self.act(lambda: queue.show(self.engine, waiting, self.now, operator_id="ada"))
        until = self.now + dt.timedelta(days=60)
        try:
            self.act(lambda: standing.approve(self.engine, reference, "ada", self.now, until=until, read_percent=1))
        except SpendSenseError as refused:
            if refused.code != "sample_required":  # the process died before the text was shown
                raise
        self.decide_all("approve", "ben", stale=False)
        self.the_gate_runs()
        self.now += dt.timedelta(days=15)  # what was said may be said again
        self.template = template
        self.run(self.now.date(), "[]")
        self.standing_approvals_are_applied()

    @rule()
    def standing_approvals_are_applied(self) -> None:
        approved = self.act(lambda: standing.apply(self.engine, self.now, four_eyes=self.four_eyes))
        self.told["approved by standing approval"] += len(approved or ())

    @rule(hours=st.sampled_from([1, 1, 24, 24 * 15, -2]))
    def the_clock_steps(self, hours: int) -> None:
        self.now += dt.timedelta(hours=hours)

    @rule(n=st.integers(0, 8))
    def the_next_one_will_crash(self, n: int) -> None:
        AnyHistory.dies_at = n

    @rule(
        back=st.sampled_from([0, 0, 1]),
        figure=st.sampled_from([0.5, 0.52, 0.9]),
        findings=st.sampled_from(["[]", "[]", CRITICAL]),
    )
    def a_day_is_run(self, back: int, figure: float, findings: str) -> None:
        self.figure = figure
        self.run(self.now.date() - dt.timedelta(days=back), findings)

    @rule(
        figure=st.sampled_from([0.5, 0.9]),
        template=st.sampled_from(["a", "b", "c"]),
        reworded=st.booleans(),
        released=st.booleans(),
    )
    def an_ordinary_day(self, figure: float, template: str, reworded: bool, released: bool) -> None:
        """What would take chance too many steps to bring about: drafts reworded, approved, and perhaps sent out."""
        self.figure, self.template = figure, template
        self.run(self.now.date(), "[]")
        if reworded:
            self.override(0, True, "ben", False, "calmer")
            self.decide_all("approve", "ada", stale=True)
        self.decide_all("approve", "ben", stale=False)
        if reworded:
            self.decide_all("approve", "ada", stale=False)
        if released:
            self.the_gate_runs()

    @rule(findings=st.sampled_from(["[]", CRITICAL]))
    def the_day_is_run_again(self, findings: str) -> None:
        self.run(self.now.date(), findings)

    def run(self, as_of: dt.date, findings: str) -> None:
        with reading(self.engine) as session:
            live = session.query(ConsentPeriod).filter(ConsentPeriod.closed_at.is_(None)).all()
        drafts = [
            town.draft(
                period.user_id,
                {period.scope: period.consent_id},
                product=f"card {self.template}" if period.scope == "partner_offers" else None,
                as_of=as_of,
                figure=self.figure,
                template=self.template,
                findings=findings,
            )
            for period in live
        ]
        if drafts:
            self.act(lambda: town.register(self.engine, *drafts, now=self.now, consent_days=self.consent_days))

    @rule(
        number=NUMBERS,
        waiting=st.booleans(),
        operator=OPERATORS,
        stale=st.sampled_from([False, False, True]),
        action=st.sampled_from(["approve", "reject", "reject", "undo"]),
    )
    def decide(self, number: int, waiting: bool, operator: str, stale: bool, action: str) -> None:
        if (one := self.some(number, waiting)) is not None:
            hashed = one["original_hash"] if stale else one["content_hash"]
            asked = review.Request(action, one["recommendation_id"], operator, hashed, reason="because")
            self.count(self.act(lambda: review.decide(self.engine, [asked], self.now, four_eyes=self.four_eyes)))

    @rule(
        action=st.sampled_from(["approve", "approve", "undo"]),
        operator=OPERATORS,
        stale=st.sampled_from([False, False, True]),
    )
    def decide_all(self, action: str, operator: str, stale: bool) -> None:
        seen = Recommendation.original_hash if stale else Recommendation.content_hash
        with reading(self.engine) as session:
            rows = session.execute(select(Recommendation.recommendation_id, seen)).all()
        asked = [review.Request(action, name, operator, hashed) for name, hashed in rows]
        self.count(self.act(lambda: review.decide(self.engine, asked, self.now, four_eyes=self.four_eyes)))

    @rule(
        number=NUMBERS,
        waiting=st.sampled_from([True, True, False]),
        operator=OPERATORS,
        sharp=st.sampled_from([False, False, True]),
        title=st.text(max_size=5),
    )
    def override(self, number: int, waiting: bool, operator: str, sharp: bool, title: str) -> None:
        if (one := self.some(number, waiting)) is not None:
            told = self.act(
                lambda: verdicts.override(
                    self.engine,
                    one["recommendation_id"],
                    operator,
                    self.now,
                    guardrails=town.critical if sharp else town.no_findings,
                    reason="calmer",
                    title=title,
                    four_eyes=self.four_eyes,
                )
            )
            self.count(told)

    def count(self, told: list[dict[str, Any]] | None) -> None:
        self.told.update(row["refused"] or row["status"] for row in told or ())

    @rule()
    def the_gate_runs(self) -> None:
        terms: dict[str, Any] = {
            "consent_days": self.consent_days,
            "withdrawn": lambda: set(self.withdrawn),
            "weekly_cap": self.weekly_cap,
        }
        proposed = release.propose(self.engine, self.now, **terms)
        gate = self.act(lambda: town.gate(self.engine, self.now, **terms))
        if gate is not None:
            assert bool(gate.released) == bool(proposed.at_least), "the sensor starts a run if and only if it helps"
            self.told["released"] += len(gate.released)
            self.told["lapsed and recalled"] += gate.ended.get("lapsed", 0)
            self.told.update({cause: number for cause, number in gate.ended.items() if cause != "lapsed"})
            if self.weekly_cap:
                with reading(self.engine) as session:
                    week = self.now - dt.timedelta(days=7)
                    rows = session.execute(
                        select(Recommendation.user_id, Recommendation.recommendation_id).where(
                            Recommendation.released_at > week, Recommendation.released_at <= self.now
                        )
                    ).all()
                sent_now = {row.user_id for row in rows if row.recommendation_id in set(gate.released)}
                had = Counter(row.user_id for row in rows)
                assert all(had[user] <= self.weekly_cap for user in sent_now)

    @precondition(lambda self: hasattr(self, "now"))
    @invariant()
    def what_is_seen_may_be_seen(self) -> None:
        self.told["steps"] += 1
        changes = self.engine.raw_connection().driver_connection.total_changes
        if self.checked == (changes, self.now, self.withdrawn):
            return
        rows = town.feed(self.engine, self.now, consent_days=self.consent_days, withdrawn=set(self.withdrawn))
        shown = {row["recommendation_id"]: row for row in rows}
        with reading(self.engine) as session:
            if self.checked is None or self.checked[0] != changes:
                found = audit.verify(session)
                assert found.ok, found
                assert release.every_release_had_consent(session).violations == []
            releases = session.execute(RELEASED).all()
        pieces = [
            (row.user_id, row.product_id or row.template_id) for row in releases if row.recommendation_id in shown
        ]
        assert len(set(pieces)) == len(pieces), "one of each piece"
        for row in releases:
            assert row.release_rows == 1
            assert row.user_id == row.consent_user
            assert row.scope == {"education": "education", "partner_offer": "partner_offers"}[row.content_type]
            assert row.action in ("approve", "override")
            assert row.decided_hash == row.content_hash
            assert not row.overtaken
            assert row.operator_id in ("ada", "ben")
            assert row.operator_id != row.user_id
            assert not (self.four_eyes and row.author == row.operator_id)
            assert row.released_at < row.expires_at
            if row.recommendation_id in shown:
                seen = shown.pop(row.recommendation_id)
                assert (seen["title"], seen["content"]) == (row.title, row.content)
                assert row.severity < 2
                assert row.ended is None
                assert seen["expires_at"] > self.now
                assert row.product_id not in self.withdrawn
                assert not row.held
                assert row.content_type == "partner_offer" or row.debt != "declined"
                assert (row.closed_at, row.last_said == "closed") == (None, False)
                if self.consent_days:
                    agreed = dt.datetime.fromisoformat(row.agreed_at).replace(tzinfo=dt.UTC)
                    assert agreed + dt.timedelta(days=self.consent_days) > self.now
        assert shown == {}, "what is seen was released"
        self.checked = (changes, self.now, set(self.withdrawn))


def everything(engine: Engine) -> dict[str, list[Any]]:
    """Every row of every table."""
    with engine.connect() as connection:
        return {table.name: connection.execute(table.select()).all() for table in Base.metadata.sorted_tables}


def mortal(engine: Engine) -> None:
    """Let the process die before its n-th write, or before the commit that follows the last."""

    def step(*_: Any) -> None:
        if AnyHistory.dies_at is not None:
            if AnyHistory.dies_at == 0:
                raise Crash
            AnyHistory.dies_at -= 1

    def write(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            step()

    event.listen(engine, "before_cursor_execute", write)
    event.listen(engine, "commit", step)


AnyHistory.engine = connect("sqlite://")  # in memory: one thread, one connection
upgrade(AnyHistory.engine)
mortal(AnyHistory.engine)


def tell(examples: int, steps: int) -> Counter[str]:
    AnyHistory.told = Counter()
    run_state_machine_as_test(
        AnyHistory,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return AnyHistory.told


def test_no_history_shows_what_may_not_be_seen() -> None:
    tell(8, 30)


@pytest.mark.verify
@pytest.mark.parametrize("part", range(1, 11))
def test_no_long_history_shows_what_may_not_be_seen(part: int, record_property: Callable[[str, object], None]) -> None:
    """2,000 histories in ten parts: a run that is cut says how far it came, and cores share them."""
    told = tell(200, 50)
    record_property("told", dict(told))
    for happened in (
        *("released", "recalled", "voided", "lapsed and recalled", "crashes", "approved", "overridden", "rejected"),
        *("critical_finding", "four_eyes", "own_recommendation", "changed", "already_released", "expired"),
        *("held", "recalled by order", "approved by standing approval", "replaced", "product_withdrawn"),
    ):
        assert told[happened], f"{happened}: not once, this proves little"

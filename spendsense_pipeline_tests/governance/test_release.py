"""Nothing gets out without live consent and a standing decision on its exact text, and nothing twice."""

import ast
import datetime as dt
import inspect
import itertools
import json
from typing import Any

import pytest
from sqlalchemy import Engine, delete, text, update
from sqlalchemy.exc import IntegrityError

from spendsense_pipeline.governance import consent, release, review
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.database_frames import releases
from spendsense_pipeline.governance.models import AuditEntry, Decision, Recommendation, RecommendationText, Release
from spendsense_pipeline.governance.release import Allow, Deny, ReleaseFacts, release_decision
from spendsense_pipeline_tests.governance import town, verdicts
from spendsense_pipeline_tests.governance.town import (
    DAY,
    HOUR,
    NOW,
    approve,
    draft,
    feed,
    gate,
    grant,
    outcome,
    register,
    revoke,
    seen,
    status,
    waiting_draft,
)

RELEASABLE = ReleaseFacts(
    recommendation_id="rec_1",
    user_id="mia",
    content_type="education",
    status="approved",
    content_hash="a" * 64,
    expires_at=NOW + DAY,
    consent_id="con_1",
    consent_user="mia",
    consent_scope="education",
    consent_opened_at=NOW - DAY,
    consent_agreed_at=NOW - DAY,
    consent_closed_at=None,
    decision_id="dec_1",
    decision_action="approve",
    decision_hash="a" * 64,
    decision_overtaken=False,
    severity=0,
    release_id=None,
)


OFFER = {"product_id": "p1", "content_type": "partner_offer", "consent_scope": "partner_offers"}

LACKING: list[tuple[dict[str, Any], str]] = [
    ({"status": "pending_approval"}, "pending"),
    ({"status": "rejected"}, "rejected"),
    ({"status": "superseded"}, "superseded"),
    ({"status": "voided"}, "voided"),
    ({"status": "expired"}, "expired"),
    ({"status": "expired", "expires_at": NOW}, "expired"),
    ({"status": "a status of the future"}, "a status of the future"),
    ({"expires_at": NOW}, "expired"),
    ({"release_id": "rel_1"}, "already_released"),
    ({"consent_id": None}, "without_consent"),
    ({"consent_closed_at": NOW - HOUR}, "without_consent"),
    ({"consent_opened_at": NOW + HOUR}, "without_consent"),
    ({"consent_opened_at": None}, "without_consent"),
    ({"consent_user": "noah"}, "without_consent"),
    ({"consent_user": None, "user_id": None}, "without_consent"),
    ({"consent_scope": "partner_offers"}, "without_consent"),
    ({"content_type": "partner_offer"}, "without_consent"),
    ({"content_type": "horoscope"}, "without_consent"),
    ({"content_type": "horoscope", "consent_scope": None}, "without_consent"),
    ({"consent_days": 30, "consent_agreed_at": NOW - 30 * DAY}, "consent_lapsed"),
    ({"consent_days": 30, "consent_agreed_at": None}, "consent_lapsed"),
    ({"decision_id": None}, "without_decision"),
    ({"decision_action": None}, "without_decision"),
    ({"decision_action": "undo"}, "without_decision"),
    ({"decision_action": "reject"}, "without_decision"),
    ({"decision_overtaken": True}, "without_decision"),
    ({"decision_hash": None}, "text_changed"),
    ({"decision_hash": None, "content_hash": None}, "text_changed"),
    ({"decision_hash": "b" * 64}, "text_changed"),
    ({"severity": 2}, "critical_finding"),
    ({"severity": 3}, "critical_finding"),
    ({"severity": None}, "critical_finding"),
    ({**OFFER, "withdrawn": {"p1"}}, "product_withdrawn"),
    ({"topic_declined": True}, "topic_declined"),
    ({"wording_held": True}, "wording_held"),
    ({"withheld": True}, "withheld"),
]
ENOUGH: list[dict[str, Any]] = [
    {},
    {"status": "overridden", "decision_action": "override"},
    {"severity": 1},
    {"consent_opened_at": NOW},
    {"consent_agreed_at": None},
    {"consent_days": 30, "consent_agreed_at": NOW - 29 * DAY},
    {**OFFER, "withdrawn": {"p2"}},
    {"withdrawn": {"p1"}},
]


def judged(rule: Any, changed: dict[str, Any]) -> Allow | Deny:
    around = ("consent_days", "withdrawn")
    facts = RELEASABLE._replace(**{name: value for name, value in changed.items() if name not in around})
    verdict: Allow | Deny = rule(facts, NOW, **{name: value for name, value in changed.items() if name in around})
    return verdict


def holds(rule: Any) -> bool:
    """Whether the rule allows what has everything and denies, with its one reason, whatever lacks one thing."""
    return all(judged(rule, changed) == Allow("con_1", "dec_1") for changed in ENOUGH) and all(
        judged(rule, changed) == Deny((reason,)) for changed, reason in LACKING
    )


@pytest.mark.parametrize(("changed", "reason"), LACKING)
def test_each_thing_that_is_missing_denies_with_its_reason(changed: dict[str, Any], reason: str) -> None:
    assert judged(release_decision, changed) == Deny((reason,))


@pytest.mark.parametrize("changed", ENOUGH)
def test_what_has_enough_may_go_out(changed: dict[str, Any]) -> None:
    assert judged(release_decision, changed) == Allow("con_1", "dec_1")


class WithoutCheck(ast.NodeTransformer):
    """Takes one check out of the rule: a condition never holds, a part of an ``or`` neither, one of an ``and`` always.

    The last condition repeats for the type checker what the reasons imply; only its ``reasons`` are a check.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.removed: str | None = None

    def out(self, node: ast.expr, value: bool) -> ast.expr:
        self.number -= 1
        if self.number == -1:
            self.removed = ast.unparse(node)
            return ast.copy_location(ast.Constant(value), node)
        kept: ast.expr = self.visit(node)
        return kept

    def visit_If(self, node: ast.If) -> ast.If:
        node.test = self.out(node.test, False)
        node.body = [self.visit(step) for step in node.body]
        node.orelse = [self.visit(step) for step in node.orelse]
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.BoolOp:
        last = ast.unparse(node).startswith("reasons or")
        parts = node.values[:1] if last else node.values
        node.values = [*(self.out(part, isinstance(node.op, ast.And)) for part in parts), *node.values[len(parts) :]]
        return node


def without_check(number: int) -> tuple[str | None, Any]:
    """The rule without its n-th check, and what that was; None after the last."""
    rules = [release_decision, release._consent_reasons]
    change = WithoutCheck(number)
    world = dict(vars(release))
    for rule in rules:
        tree = change.visit(ast.parse(inspect.getsource(rule)))
        exec(compile(ast.fix_missing_locations(tree), "<rule>", "exec"), world)
    return change.removed, world["release_decision"]


def test_no_check_of_the_rule_can_be_taken_out_unnoticed() -> None:
    assert holds(release_decision)
    removed = []
    for number in itertools.count():
        what, rule = without_check(number)
        if what is None:
            break
        removed.append(what)
        try:
            noticed = not holds(rule)
        except TypeError:  # None was compared: noticed loudly
            noticed = True
        assert noticed, f"without `{what}` every case still comes out right"
    assert len(removed) >= 20, removed


def test_nothing_known_denies() -> None:
    nothing = dict.fromkeys(ReleaseFacts._fields) | {"status": "approved", "expires_at": NOW + DAY}
    assert isinstance(release_decision(ReleaseFacts(**nothing), NOW), Deny)


def test_an_approved_draft_is_released_once_and_shown(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    assert gate(engine, run_id="run-1").released == [one["recommendation_id"]]
    (shown,) = feed(engine, user_id="mia")
    assert (shown["title"], shown["content_hash"]) == (one["title"], one["content_hash"])
    assert set(shown) == {
        *("release_id", "recommendation_id", "user_id", "title", "content"),
        *("content_hash", "consent_id", "decision_id", "released_at", "content_type", "product_id", "persona"),
        *("insight", "as_of", "rationale", "slots", "expires_at"),
    }
    assert feed(engine, user_id="noah") == []
    again = gate(engine, NOW + HOUR)
    assert (again.released, again.recalled, again.blocked) == ([], [], {})


def test_a_revocation_between_approval_and_release_stops_the_release(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    revoke(engine, "mia")
    assert gate(engine).released == []
    assert status(engine, one) == "voided"


def test_a_revocation_empties_the_feed_and_a_later_grant_brings_nothing_back(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    gate(engine)
    (education, offers) = revoke(engine, "mia", NOW + HOUR)
    assert (education["status"], education["recalled"]) == ("revoked", [one["recommendation_id"]])
    assert offers["recalled"] == []
    assert feed(engine, NOW + HOUR) == []
    again = grant(engine, "mia", NOW + DAY)
    assert feed(engine, NOW + DAY) == []
    assert gate(engine, NOW + DAY).released == []
    fresh = draft("mia", again)
    assert fresh["recommendation_id"] != one["recommendation_id"]
    assert register(engine, fresh, now=NOW + DAY).registered == 1


def test_the_gate_says_what_blocks(engine: Engine) -> None:
    consents = grant(engine, "mia")
    late, waits = draft("mia", consents, template="late"), draft("mia", consents, template="waits")
    register(engine, late)
    approve(engine, late)
    register(engine, late, waits, now=NOW + 13 * DAY)
    proposed = release.propose(engine, NOW + 14 * DAY)
    assert (proposed.at_least, proposed.blocked) == (0, {"expired": 1, "pending": 1})
    assert release.propose(engine, NOW + 13 * DAY).at_least == 1
    assert gate(engine, NOW + 14 * DAY).blocked == proposed.blocked
    assert gate(engine, NOW + 14 * DAY).blocked == {"pending": 1}, "what expired is written down by then"


def test_a_lapsed_consent_is_closed_by_the_gate_and_its_releases_recalled(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    gate(engine, consent_days=30)
    other = draft("mia", {"partner_offers": grant(engine, "mia", NOW + 5 * DAY)["partner_offers"]}, product="card")
    register(engine, other, now=NOW + 20 * DAY)
    approve(engine, other, now=NOW + 20 * DAY)
    assert feed(engine, NOW + 35 * DAY, consent_days=30) == [], "the feed does not wait for the gate"
    lapsed = gate(engine, NOW + 35 * DAY, consent_days=30)
    assert lapsed.recalled == [one["recommendation_id"]]
    assert lapsed.released == []
    assert feed(engine, NOW + 35 * DAY) == []


def test_a_finding_that_turned_critical_after_the_approval_stops_the_release(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    worse = one | {"findings": '[{"check": "tone", "severity": "critical", "message": "shames"}]'}
    assert register(engine, worse, now=NOW + HOUR).unchanged == 1
    assert gate(engine, NOW + HOUR).blocked == {"critical_finding": 1}


def test_a_finding_that_turned_critical_after_the_release_holds_the_text_back(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    gate(engine)
    worse = one | {"findings": '[{"check": "tone", "severity": "critical", "message": "shames"}]'}
    register(engine, worse, now=NOW + HOUR)
    assert feed(engine, NOW + HOUR) == []
    register(engine, one, now=NOW + 2 * HOUR)
    assert len(feed(engine, NOW + 2 * HOUR)) == 1


def test_an_undone_approval_releases_nothing(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    assert outcome(verdicts.undo(engine, [seen(one)], "ben", NOW)) == "pending_approval"
    assert gate(engine).blocked == {"pending": 1}


def release_row(one: dict[str, Any], decision_id: str | None, **changes: Any) -> dict[str, Any]:
    row = {"release_id": "rel_x", "seq": 99, "recommendation_id": one["recommendation_id"], "released_at": NOW}
    cited = {"consent_id": one["consent_id"], "decision_id": decision_id, "content_hash": one["content_hash"]}
    return row | cited | changes


def test_the_database_itself_refuses_a_release_without_its_rows(engine: Engine) -> None:
    one, other = waiting_draft(engine), waiting_draft(engine, "noah")
    approve(engine, one)
    approve(engine, other)
    with reading(engine) as session:
        decisions = {row.recommendation_id: row.decision_id for row in session.query(Decision)}
    mine, theirs = decisions[one["recommendation_id"]], decisions[other["recommendation_id"]]
    impossible = [
        release_row(one, mine, consent_id=None),
        release_row(one, None),
        release_row(one, mine, content_hash=None),
        release_row(one, mine, consent_id="con_invented"),
        release_row(one, mine, consent_id=other["consent_id"]),
        release_row(one, "dec_invented"),
        release_row(one, theirs),
        release_row(one, mine, content_hash="b" * 64),
        release_row(one, mine, recommendation_id="rec_invented"),
    ]
    for row in impossible:
        with pytest.raises(IntegrityError), writing(engine) as session:
            session.execute(Release.__table__.insert(), [row])
    with writing(engine) as session:
        session.execute(Release.__table__.insert(), [release_row(one, mine)])
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.execute(Release.__table__.insert(), [release_row(one, mine, release_id="rel_y", seq=100)])


def test_releases_are_proved_from_stored_rows_and_a_forged_one_is_named(engine: Engine) -> None:
    ones = [waiting_draft(engine, user) for user in ("mia", "noah", "zoe")]
    approve(engine, *ones)
    gate(engine)
    with reading(engine) as session:
        assert release.every_release_had_consent(session) == ([], 3)
    revoke(engine, "mia", NOW + HOUR)
    verdicts.undo(engine, [seen(ones[1])], "ada", NOW + HOUR)
    with reading(engine) as session:
        assert release.every_release_had_consent(session) == ([], 3), "what came later changes nothing"
    with writing(engine) as session:
        session.execute(text("UPDATE consent_events SET seq = 900 WHERE user_id = 'noah' AND scope = 'education'"))
        session.execute(
            text("UPDATE decisions SET action = 'undo' WHERE recommendation_id = :it").bindparams(
                it=ones[2]["recommendation_id"]
            )
        )
    with reading(engine) as session:
        proof = release.every_release_had_consent(session)
    assert sorted(proof.violations) == sorted(one["recommendation_id"] for one in ones[1:])


def test_a_decision_taken_back_before_the_release_counts_as_none(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    verdicts.undo(engine, [seen(one)], "ada", NOW)
    with writing(engine) as session:  # somebody bends the status past the rules
        decision = session.query(Decision).filter_by(ordinal=1).one()
        session.execute(update(Recommendation).values(status="approved", decision_id=decision.decision_id))
    assert gate(engine).blocked == {"without_decision": 1}
    with writing(engine) as session:
        session.execute(Release.__table__.insert(), [release_row(one, decision.decision_id)])
    with reading(engine) as session:
        assert release.every_release_had_consent(session).violations == [one["recommendation_id"]]


def test_a_release_under_a_lapsed_consent_is_named_and_a_later_setting_accuses_none(engine: Engine) -> None:
    ones = [waiting_draft(engine, user) for user in ("mia", "noah", "zoe")]
    approve(engine, *ones)
    grant(engine, "noah", NOW + 5 * DAY)  # renewed: counts from here
    gate(engine, NOW + 10 * DAY)
    with reading(engine) as session:
        assert release.every_release_had_consent(session).violations == []
    with writing(engine) as session:  # as if somebody's gate had not looked at the limit in force
        session.execute(
            text("UPDATE releases SET consent_days = 10 WHERE recommendation_id != :other").bindparams(
                other=ones[2]["recommendation_id"]
            )
        )
    with reading(engine) as session:
        assert release.every_release_had_consent(session).violations == [ones[0]["recommendation_id"]]


def test_the_limit_counts_from_the_day_that_a_file_gave(engine: Engine) -> None:
    with writing(engine) as session:
        said = [{"user_id": "mia", "consent_status": True, "consent_granted_at": NOW - 40 * DAY}]
        consent.open_first_periods(session, said, NOW, source="batch-1")
        consents = {row.scope: row.consent_id for row in consent.live_consents(session, NOW)}
    one = draft("mia", consents)
    register(engine, one)
    approve(engine, one)
    assert gate(engine).released == [one["recommendation_id"]]
    for days, violations in [(41, []), (40, [one["recommendation_id"]])]:
        with writing(engine) as session:
            session.execute(update(Release).values(consent_days=days))
            assert release.every_release_had_consent(session).violations == violations


def test_the_limit_in_force_stands_with_the_release_and_in_the_chain(engine: Engine) -> None:
    approve(engine, waiting_draft(engine))
    gate(engine, consent_days=30)
    with reading(engine) as session:
        (one,) = session.query(Release)
        link = session.query(AuditEntry).filter_by(seq=one.seq).one()
        assert (one.consent_days, json.loads(link.payload)["consent_days"]) == (30, 30)
        assert release.every_release_had_consent(session) == ([], 1)


def test_what_the_index_counts_the_rule_would_judge_the_same() -> None:
    """The gate asks ``release_decision`` only about what is decided and in time; the rest it counts."""
    chances = itertools.product(["pending_approval", "approved", "overridden"], *[[True, False]] * 3)
    for status_, late, closed, critical in chances:
        facts = RELEASABLE._replace(
            status=status_,
            expires_at=NOW if late else NOW + HOUR,
            consent_closed_at=NOW - HOUR if closed else None,
            severity=2 if critical else 0,
        )
        if late or status_ == "pending_approval":
            verdict = release_decision(facts, NOW)
            assert isinstance(verdict, Deny)
            assert verdict.reasons[0] == ("expired" if late else "pending")


def test_the_sensor_s_question_is_answered_by_the_first_few(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "ENOUGH", 2)
    consents = grant(engine, "mia")
    ones = [draft("mia", consents, template=name) for name in "abcdef"]
    register(engine, *ones)
    approve(engine, *ones[:5])
    assert release.propose(engine, NOW) == release.Proposal(2, {"pending": 1})
    critical = '[{"check": "tone", "severity": "critical", "message": "shames"}]'
    register(engine, *(one | {"findings": critical} for one in ones[:4]), *ones[4:])
    assert release.propose(engine, NOW).at_least == 1, "whoever stands behind the first few is not forgotten"
    register(engine, *(one | {"findings": critical} for one in ones))
    assert release.propose(engine, NOW) == release.Proposal(0, {"critical_finding": 5, "pending": 1})


def test_the_gate_survives_a_text_that_is_gone(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.connection.driver_connection.execute("PRAGMA foreign_keys = OFF")
            connection.connection.driver_connection.execute("DELETE FROM recommendation_texts")
        else:
            connection.execute(text("SET session_replication_role = replica"))
            connection.execute(delete(RecommendationText))
            connection.commit()
        connection.invalidate()
    assert gate(engine).blocked == {"critical_finding": 1}


def test_expiry_is_the_clock_s_word_written_down_or_not(engine: Engine) -> None:
    one = waiting_draft(engine)
    just_before = NOW + 14 * DAY - dt.timedelta(microseconds=1)
    assert status(engine, one, just_before) == "pending_approval"
    assert status(engine, one, NOW + 14 * DAY) == "expired"
    assert outcome(approve(engine, one, now=NOW + 14 * DAY)) == "expired"


def test_a_renewed_consent_is_proved_by_its_renewal(engine: Engine) -> None:
    grant(engine, "mia")
    consents = grant(engine, "mia", NOW + 20 * DAY, consent_days=30)
    one = draft("mia", {"education": consents["education"]})
    register(engine, one, now=NOW + 35 * DAY, consent_days=30)
    approve(engine, one, now=NOW + 35 * DAY)
    assert gate(engine, NOW + 40 * DAY, consent_days=30).released == [one["recommendation_id"]]
    with reading(engine) as session:
        assert release.every_release_had_consent(session).violations == []


def test_a_notable_finding_is_shown_and_does_not_stop_a_release(engine: Engine) -> None:
    one = waiting_draft(
        engine, findings='[{"check": "tone", "severity": "notable", "message": "reads like a command"}]'
    )
    approve(engine, one)
    assert gate(engine).released == [one["recommendation_id"]]


def test_a_day_s_evaluation_verifies_what_was_released_from_a_moment_on(engine: Engine) -> None:
    early, late = (draft(user, grant(engine, user)) for user in ("mia", "noah"))
    for one, now in ((early, NOW), (late, NOW + 2 * DAY)):
        register(engine, one, now=now)
        approve(engine, one, now=now)
        assert gate(engine, now).released == [one["recommendation_id"]]
    both, one = [early["recommendation_id"], late["recommendation_id"]], [late["recommendation_id"]]
    with reading(engine) as session:
        for since, expected in ((NOW, both), (NOW + HOUR, one), (NOW + 3 * DAY, [])):
            assert releases(session, since).rows["recommendation_id"].tolist() == expected


def _written_over(engine: Engine, one: dict[str, Any], **columns: str) -> None:
    """Somebody with access to the database puts other words under the hash, or other figures beside them."""
    with engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
        connection.execute(
            update(RecommendationText)
            .where(RecommendationText.recommendation_id == one["recommendation_id"])
            .values(**columns)
        )


@pytest.mark.parametrize(
    "other",
    [
        {"content": "Act now."},
        {"slots": '{"product_link": {"signal": null, "value": "x", "shown": "https://elsewhere.example/"}}'},
        {"reasons": "[]"},
    ],
    ids=lambda one: next(iter(one)),
)
class TestWordsUnderAHash:
    """A text that was changed behind the record's back is decided by nobody, released by nothing, shown to nobody."""

    def test_it_is_not_approved_nor_overridden(self, engine: Engine, other: dict[str, str]) -> None:
        one = waiting_draft(engine)
        _written_over(engine, one, **other)
        assert outcome(approve(engine, one)) == "text_changed"
        asked = [review.Request("override", one["recommendation_id"], "ada", reason="better", content="Other words.")]
        assert outcome(review.decide(engine, asked, NOW, guardrails=town.no_findings)) == "text_changed"

    def test_it_is_not_released_and_named(self, engine: Engine, other: dict[str, str]) -> None:
        one, whole = waiting_draft(engine), waiting_draft(engine, "noah")
        approve(engine, one, whole)
        _written_over(engine, one, **other)
        ran = gate(engine)
        assert ran.released == [whole["recommendation_id"]]
        assert ran.refused == {"text_changed": [one["recommendation_id"]]}
        assert ran.blocked["text_changed"] == 1

    def test_it_leaves_the_feed_at_once(
        self, engine: Engine, other: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        one = waiting_draft(engine)
        approve(engine, one)
        gate(engine)
        (row,) = feed(engine)
        _written_over(engine, one, **other)
        assert feed(engine) == []
        assert row["release_id"] in caplog.text


def test_the_gate_asks_the_guardrails_again(engine: Engine) -> None:
    one = waiting_draft(engine)
    approve(engine, one)
    ran = gate(engine, guardrails=town.critical)
    assert (ran.released, ran.refused) == ([], {"critical_finding": [one["recommendation_id"]]})
    assert gate(engine, guardrails=town.no_findings).released == [one["recommendation_id"]]

"""What was released ends: by its time, its product, a newer text, an admin's order; and the feed knows at once."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import Engine, select

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, endings, operators, release, standing, topics
from spendsense_pipeline.governance import feedback as events
from spendsense_pipeline.governance import queue as desk
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.lifecycle import Wording
from spendsense_pipeline.governance.models import Decision, Recall, RecallOrder
from spendsense_pipeline_tests.governance import town
from spendsense_pipeline_tests.governance.town import DAY, HOUR, NOW, approve, draft, feed, gate, grant, register


def released(engine: Engine, user: str = "mia", now: dt.datetime = NOW, **changes: Any) -> dict[str, Any]:
    """A text that went out; the draft."""
    one = draft(user, grant(engine, user, now), **changes)
    register(engine, one, now=now)
    approve(engine, one, now=now)
    assert one["recommendation_id"] in gate(engine, now).released
    return one


def causes(engine: Engine) -> dict[str, str]:
    """recommendation → cause of its end, after the chain was found whole."""
    with reading(engine) as session:
        assert audit.verify(session).ok
        return {row.recommendation_id: row.cause for row in session.scalars(select(Recall))}


def admin(engine: Engine, name: str = "root") -> str:
    with writing(engine) as session:
        operators.add(session, name, NOW, standing=operators.Standing(role="admin"))
    return name


def test_a_release_leaves_the_feed_when_its_time_is_over_and_the_next_pass_writes_it_down(engine: Engine) -> None:
    one = released(engine)
    last = NOW + 30 * DAY
    assert [row["expires_at"] for row in feed(engine, last - HOUR)] == [last]
    assert feed(engine, last) == []
    assert causes(engine) == {}
    assert release.propose(engine, last).ending
    assert not release.propose(engine, last - HOUR).ending
    assert gate(engine, last).ended == {"expired": 1}
    assert causes(engine) == {one["recommendation_id"]: "expired"}
    assert gate(engine, last).ended == {}


def test_a_withdrawn_product_is_out_of_the_feed_before_the_gate_runs_and_recalled_when_it_does(engine: Engine) -> None:
    offer, other = released(engine, product="p1"), released(engine, product="p2")
    with reading(engine) as session:
        shown = release.released(session, NOW, withdrawn={"p1"})
    assert [row["product_id"] for row in shown] == ["p2"]
    done = gate(engine, NOW, withdrawn=lambda: {"p1"})
    assert (done.recalled, done.ended) == ([offer["recommendation_id"]], {"product_withdrawn": 1})
    assert [row["recommendation_id"] for row in feed(engine)] == [other["recommendation_id"]]


def test_a_product_that_left_the_catalogue_is_withdrawn_as_well(engine: Engine) -> None:
    offer, other = released(engine, product="p1"), released(engine, product="p2")
    education = released(engine)
    waiting = draft("noah", grant(engine, "noah"), product="p3")
    register(engine, waiting)
    town.approve(engine, waiting)
    only = release.AllBut(frozenset({"p2"}))
    with reading(engine) as session:
        shown = release.released(session, NOW, withdrawn=only)
    assert [row["recommendation_id"] for row in shown] == [one["recommendation_id"] for one in (other, education)]
    assert release.propose(engine, NOW, withdrawn=lambda: only).ending
    done = gate(engine, NOW, withdrawn=lambda: only)
    assert (done.recalled, done.blocked) == ([offer["recommendation_id"]], {"product_withdrawn": 1})
    assert not release.propose(engine, NOW, withdrawn=lambda: only).ending


@pytest.mark.parametrize(
    ("standing_of", "code"),
    [
        ({"scopes": ("partner_offers",)}, "out_of_scope"),
        ({"qualified_until": town.TODAY - DAY}, "not_qualified"),
        ({"role": "viewer"}, "not_permitted"),
        ({"role": "admin", "scopes": ("partner_offers",)}, None),
        ({"scopes": ("education",), "qualified_until": town.TODAY}, None),
    ],
)
def test_who_may_not_decide_on_the_content_clears_no_hold_and_gives_no_standing_approval(
    engine: Engine, standing_of: dict[str, Any], code: str | None
) -> None:
    one = town.waiting_draft(engine)
    desk.show(engine, one["recommendation_id"], NOW, operator_id="ben")
    with writing(engine) as session:
        operators.add(session, "ben", NOW, standing=operators.Standing(**standing_of))
        endings.hold(
            session, Wording(one["template_id"], one["template_hash"]), "complaint", one["recommendation_id"], NOW
        )
    reference = f"{one['template_id']}@{one['template_hash'][:12]}"

    def refusal(attempt: Any) -> str | None:
        try:
            attempt()
        except SpendSenseError as error:
            return error.code
        return None

    given = refusal(lambda: standing.approve(engine, reference, "ben", NOW, until=NOW + DAY))
    assert given == ("not_permitted" if standing_of.get("role") == "admin" else code)
    assert refusal(lambda: endings.clear_hold(engine, reference, "ben", NOW, note="looked")) == code


def test_of_each_piece_the_feed_has_the_newest(engine: Engine) -> None:
    old = released(engine)
    new = released(engine, as_of=town.TODAY + 20 * DAY, now=NOW + 20 * DAY, figure=0.9)
    another = released(engine, "noah")
    other_piece = released(engine, as_of=town.TODAY + 20 * DAY, now=NOW + 20 * DAY, template="stop_a_subscription")
    assert causes(engine) == {old["recommendation_id"]: "replaced"}
    shown = {row["recommendation_id"] for row in feed(engine, NOW + 20 * DAY)}
    assert shown == {one["recommendation_id"] for one in (new, another, other_piece)}


def test_a_week_brings_at_most_as_many_texts_as_the_cap_says_and_what_is_urgent_first(engine: Engine) -> None:
    consents = grant(engine, "mia")
    drafts = [draft("mia", consents, template=f"piece_{n}") for n in range(4)]
    drafts.append(draft("mia", consents, template="late", insight="past_due", insight_id="ins_1"))
    drafts.append(draft("noah", grant(engine, "noah")))
    register(engine, *drafts)
    approve(engine, *drafts)
    first = gate(engine, weekly_cap=3)
    assert len(first.released) == 4
    assert drafts[4]["recommendation_id"] in first.released
    assert first.blocked == {"weekly_cap": 2}
    assert not release.propose(engine, NOW, weekly_cap=3).at_least
    assert gate(engine, NOW + 6 * DAY, weekly_cap=3).released == []
    assert len(gate(engine, NOW + 7 * DAY, weekly_cap=3).released) == 2


def test_a_text_that_is_not_fit_to_go_out_takes_nobodys_place_in_the_week(engine: Engine) -> None:
    consents = grant(engine, "mia")
    drafts = [draft("mia", consents, template=f"piece_{n}") for n in range(3)]
    register(engine, *drafts)
    approve(engine, *drafts)
    unfit, fit, _ = sorted(drafts, key=lambda one: one["recommendation_id"])  # the order in which the gate looks
    found = town.critical(unfit)
    done = gate(
        engine, weekly_cap=1, guardrails=lambda text: found if text["template_id"] == unfit["template_id"] else []
    )
    assert done.released == [fit["recommendation_id"]]
    assert done.refused == {"critical_finding": [unfit["recommendation_id"]]}
    assert done.blocked == {"critical_finding": 1, "weekly_cap": 1}


def test_an_admin_recalls_one_text_with_its_reason_on_the_chain(engine: Engine) -> None:
    one, other = released(engine), released(engine, "noah")
    done = endings.recall(
        engine, "recommendation", one["recommendation_id"], NOW + HOUR, reason="a wrong rate", actor=admin(engine)
    )
    assert done["recalled"] == [one["recommendation_id"]]
    assert [row["recommendation_id"] for row in feed(engine, NOW + HOUR)] == [other["recommendation_id"]]
    assert causes(engine) == {one["recommendation_id"]: "recalled"}
    with reading(engine) as session:
        (order,) = session.scalars(select(RecallOrder))
        (ended,) = session.scalars(select(Recall))
    assert (order.reason, order.releases, ended.order_id) == ("a wrong rate", 1, order.order_id)
    with pytest.raises(SpendSenseError) as again:
        endings.recall(engine, "recommendation", one["recommendation_id"], NOW + HOUR, reason="again")
    assert again.value.code == "nothing_to_recall"


def test_a_recalled_wording_takes_what_waits_and_its_standing_approval_with_it(engine: Engine) -> None:
    one = released(engine)
    waiting = draft("noah", grant(engine, "noah"))
    register(engine, waiting)
    desk.show(engine, waiting["recommendation_id"], NOW, operator_id="ben")
    reference = f"{one['template_id']}@{one['template_hash'][:12]}"
    standing.approve(engine, reference, "ben", NOW, until=NOW + 30 * DAY)
    done = endings.recall(engine, "template", reference, NOW + HOUR, reason="misleading")
    assert (done["recalled"], done["voided"]) == ([one["recommendation_id"]], [waiting["recommendation_id"]])
    assert town.status(engine, waiting) == "voided"
    with reading(engine) as session:
        assert [row["live"] for row in standing.listed(session, NOW + HOUR)] == [False]


def test_what_an_operator_decided_since_a_day_is_recalled_and_nothing_else(engine: Engine) -> None:
    before = released(engine, "mia")
    consents = grant(engine, "noah")
    after, by_ben = draft("noah", consents), draft("noah", consents, template="other")
    register(engine, after, by_ben)
    approve(engine, after, by="ada", now=NOW + 2 * DAY)
    approve(engine, by_ben, by="ben", now=NOW + 2 * DAY)
    gate(engine, NOW + 2 * DAY)
    done = endings.recall(engine, "operator", "ada", NOW + 3 * DAY, reason="under review", since=NOW + DAY)
    assert done["recalled"] == [after["recommendation_id"]]
    shown = {row["recommendation_id"] for row in feed(engine, NOW + 3 * DAY)}
    assert shown == {before["recommendation_id"], by_ben["recommendation_id"]}


@pytest.mark.parametrize(
    ("actor", "target", "reason", "code"),
    [
        ("ada", "recommendation", "why", "not_permitted"),
        ("nobody", "recommendation", "why", "unknown_operator"),
        ("local", "recommendation", " ", "reason_required"),
        ("local", "everything", "why", "invalid_recall"),
        ("local", "operator", "why", "invalid_recall"),
        ("local", "template", "why", "unknown_template"),
    ],
)
def test_a_recall_is_refused_whole(engine: Engine, actor: str, target: str, reason: str, code: str) -> None:
    one = released(engine)
    with pytest.raises(SpendSenseError) as refused:
        endings.recall(engine, target, one["recommendation_id"], NOW, reason=reason, actor=actor)
    assert refused.value.code == code
    assert len(feed(engine)) == 1


def event(one: dict[str, Any], kind: str, event_id: str = "e1", **more: Any) -> dict[str, Any]:
    """An app's event on the release of a draft; the release's id is the gate's own."""
    return {"event_id": event_id, "release_id": one["release_id"], "kind": kind, "occurred_at": NOW, **more}


def test_a_wrong_figure_holds_every_text_of_the_wording_until_an_operator_looked(engine: Engine) -> None:
    released(engine)
    released(engine, "noah")
    (mine, _) = feed(engine)
    waiting = draft("eve", grant(engine, "eve"))
    register(engine, waiting)
    approve(engine, waiting)
    done = events.record(engine, [event(mine, "wrong_figure")], NOW, source="app")
    reference = f"{waiting['template_id']}@{waiting['template_hash'][:12]}"
    assert done["held"] == [reference]
    assert feed(engine) == []
    assert gate(engine).blocked == {"wording_held": 1}
    again = events.record(engine, [event(mine, "complaint", "e2")], NOW, source="app")
    assert (again["accepted"], again["held"]) == (1, [])
    endings.clear_hold(engine, reference, "ada", NOW, note="the figure is right")
    assert len(feed(engine)) == 2
    assert gate(engine).released == [waiting["recommendation_id"]]
    with pytest.raises(SpendSenseError, match="held"):
        endings.clear_hold(engine, reference, "ada", NOW, note="twice")
    at_once = events.record(engine, [event(mine, "complaint", "e3")], NOW, source="app")
    assert at_once["held"] == [reference]


def test_events_count_once_in_any_order_and_refuse_by_item(engine: Engine) -> None:
    released(engine)
    (row,) = feed(engine)
    sent = [
        event(row, "opened", "e2"),
        event(row, "seen", "e1"),
        event(row, "seen", "e1"),
        event(row, "helpful", "e1"),
        event(row, "applauded", "e3"),
        event(row, "seen", "e4", occurred_at=NOW + DAY),
        event({"release_id": "rel_unknown"}, "seen", "e5"),
    ]
    done = events.record(engine, sent, NOW, source="app")
    assert (done["accepted"], done["duplicate"]) == (2, 1)
    assert {one["event_id"]: one["code"] for one in done["refused"]} == {
        "e1": "conflicting_event",
        "e3": "invalid_event",
        "e4": "invalid_event",
        "e5": "unknown_release",
    }
    once_more = events.record(engine, sent[:2], NOW, source="app")
    assert (once_more["accepted"], once_more["duplicate"]) == (0, 2)
    foreign = events.record(engine, [event(row, "seen", "e9")], NOW, source="app", user_id="noah")
    assert [one["code"] for one in foreign["refused"]] == ["unknown_release"]
    with reading(engine) as session:
        (counted,) = events.by_wording(session)
    assert (counted["released"], counted["seen"], counted["opened"], counted["helpful"]) == (1, 1, 1, 0)
    with pytest.raises(SpendSenseError, match="at most"):
        events.record(engine, [event(row, "seen", str(n)) for n in range(1_001)], NOW, source="app")


def test_what_was_dismissed_is_not_drafted_again_until_its_figures_move(engine: Engine) -> None:
    released(engine)
    (row,) = feed(engine)
    events.record(engine, [event(row, "dismissed")], NOW, source="app")
    later = NOW + 40 * DAY
    consents = grant(engine, "mia", later)
    same = draft("mia", consents, as_of=later.date())
    assert register(engine, same, now=later).suppressed == 1
    moved = draft("mia", consents, as_of=later.date(), figure=0.9)
    assert register(engine, moved, now=later).registered == 1


def test_a_topic_switched_off_takes_out_what_waits_ends_what_is_out_and_keeps_away_what_comes(engine: Engine) -> None:
    out = released(engine)
    consents = grant(engine, "mia")
    waiting = draft("mia", consents, template="another")
    other_topic = draft("mia", consents, template="pay", persona="variable_income")
    register(engine, waiting, other_topic)
    with writing(engine) as session:
        now_wanted = topics.choose(
            session, "mia", {"debt": False, "bills": True}, NOW, actor="mia", source="test", channel="app"
        )
    assert now_wanted == dict.fromkeys(topics.TOPICS, True) | {"debt": False}
    assert causes(engine) == {out["recommendation_id"]: "topic_declined"}
    assert (town.status(engine, waiting), town.status(engine, other_topic)) == ("voided", "pending_approval")
    tomorrow = draft("mia", consents, as_of=town.TODAY + DAY, figure=0.9)
    outcome = register(engine, tomorrow, now=NOW + DAY)
    assert (outcome.refused, outcome.why_refused) == (1, {"topic_declined": 1})
    with writing(engine) as session:
        topics.choose(session, "mia", {"debt": False}, NOW, actor="mia", source="test", channel="app")
        topics.choose(session, "mia", {"debt": True}, NOW, actor="mia", source="test", channel="app")
        assert [row["choice"] for row in topics.history(session, "mia")] == ["declined", "wanted"]
    assert register(engine, tomorrow, now=NOW + DAY).registered == 1
    with pytest.raises(SpendSenseError, match="topics are"), writing(engine) as session:
        topics.choose(session, "mia", {"astrology": False}, NOW, actor="mia", source="test", channel="app")


def test_a_topic_switched_off_between_approval_and_release_stops_the_release(engine: Engine) -> None:
    one = draft("mia", grant(engine, "mia"))
    register(engine, one)
    approve(engine, one)
    with writing(engine) as session:
        topics.choose(session, "mia", {"debt": False}, NOW, actor="mia", source="test", channel="app")
    assert gate(engine).released == []


class TestStanding:
    """A standing approval covers later drafts in the same words, with figures and names that were seen."""

    def given(self, engine: Engine, percent: int = 1) -> dict[str, Any]:
        consents = grant(engine, "mia")
        seen = [draft("mia", consents, figure=0.5), draft("noah", grant(engine, "noah"), figure=0.7)]
        register(engine, *seen)
        desk.show(engine, seen[0]["recommendation_id"], NOW, operator_id="ada")
        reference = f"{seen[0]['template_id']}@{seen[0]['template_hash'][:12]}"
        return standing.approve(engine, reference, "ada", NOW, until=NOW + 30 * DAY, read_percent=percent)

    def later(self, engine: Engine, user: str, **changes: Any) -> dict[str, Any]:
        one = draft(user, grant(engine, user), as_of=town.TODAY + DAY, **changes)
        register(engine, one, now=NOW + DAY)
        return one

    def test_it_approves_what_is_within_what_was_seen(self, engine: Engine) -> None:
        given = self.given(engine)
        covered = [self.later(engine, f"user_{n}", figure=0.6) for n in range(40)]
        beyond = self.later(engine, "user_b", figure=0.71)
        finding = self.later(engine, "user_c", figure=0.6, findings=town.NOTABLE)
        other_words = self.later(engine, "user_d", figure=0.6, template="other")
        approved = standing.apply(engine, NOW + DAY)
        alone = {
            one["recommendation_id"]
            for one in covered
            if standing.read_alone(one["recommendation_id"], given["standing_id"], 1)
        }
        assert set(approved) == {one["recommendation_id"] for one in covered} - alone
        for one in (beyond, finding, other_words):
            assert town.status(engine, one, NOW + DAY) == "pending_approval"
        with reading(engine) as session:
            made = {row.made for row in session.scalars(select(Decision))}
            assert audit.verify(session).ok
        assert made == {"standing"}
        assert standing.apply(engine, NOW + DAY) == []

    def test_a_share_is_read_one_by_one(self) -> None:
        alone = sum(standing.read_alone(f"rec_{n}", "sta_1", 5) for n in range(20_000))
        assert 800 < alone < 1_200

    def test_it_ends_with_its_day_its_operator_and_on_request(self, engine: Engine) -> None:
        given = self.given(engine)
        self.later(engine, "user_1", figure=0.6)
        assert standing.apply(engine, NOW + 30 * DAY) == []
        with writing(engine) as session:
            operators.deactivate(session, "ada", NOW)
        assert standing.apply(engine, NOW + DAY) == []
        with writing(engine) as session:
            operators.add(session, "ada", NOW, actor="ben")
        assert standing.end(engine, given["standing_id"], "ada", NOW + DAY) == "ended"
        assert standing.apply(engine, NOW + DAY) == []

    def test_a_recall_of_what_its_operator_decided_ends_it(self, engine: Engine) -> None:
        self.given(engine)
        boss = admin(engine)
        endings.recall(engine, "operator", "ada", NOW + HOUR, reason="careless", actor=boss, since=NOW - DAY)
        self.later(engine, "user_1", figure=0.6)
        assert standing.apply(engine, NOW + DAY) == []

    def test_one_given_before_that_moment_goes_on(self, engine: Engine) -> None:
        self.given(engine)
        one = self.later(engine, "user_1", figure=0.6)
        town.approve(engine, one, now=NOW + DAY)
        endings.recall(engine, "operator", "ada", NOW + DAY, reason="careless", actor=admin(engine), since=NOW + HOUR)
        with reading(engine) as session:
            assert [row["live"] for row in standing.listed(session, NOW + DAY)] == [True]

    def test_a_recall_of_the_product_ends_it(self, engine: Engine) -> None:
        consents = grant(engine, "mia")
        one = draft("mia", consents, product="p1")
        register(engine, one)
        desk.show(engine, one["recommendation_id"], NOW, operator_id="ada")
        reference = f"{one['template_id']}@{one['template_hash'][:12]}"
        standing.approve(engine, reference, "ada", NOW, until=NOW + 30 * DAY, read_percent=1)
        endings.recall(engine, "product", "p1", NOW + HOUR, reason="the partner is gone", actor=admin(engine))
        with reading(engine) as session:
            assert [row["live"] for row in standing.listed(session, NOW + DAY)] == [False]

    def test_a_held_wording_is_not_approved_by_it(self, engine: Engine) -> None:
        self.given(engine)
        one = self.later(engine, "user_1", figure=0.6)
        with writing(engine) as session:
            wording = Wording(one["template_id"], one["template_hash"])
            endings.hold(session, wording, "complaint", one["recommendation_id"], NOW)
        assert standing.apply(engine, NOW + DAY) == []

    def test_names_that_nobody_saw_are_read(self) -> None:
        bounds = {"payee": {"values": ["Netflix"]}, "amount": {"lowest": 10, "highest": 20}}
        slots = {"payee": {"value": "Netflix"}, "amount": {"value": 20}, "on": {"value": "2026-11-30"}}
        assert standing.within(slots, bounds)
        assert not standing.within(slots | {"payee": {"value": "Casino"}}, bounds)
        assert not standing.within(slots | {"amount": {"value": 20.01}}, bounds)
        assert not standing.within(slots | {"unheard": {"value": 1}}, bounds)

    @pytest.mark.parametrize(
        ("who", "until", "code"),
        [
            ("ben", 30, "sample_required"),
            ("ada", 91, "invalid_standing"),
            ("ada", 0, "invalid_standing"),
            ("nobody", 30, "unknown_operator"),
            ("root", 30, "not_permitted"),
        ],
    )
    def test_it_is_refused_without_its_conditions(self, engine: Engine, who: str, until: int, code: str) -> None:
        admin(engine)
        given = self.given(engine)
        reference = f"{given['template_id']}@{given['template_hash'][:12]}"
        with pytest.raises(SpendSenseError) as refused:
            standing.approve(engine, reference, who, NOW, until=NOW + until * DAY)
        assert refused.value.code == code

"""An erasure leaves no row and no word of the customer, harms nobody else, and the chain says that it was one."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import Engine, text

from spendsense_pipeline.erasure import erased_rows
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import (
    audit,
    consent,
    credentials,
    endings,
    feedback,
    operators,
    queue,
    release,
    topics,
    why,
    wordings,
)
from spendsense_pipeline.governance.database import reading, reclaim, writing
from spendsense_pipeline.governance.models import Base, Erasure, Recall, Tombstone
from spendsense_pipeline_tests.governance import verdicts
from spendsense_pipeline_tests.governance.conftest import told_once
from spendsense_pipeline_tests.governance.test_audit import tampered
from spendsense_pipeline_tests.governance.town import (
    DAY,
    NOW,
    approve,
    draft,
    feed,
    gate,
    grant,
    no_findings,
    register,
    waiting_draft,
)


def begun(engine: Engine, user: str = "mia", by: str = "ada", reason: str = "request 17", **how: Any) -> list[str]:
    return erased_rows.begin(engine, user, ["acc-of-mia"], by, reason, NOW + DAY, **({"known": False} | how))


def finished(engine: Engine, user: str = "mia") -> tuple[str | None, dict[str, int]]:
    return erased_rows.finish(engine, user, "ada", "request 17", NOW + DAY)


def words(engine: Engine) -> str:
    """Everything that any table holds, as text."""
    with engine.connect() as connection:
        return "\n".join(
            str(row) for table in Base.metadata.sorted_tables for row in connection.execute(table.select())
        )


def life(engine: Engine) -> dict[str, Any]:
    """Mia with an overridden, a released and a template-approved text, and Noah with the same; both were shown some."""
    for user in ("mia", "noah"):
        consents = grant(engine, user, text_version="v1", channel="app")
        ones = [draft(user, consents, template=f"t{number}", figure=0.6171) for number in range(3)]
        register(engine, *ones, signals={user: {"secret": f"of {user}"}})
        verdicts.override(
            engine, ones[0]["recommendation_id"], "ada", NOW, guardrails=no_findings, title=f"For {user}", reason="warm"
        )
        approve(engine, ones[1])
        queue.show(engine, ones[2]["recommendation_id"], NOW, operator_id="ada")
        wordings.approve_template(engine, f"t2@{ones[2]['template_hash']}", "ada", NOW)
        gate(engine)
    with writing(engine) as session:
        consent.revoke(session, "mia", NOW, scopes=["partner_offers"], actor="mia", source="test")
    return ones[1]


@pytest.fixture
def lived(database: Engine) -> tuple[Engine, dict[str, Any]]:
    return database, told_once(database, life)


def test_what_was_released_is_gone_from_the_feed_at_once(lived: tuple[Engine, dict[str, Any]]) -> None:
    engine, _ = lived
    assert {row["user_id"] for row in feed(engine)} == {"mia", "noah"}
    names = begun(engine)
    assert len(names) == 3
    assert {row["user_id"] for row in feed(engine, NOW + DAY)} == {"noah"}
    with reading(engine) as session:
        assert session.query(Recall).count() == 3
        assert release.every_release_had_consent(session).violations == []


def test_no_word_and_no_id_of_the_customer_is_left_and_others_keep_theirs(lived: tuple[Engine, dict[str, Any]]) -> None:
    engine, others = lived
    before = words(engine)
    names = begun(engine)
    _, counts = finished(engine)
    after = words(engine)
    for word in ("mia", "acc-of-mia", *names):
        assert word not in after
    assert "mia" in before
    assert "of noah" in after
    assert (counts["recommendations"], counts["texts"], counts["releases"], counts["decisions"]) == (3, 4, 3, 3)
    assert len(feed(engine, NOW + DAY)) == 3
    with reading(engine) as session:
        assert why.why(session, others["recommendation_id"], NOW)["release"]
        assert release.every_release_had_consent(session) == ([], 3)
        assert consent.history(session, "mia") == []
        with pytest.raises(SpendSenseError):
            why.why(session, names[0], NOW)


def test_nothing_of_what_came_back_was_chosen_held_or_recalled_is_left(lived: tuple[Engine, dict[str, Any]]) -> None:
    engine, _ = lived
    released = {row["user_id"]: row for row in feed(engine)}
    for user in ("mia", "noah"):
        events = [
            {
                "event_id": f"{user}-{kind}",
                "release_id": released[user]["release_id"],
                "kind": kind,
                "note": f"by {user}",
            }
            for kind in ("seen", "dismissed", "wrong_figure", "complaint")
        ]
        assert feedback.record(engine, events, NOW, source="app")["accepted"] == 4
        with writing(engine) as session:
            topics.choose(session, user, {"debt": False}, NOW, actor=user, source="app", channel="app")
            credentials.add_token(session, "app", ["feed:read"], NOW, created_by="root", user_id=user)
    with writing(engine) as session:
        topics.choose(session, "mia", {"debt": True}, NOW + DAY, actor="mia", source="app", channel="app")
    later = draft("mia", grant(engine, "mia", NOW + DAY), template="t8", as_of=NOW.date() + 2 * DAY)
    register(engine, later, now=NOW + 2 * DAY)
    assert approve(engine, later, now=NOW + 2 * DAY)[0]["ok"]
    assert later["recommendation_id"] in gate(engine, NOW + 2 * DAY).released
    endings.recall(engine, "recommendation", later["recommendation_id"], NOW + 2 * DAY, reason="a slip")
    begun(engine)
    finished(engine)
    left = words(engine)
    assert "mia" not in left
    assert "noah-dismissed" in left
    with reading(engine) as session:
        assert audit.verify(session).ok
        assert [row["user_id"] for row in credentials.tokens(session)] == ["noah"]
    late = {"event_id": "mia-late", "release_id": released["mia"]["release_id"], "kind": "seen"}
    (refused,) = feedback.record(engine, [late], NOW + 3 * DAY, source="app")["refused"]
    assert refused["code"] == "unknown_release"
    assert "mia" not in words(engine)


@pytest.mark.parametrize("trace", ["topic", "token"])
def test_somebody_who_left_only_a_choice_or_a_token_is_erased_as_well(engine: Engine, trace: str) -> None:
    with writing(engine) as session:
        if trace == "topic":
            topics.choose(session, "mia", {"debt": False}, NOW, actor="mia", source="app", channel="app")
        else:
            credentials.add_token(session, "app", ["feed:read"], NOW, created_by="root", user_id="mia")
    begun(engine)
    finished(engine)
    assert "mia" not in words(engine)
    with reading(engine) as session:
        assert audit.verify(session).ok


def test_nobody_agrees_again_while_their_erasure_is_under_way_or_after(lived: tuple[Engine, dict[str, Any]]) -> None:
    engine, _ = lived
    begun(engine)
    for _ in range(2):
        with pytest.raises(SpendSenseError) as refused:
            grant(engine, "mia", NOW + DAY)
        assert refused.value.code == "unknown_user"
        with pytest.raises(SpendSenseError), writing(engine) as session:
            topics.choose(session, "mia", {"debt": False}, NOW, actor="mia", source="app", channel="app")
        finished(engine)
    assert "mia" not in words(engine)


def test_the_chain_verifies_and_keeps_what_was_done_without_saying_to_whom(
    lived: tuple[Engine, dict[str, Any]],
) -> None:
    engine, _ = lived
    with reading(engine) as session:
        heads = [audit.head(session)]
    begun(engine)
    erasure_id, _ = finished(engine)
    with reading(engine) as session:
        found = audit.verify(session, heads)
        assert (found.ok, found.first_broken) == (True, None)
        (record,) = session.query(Erasure)
        assert (record.erasure_id, record.operator_id, record.reason) == (erasure_id, "ada", "request 17")
        emptied = session.query(audit.AuditEntry).filter_by(subject_id=None).all()
        assert len(emptied) > 8
        assert {link.salt for link in emptied} == {None}
        assert any('"action":"approve"' in link.payload for link in emptied)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE audit_chain SET salt = NULL, subject_id = NULL WHERE seq = {alive}", "row_changed"),
        ("UPDATE audit_chain SET salt = 'ab' WHERE seq = {gone}", "row_not_erased"),
        ("UPDATE audit_chain SET subject_id = 'con_x' WHERE seq = {gone}", "row_not_erased"),
        ("UPDATE erasures SET links = '[]'", "row_changed"),
        ("UPDATE erasures SET operator_id = 'ben'", "row_changed"),
        ("DELETE FROM audit_chain WHERE seq = {gone}", "link_missing"),
        ("UPDATE audit_chain SET payload = '{{}}' WHERE kind = 'erasure'", "row_missing"),
    ],
)
def test_nobody_hides_a_row_by_calling_it_erased(
    lived: tuple[Engine, dict[str, Any]], statement: str, problem: str
) -> None:
    engine, _ = lived
    begun(engine)
    finished(engine)
    with reading(engine) as session:
        links = session.query(audit.AuditEntry).order_by(audit.AuditEntry.seq).all()
    gone = next(link.seq for link in links if link.salt is None)
    alive = next(link.seq for link in links if link.salt is not None)
    tampered(engine, statement.format(gone=gone, alive=alive))
    with reading(engine) as session:
        broken = audit.verify(session).first_broken
    assert broken is not None
    assert broken["problem"] == problem


def test_an_erasure_may_be_run_again_and_goes_on_where_one_stopped(lived: tuple[Engine, dict[str, Any]]) -> None:
    engine, _ = lived
    begun(engine)
    assert len(begun(engine)) == 3, "until the end it is still known what is theirs"
    first, _ = finished(engine)
    assert begun(engine) == []
    assert finished(engine)[0] is None
    with reading(engine) as session:
        assert session.query(Erasure).count() == 1
        assert {stone.erasure_id for stone in session.query(Tombstone)} == {first}
        assert audit.verify(session).ok


def test_two_erasures_under_way_do_not_finish_each_other(lived: tuple[Engine, dict[str, Any]]) -> None:
    engine, _ = lived
    begun(engine)
    erased_rows.begin(engine, "noah", ["acc-of-noah"], "ada", "request 18", NOW + DAY, known=True)
    finished(engine, "noah")
    with reading(engine) as session:
        assert sorted(stone.erasure_id is None for stone in session.query(Tombstone)) == [False, False, True, True]
    assert finished(engine)[0] is not None
    assert "noah" not in words(engine)
    with reading(engine) as session:
        assert audit.verify(session).ok
        erased = erased_rows.remembered(session)
        assert [erased.holds("user", name) for name in ("mia", "noah", "zoe")] == [True, True, False]
        assert erased.holds("account", "acc-of-mia")


def test_a_run_that_was_on_its_way_registers_nothing_for_them(lived: tuple[Engine, dict[str, Any]]) -> None:
    engine, _ = lived
    with reading(engine) as session:
        (period,) = [row for row in consent.periods(session, "mia", NOW) if row["live"]]
    begun(engine)
    late = draft("mia", {"education": period["consent_id"]}, template="late", as_of=(NOW + DAY).date())
    assert register(engine, late, now=NOW + DAY).why_refused == {"without_consent": 1}
    finished(engine)
    assert register(engine, late, now=NOW + DAY).why_refused == {"without_consent": 1}


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"user": "nobody"}, "unknown_user"),
        ({"user": "ben"}, "not_a_customer"),
        ({"by": "eve"}, "unknown_operator"),
        ({"by": "gone"}, "inactive_operator"),
        ({"reason": " "}, "reason_required"),
        ({"reason": "asked by mia herself"}, "reason_names_customer"),
        ({"reason": "a\0b"}, "invalid_text"),
    ],
)
def test_who_may_not_erase_or_says_not_whom_or_why_changes_nothing(
    engine: Engine, how: dict[str, str], code: str
) -> None:
    waiting_draft(engine)
    with writing(engine) as session:
        operators.add(session, "gone", NOW)
        operators.deactivate(session, "gone", NOW)
    before = words(engine)
    with pytest.raises(SpendSenseError) as refused:
        begun(engine, **how)
    assert refused.value.code == code
    assert words(engine) == before


def test_somebody_of_whom_only_files_know_is_erased_as_well(engine: Engine) -> None:
    assert begun(engine, "zoe", known=True) == []
    erasure_id, counts = finished(engine, "zoe")
    assert erasure_id is not None
    assert set(counts.values()) == {0}


def test_the_bytes_leave_the_file(lived: tuple[Engine, dict[str, Any]]) -> None:
    engine, _ = lived
    begun(engine)
    finished(engine)
    assert reclaim(engine)
    if engine.dialect.name == "sqlite":
        from pathlib import Path

        folder = Path(str(engine.url.database)).parent
        assert all(b"For mia" not in path.read_bytes() for path in folder.iterdir())


def test_a_reclaim_that_finds_the_database_busy_says_so(lived: tuple[Engine, dict[str, Any]]) -> None:
    engine, _ = lived
    if engine.dialect.name == "sqlite":
        from spendsense_pipeline.governance.database import connect

        hasty = connect(engine.url.render_as_string(), lock_timeout=0.1)
        with writing(engine):
            assert not reclaim(hasty)
        hasty.dispose()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM recommendations")) == 6


def test_consent_given_after_an_erasure_stays_possible_for_others(lived: tuple[Engine, dict[str, Any]]) -> None:
    engine, _ = lived
    begun(engine)
    finished(engine)
    grant(engine, "zoe", NOW + 2 * DAY)
    with reading(engine) as session:
        assert audit.verify(session).ok
        assert {row.user_id for row in consent.live_consents(session, NOW + dt.timedelta(days=3))} == {"noah", "zoe"}

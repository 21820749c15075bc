import datetime as dt

import pandas as pd

from spendsense_pipeline.governance.database_frames import evidence

DAY = dt.date(2026, 6, 30)


def features(window: int, **columns: list[object]) -> pd.DataFrame:
    rows = pd.DataFrame({"user_id": ["mia", "noah"], "as_of": [DAY, DAY], "window_days": [window, window]})
    rows = rows.assign(**{name: pd.Series(values) for name, values in columns.items()})
    return rows.astype({"user_id": "str", "window_days": "Int64"})


def test_evidence_holds_what_is_known_as_json_holds_it_and_of_nobody_else() -> None:
    short = features(30, spend=[1.5, float("nan")], newest=[DAY, None]).astype({"newest": object})
    longer = features(180, flag=[None, True]).astype({"flag": "boolean"})
    streams = pd.DataFrame({"user_id": ["mia", "noah", "mia"], "as_of": [DAY] * 3, "merchant": ["Gym", "Bank", "Air"]})
    of = evidence(short, longer, streams)
    assert of(["mia", "stranger"]) == {
        "mia": {
            "features": {"30": {"spend": 1.5, "newest": "2026-06-30"}, "180": {"flag": None}},
            "streams": [{"merchant": "Gym"}, {"merchant": "Air"}],
        },
        "stranger": {"features": {}, "streams": []},
    }
    assert of(["noah"])["noah"]["features"] == {"30": {"spend": None, "newest": None}, "180": {"flag": True}}
    assert of([]) == {}


def test_a_day_without_streams_or_customers_has_evidence_too() -> None:
    rows = pd.DataFrame({"user_id": ["mia"], "as_of": [dt.date(2026, 6, 30)], "window_days": [30], "n": [1]})
    assert evidence(rows, rows[:0], rows[:0])(["mia"]) == {"mia": {"features": {"30": {"n": 1}}, "streams": []}}
    assert evidence(rows[:0], rows[:0], rows[:0])(["mia"]) == {"mia": {"features": {}, "streams": []}}

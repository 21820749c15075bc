"""The page of experiments says what the figures allow, and no more."""

from pathlib import Path

import pandas as pd

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.defs.experiment_assets import plan
from spendsense_pipeline.experiments.uplift import COLUMNS
from spendsense_pipeline.governance import experiment_records
from spendsense_pipeline_tests.experiments.trials import FILE, experiment
from spendsense_pipeline_tests.governance.town import NOW, TODAY
from spendsense_pipeline_tests.service.conftest import Town

ROW = {
    **dict.fromkeys(COLUMNS, None),
    "experiment": "fees-wording",
    "metric": "penalty_fees",
    "horizon_days": 90,
    "arm": "text",
    "control": "nothing",
    "family": "primary",
    "status": "measured",
    "assigned_arm": 300,
    "assigned_control": 300,
    "measured_arm": 290,
    "measured_control": 280,
    "mean_control": 40.0,
    "estimate": -8.0,
    "low": -12.0,
    "high": -4.0,
    "relative": -0.2,
    "relative_low": -0.3,
    "relative_high": -0.1,
    "p": 0.001,
    "p_adjusted": 0.001,
}


def shown(place: Town, **changes: object) -> str:
    """The page with one comparison of the newest analysis."""
    folder = Path(place.settings.warehouse_root) / "uplift"
    folder.mkdir(parents=True, exist_ok=True)
    columns = CONTRACTS["uplift"].columns
    kinds = {name: column.dtype for name, column in columns.items() if name != "as_of"}
    rows = pd.DataFrame([ROW | changes | {"as_of": TODAY}])[list(columns)].astype(kinds)
    rows.to_parquet(folder / f"{TODAY}.parquet")
    page = place.person("vera").get("/desk/experiments", headers={"accept": "text/html"})
    assert page.status_code == 200
    return page.text


def test_a_plan_an_effect_and_no_effect_read_as_such(place: Town) -> None:
    folder = place.settings.experiments
    folder.mkdir()
    (folder / "fees.toml").write_text(FILE.format(seed=1))
    page = place.person("vera").get("/desk/experiments", headers={"accept": "text/html"}).text
    assert "starts with the next run" in page
    assert "Nothing was analysed yet." in page

    dealt = [experiment_records.Place("mia", "p/low", 0, "text")]
    experiment_records.assign(place.engine, plan(experiment(1)), {"mia": "p/low"}, lambda *_: dealt, TODAY, NOW)
    claimed = "text lowered penalty fees by 20 % (10 to 30) over 90 days, compared with nothing: 290 and 280 customers."
    assert claimed in shown(place)
    weak = shown(place, p_adjusted=0.06)
    assert "lowered penalty fees" not in weak
    assert "No difference shown in penalty fees over 90 days" in weak
    early = shown(place, status="not_due", **dict.fromkeys(COLUMNS[13:]))
    assert "No figure yet for penalty fees over 90 days" in early

    (folder / "fees.toml").write_text(FILE.format(seed=2))
    assert "It is another experiment and needs another name." in shown(place)

"""An experiment through a real day: dealt before drafting, withheld at the gate, analysed, erased."""

import datetime as dt
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spendsense_pipeline import warehouse
from spendsense_pipeline.evaluation.report import SMALLEST_GROUP
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.governance import audit, experiment_records, operators, queue, release
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline_tests.conftest import DAY, NOON, Pipeline
from spendsense_pipeline_tests.governance import verdicts

FILE = """
name = "does-it-help"
hypothesis = "Education of any kind lengthens the cushion."
unit = "customer"
metric = "cushion_months"
horizon = 30
seed = 5
enrolment_days = 10
control = "nothing"
minimum_size = 30
stop_rule = "horizon"
arms = [{name = "usual", weight = 1}, {name = "nothing", weight = 1, withheld = true}]
"""


@pytest.fixture
def started(copy: Pipeline) -> Pipeline:
    folder = copy.settings.data / "experiments"
    folder.mkdir()
    (folder / "help.toml").write_text(FILE)
    copy.refresh()
    return copy


def assigned(pipeline: Pipeline) -> pd.DataFrame:
    with reading(pipeline.engine) as session:
        return pd.DataFrame(experiment_records.assignments(session, "does-it-help"))


def test_from_the_file_to_the_sentence(started: Pipeline, spendsense) -> None:
    people = assigned(started)
    held = set(people.loc[people["arm"] == "nothing", "user_id"])
    assert abs(len(people) - 2 * len(held)) <= people["stratum"].nunique()
    with writing(started.engine) as session:
        operators.add(session, "op", NOON)
    with reading(started.engine) as session:
        waiting = queue.queue(session, NOON, limit=10_000)["queue"]
    clean = [row for row in waiting if row["content_type"] == "education"]
    verdicts.approve(started.engine, [f"{row['recommendation_id']}@{row['content_hash']}" for row in clean], "op", NOON)
    went = release.run_gate(started.engine, NOON)
    assert went.blocked["withheld"] > 0
    with reading(started.engine) as session:
        feed = release.released(session, NOON)
        assert audit.verify(session).ok
    education = [row for row in feed if row["content_type"] == "education"]
    assert education
    assert not held & {row["user_id"] for row in education if row["insight"] not in experiment_records.URGENT}

    # A month later, with the figures of today: too few customers for a figure, which is what is said.
    later, root = DAY + dt.timedelta(days=40), started.settings.warehouse_root
    for table in ("features_30d", "features_180d", "recurring_streams"):
        for day in (DAY + dt.timedelta(days=30), later):
            shutil.copy(warehouse.path(root, table, DAY.isoformat()), warehouse.path(root, table, day.isoformat()))
    analysed = analyse(started, later)
    primary = analysed[analysed["family"] == "primary"].iloc[0]
    assert primary["status"] == "not_enough"
    assert primary["measured_arm"] + primary["measured_control"] == len(people)
    (shown,) = spendsense(started, "experiments", "list")["experiments"]
    assert shown["state"] == "running"
    assert sum(arm["customers"] for arm in shown["arms"]) == len(people)
    assert shown["sentences"][0].startswith("Not enough yet for months of cushion over 30 days")
    verified = spendsense(started, "experiments", "verify")
    assert verified["figures"] > 0
    assert verified["differences"] == []

    # Fairness and the documents, from the same day; the groups' file leaves no trace.
    groups = started.settings.data.parent / "groups.csv"
    groups.write_text("user_id,sex\n" + "".join(f"{user},{'fm'[n % 2]}\n" for n, user in enumerate(people["user_id"])))
    fair = spendsense(started, "fairness", "--groups", str(groups), "--days", "9999")
    assert {row["dimension"] for row in fair["measures"]} >= {"income_band", "sex"}
    enough = {arm for arm, customers in people["arm"].value_counts().items() if customers >= SMALLEST_GROUP}
    assert {row["arm"] for row in fair["outcomes"]} <= enough
    assert all(row["of"] >= SMALLEST_GROUP for row in fair["outcomes"])
    assert bool(fair["outcomes"]) != any(said.startswith("outcomes: no arm has") for said in fair["not_tested"])
    assert any("not delivered, so not tested: age, ethnicity" in said for said in fair["not_tested"])
    pages = {
        path: Path(path).read_text()
        for path in spendsense(started, "documents", "--to", str(groups.parent / "docs"))["written"]
    }
    assert "does-it-help" in "".join(pages.values())
    assert not any(user in page for page in pages.values() for user in people["user_id"])

    # An erasure reaches the pseudonymous rows, too.
    who = people["user_id"].iloc[0]
    with reading(started.engine) as session:
        names = experiment_records.pseudonyms(session, who)

    def theirs() -> int:
        rows = to_frame(warehouse.load(root, "experiment_outcomes", [later.isoformat()]))
        return int(rows["pseudonym"].isin(names).sum())

    assert theirs() > 0
    spendsense(started, "erase", who, "--operator", "op", "--reason", "request 7")
    assert theirs() == 0
    assert who not in set(assigned(started)["user_id"])


def analyse(pipeline: Pipeline, day: dt.date) -> pd.DataFrame:
    """The two assets of the analysis, of a day whose other tables are stored."""
    import dagster as dg

    from spendsense_pipeline.defs import launch

    with launch.opened_instance(pipeline.settings) as instance:
        ran = dg.materialize(
            [pipeline.definitions.get_assets_def(name) for name in ("experiment_outcomes", "uplift")],
            partition_key=day.isoformat(),
            instance=instance,
            resources=pipeline.definitions.resources,
        )
    assert ran.success
    rows = to_frame(warehouse.load(pipeline.settings.warehouse_root, "experiment_outcomes", [day.isoformat()]))
    assert not rows["pseudonym"].isin(assigned(pipeline)["user_id"]).any()
    assert np.isfinite(rows.loc[rows["state"] == "measured", "value"]).all()
    return to_frame(warehouse.load(pipeline.settings.warehouse_root, "uplift", [day.isoformat()]))

"""Everybody counts in the arm they were dealt; who left or is unknown has no value and is counted."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from spendsense_pipeline.experiments import summary
from spendsense_pipeline.experiments.arms import arm_at, deal, strata
from spendsense_pipeline.experiments.outcomes import COLUMNS, GRACE_DAYS, History, outcomes
from spendsense_pipeline.experiments.uplift import assignment_faults, uplift
from spendsense_pipeline_tests.experiments import reactions
from spendsense_pipeline_tests.experiments.trials import experiment

ENTERED = dt.date(2026, 3, 1)
OF = experiment()


def features(users: list[str], **columns: object) -> pd.DataFrame:
    """Features of these customers, everything ordinary but the columns given."""
    said = {
        "fees_30d": 0.0,
        "fees_180d": 0.0,
        "interest_charges": 0.0,
        "avg_utilization": 0.2,
        "cash_flow_buffer_months": 1.0,
        "net_savings_inflow": 100.0,
        "regular_income": 2_000.0,
        "recurring_merchants": 1,
        "any_overdue": False,
        "data_age_days": 1,
        "avg_monthly_income": 2_500.0,
        "currency_factor": 1.0,
        "history_days": 400,
    }
    return pd.DataFrame({"user_id": users} | {name: [value] * len(users) for name, value in said.items()}).assign(
        **columns
    )


class Kept:
    """Stored tables by date: those of 30 and of 180 days are the same here."""

    def __init__(self, days: dict[int, pd.DataFrame], streams: dict[int, pd.DataFrame] | None = None) -> None:
        self.days = {ENTERED + dt.timedelta(days=n): rows for n, rows in days.items()}
        none = pd.DataFrame(columns=["user_id", "stream_id", "kind", "status"])
        self.streams = dict.fromkeys(self.days, none) | {
            ENTERED + dt.timedelta(days=n): rows for n, rows in (streams or {}).items()
        }

    def read(self, table: str, day: dt.date) -> pd.DataFrame:
        return self.streams[day] if table == "recurring_streams" else self.days[day]

    @property
    def history(self) -> History:
        return History(sorted(self.days), self.read)


def people(arms: dict[str, str], entered: dt.date = ENTERED) -> pd.DataFrame:
    rows = [
        {"user_id": user, "arm": arm, "stratum": "savings_builder/low", "ordinal": n, "as_of": entered}
        for n, (user, arm) in enumerate(arms.items())
    ]
    return pd.DataFrame(rows).assign(assigned_at=pd.Timestamp(entered, tz="UTC"))


NO_EVENTS = pd.DataFrame({"user_id": [], "kind": [], "occurred_at": pd.Series([], dtype="datetime64[us, UTC]")})


def measured(
    kept: Kept, metric: str, horizon: int, *, after: int = 100, events: pd.DataFrame = NO_EVENTS
) -> pd.DataFrame:
    users = people({"ann": "text", "bob": "nothing"})
    rows = outcomes(OF, users, events, kept.history, ENTERED + dt.timedelta(days=after), lambda user: f"sub_{user}")
    assert list(rows.columns) == list(COLUMNS)
    return rows[(rows["metric"] == metric) & (rows["horizon_days"] == horizon)].set_index("pseudonym")


BOTH = ["ann", "bob"]


def test_fees_add_up_over_the_horizon_and_their_baseline_is_of_the_day_of_entry() -> None:
    kept = Kept({n: features(BOTH, fees_30d=[n, 1.0], fees_180d=[70.0, 0.0]) for n in (0, 30, 60, 90)})
    found = measured(kept, "penalty_fees", 90)
    assert found["value"].to_dict() == {"sub_ann": 180, "sub_bob": 3}
    assert found["baseline"].to_dict() == {"sub_ann": 70, "sub_bob": 0}
    assert found["income_band"].unique().tolist() == ["2000 to 4000"]


@pytest.mark.parametrize(("late", "state"), [(GRACE_DAYS, "measured"), (GRACE_DAYS + 1, "no_table")])
def test_a_horizon_may_be_measured_a_few_days_late_and_no_more(late: int, state: str) -> None:
    kept = Kept({0: features(BOTH), 30 + late: features(BOTH, avg_utilization=0.5)})
    assert measured(kept, "utilization", 30)["state"].unique().tolist() == [state]


def test_a_horizon_that_is_not_reached_has_no_row() -> None:
    kept = Kept({0: features(BOTH), 29: features(BOTH)})
    assert measured(kept, "utilization", 30, after=29).empty
    assert measured(kept, "utilization", 30, after=30 + GRACE_DAYS).empty
    assert len(measured(kept, "utilization", 30, after=31 + GRACE_DAYS)) == 2


@pytest.mark.parametrize(
    ("later", "state"),
    [
        (features(["bob"]), "left"),
        (features(BOTH, data_age_days=[31, 1]), "left"),
        (features(BOTH, data_age_days=[30, 1]), "measured"),
        (features(BOTH, avg_utilization=[np.nan, 0.1]), "unknown"),
    ],
)
def test_who_left_or_is_unknown_stays_in_the_arm_without_a_value(later: pd.DataFrame, state: str) -> None:
    found = measured(Kept({0: features(BOTH), 30: later}), "utilization", 30)
    assert found["state"].to_dict() == {"sub_ann": state, "sub_bob": "measured"}
    assert found["value"].notna().to_dict() == {"sub_ann": state == "measured", "sub_bob": True}


def test_cancelled_subscriptions_are_those_active_at_entry_and_not_later() -> None:
    def streams(*ids: str, kind: str = "subscription", status: str = "mature") -> pd.DataFrame:
        return pd.DataFrame({"user_id": "ann", "stream_id": list(ids), "kind": kind, "status": status})

    before = pd.concat([streams("a", "b", "c"), streams("d", kind="bill"), streams("e", status="early")])
    after = pd.concat([streams("a"), streams("b", status="inactive")])
    kept = Kept({0: features(BOTH), 30: features(BOTH)}, {0: before, 30: after})
    assert measured(kept, "cancelled_subscriptions", 30)["value"].to_dict() == {"sub_ann": 2, "sub_bob": 0}


def test_overdue_days_are_the_share_of_stored_days() -> None:
    kept = Kept({n: features(BOTH, any_overdue=[n <= 10, False]) for n in (0, 5, 10, 15, 30)})
    assert measured(kept, "overdue_days", 30)["value"].to_dict() == {"sub_ann": 15, "sub_bob": 0}


def test_an_event_counts_within_the_horizon_and_only_for_those_who_are_shown_something() -> None:
    at = [ENTERED + dt.timedelta(days=n) for n in (10, 31)]
    events = pd.DataFrame(
        {"user_id": "ann", "kind": ["opened", "helpful"], "occurred_at": pd.to_datetime(at, utc=True).as_unit("us")}
    )
    kept = Kept({0: features(BOTH), 30: features(BOTH)})
    opened = measured(kept, "opened", 30, events=events)
    assert opened["state"].to_dict() == {"sub_ann": "measured", "sub_bob": "not_shown"}
    assert opened.loc["sub_ann", "value"] == 1
    assert measured(kept, "helpful", 30, events=events).loc["sub_ann", "value"] == 0


@pytest.fixture(scope="module")
def played() -> tuple[pd.DataFrame, pd.DataFrame]:
    """(Everybody's arm, outcomes) of generated customers who react to the text, through the tables of later dates."""
    rng = np.random.default_rng(11)
    crowd = reactions.crowd(rng, 2_400)
    users = [f"cus_{n:06d}" for n in range(2_400)]
    before = pd.Series(crowd.before, users)
    personas = pd.Series([f"persona_{n}" for n in crowd.persona], users)
    dealt = deal(OF, strata(OF, personas, before), {}).set_index("user_id").loc[users]
    treated = (dealt["arm"] == "text").to_numpy()
    days = {0: features(users, fees_180d=crowd.before)}
    for day in (30, 60, 90):
        days[day] = features(users, fees_30d=reactions.fees_after(rng, crowd, 0.8 * treated, months=1))
    assigned = dealt.rename_axis("user_id").reset_index().assign(as_of=ENTERED)
    assigned["assigned_at"] = pd.Timestamp(ENTERED, tz="UTC")
    rows = outcomes(OF, assigned, NO_EVENTS, Kept(days).history, ENTERED + dt.timedelta(days=90), lambda u: f"sub_{u}")
    return assigned, rows


def compared(played: tuple[pd.DataFrame, pd.DataFrame], after: int = 120, **changes: object) -> pd.DataFrame:
    return uplift(experiment(**changes), *played, ENTERED, ENTERED + dt.timedelta(days=after))


def primary(rows: pd.DataFrame) -> dict[str, object]:
    (row,) = rows[rows["family"] == "primary"].to_dict("records")
    return row


def test_the_planted_effect_comes_out_of_the_tables_with_its_interval_and_a_verb(played) -> None:
    row = primary(compared(played))
    truth, share = reactions.planted(0.8)
    assert row["status"] == "measured"
    assert row["low"] <= truth <= row["high"] < 0
    assert row["relative_low"] <= share <= row["relative_high"]
    said = summary.sentence(row, OF)
    assert said.startswith("text lowered penalty fees by ")
    assert "1,200 and 1,200 customers" in said
    assert " % (" in said


def test_other_figures_say_that_no_difference_was_shown_and_name_the_interval(played) -> None:
    rows = compared(played)
    other = rows[(rows["metric"] == "utilization") & (rows["horizon_days"] == 90)].to_dict("records")[0]
    assert not summary.shown(other)
    assert summary.sentence(other, OF).startswith("No difference shown in card utilization over 90 days")


def test_subgroups_have_their_own_sizes_and_are_corrected_together(played) -> None:
    rows = compared(played)
    groups = rows[(rows["family"] == "subgroup") & (rows["dimension"] == "persona")]
    assert groups["band"].tolist() == [f"persona_{n}" for n in range(4)]
    assert groups["measured_arm"].sum() == 1_200
    assert (groups["p_adjusted"] >= groups["p"]).all()


def test_before_the_horizon_a_look_is_refused_unless_looks_are_always_valid(played) -> None:
    assert primary(compared(played, after=29))["status"] == "not_due"
    early = compared(played, after=29, stop_rule="always_valid")
    assert primary(early)["status"] == "measured"
    late = primary(compared(played))
    assert primary(early)["high"] - primary(early)["low"] > late["high"] - late["low"]


def test_while_one_customers_table_is_not_stored_yet_a_look_is_refused(played) -> None:
    assigned, rows = played
    assert primary(compared((assigned, rows[rows["pseudonym"] != "sub_cus_000007"])))["status"] == "not_due"


def test_enrolment_that_is_open_is_no_horizon_passed(played) -> None:
    assert primary(compared(played, after=95, enrolment_days=100))["status"] == "not_due"


def test_too_few_get_words_and_no_figure(played) -> None:
    row = primary(compared(played, minimum_size=1_201))
    assert row["status"] == "not_enough"
    assert np.isnan(row["estimate"])
    assert "1,200 and 1,200 customers" in summary.sentence(row, experiment(minimum_size=1_201))
    assert primary(compared(played, minimum_size=1_200))["status"] == "measured"


def test_assignment_broken_by_hand_is_seen_and_nothing_is_shown(played) -> None:
    assigned, rows = played
    assert assignment_faults(OF, assigned) == []
    moved = assigned.copy()
    some = moved.index[moved["arm"] == "nothing"][:150]
    moved.loc[some, "arm"] = "text"
    other, ratio = assignment_faults(OF, moved)
    assert other.startswith("150 of 2400 customers")
    assert ratio.startswith("sample ratio mismatch")
    assert set(compared((moved, rows))["status"]) == {"assignment_broken"}
    swapped = assigned.copy()
    swapped.loc[0, "arm"] = (
        "text" if arm_at(OF, swapped.loc[0, "stratum"], swapped.loc[0, "ordinal"]) == "nothing" else "nothing"
    )
    assert assignment_faults(OF, swapped) == ["1 of 2400 customers have another arm than their place gives"]


def test_arms_that_lose_customers_unequally_get_no_verb(played) -> None:
    assigned, rows = played
    lost = rows.copy()
    some = lost.index[(lost["arm"] == "text") & (lost["metric"] == "penalty_fees")][::5]
    lost.loc[some, ["state", "value"]] = ["left", np.nan]
    row = primary(compared((assigned, lost)))
    assert row["status"] == "unequal_loss"
    assert not summary.shown(row)
    assert "nothing follows" in summary.sentence(row, OF)

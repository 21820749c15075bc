"""What became of each customer of an experiment: outcomes from features of later dates and from events.

Intention to treat: everybody counts in the arm that they were dealt, whatever they were shown. Whoever revoked consent
stays in: figures are computed for all customers, only texts need consent. Who left the bank, or whose figure is not
known, has no value and is counted. Erased customers are in no row. Belongs here: these rules. Does not belong here:
comparing arms (``uplift``).
"""

import datetime as dt
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from spendsense_pipeline.evaluation.metrics import fairness_bands
from spendsense_pipeline.experiments.definition import HORIZONS, METRICS, Experiment, Metric

GRACE_DAYS: Final = 6
"""A horizon is measured on the first stored date from its day on, at most so many days later: a run may fail."""
LEFT_DAYS: Final = 30
"""Whose newest transaction is older than this when a horizon is reached has left the bank."""
STEP_DAYS: Final = 30
"""Days that one row of the short window covers; sums over a horizon add such rows."""
MEASURED, LEFT, UNKNOWN, NO_TABLE, NOT_SHOWN = "measured", "left", "unknown", "no_table", "not_shown"
COLUMNS: Final = (
    *("experiment", "pseudonym", "arm", "stratum", "ordinal", "assigned_on", "persona", "income_band", "history_band"),
    *("metric", "horizon_days", "baseline", "value", "state"),
)

Read = Callable[[str, dt.date], pd.DataFrame]
"""Table and stored date → its rows."""


@dataclass(frozen=True)
class History:
    """The stored dates (ascending, none after the day of analysis) and how to read them."""

    dates: Sequence[dt.date]
    read: Read

    def at(self, day: dt.date) -> dt.date | None:
        """The first stored date from ``day`` on, within the grace."""
        place = bisect_left(self.dates, day)
        found = self.dates[place] if place < len(self.dates) else None
        return found if found is not None and (found - day).days <= GRACE_DAYS else None

    def rows(self, table: str, day: dt.date) -> pd.DataFrame:
        """A table of a date, by customer."""
        return self.read(table, day).set_index("user_id")


def outcomes(
    experiment: Experiment,
    assigned: pd.DataFrame,
    events: pd.DataFrame,
    history: History,
    as_of: dt.date,
    pseudonym: Callable[[str], str],
) -> pd.DataFrame:
    """One row per customer, metric and horizon that was reached by ``as_of`` (``COLUMNS``; contract
    ExperimentOutcomes without its date).

    ``assigned``: user_id, arm, stratum, ordinal, as_of (date), assigned_at. ``events``: user_id, kind, occurred_at.
    """
    found = []
    days: list[dt.date] = sorted(set(assigned["as_of"]))
    for entered in days:
        people = assigned[assigned["as_of"] == entered].set_index("user_id")
        known = _at_entry(history, entered, people.index)
        for horizon in HORIZONS:
            due = entered + dt.timedelta(days=horizon)
            if due > as_of or (history.at(due) is None and (as_of - due).days <= GRACE_DAYS):
                continue
            for metric in METRICS.values():
                value, state = _measured_rows(experiment, metric, people, events, history, entered, horizon)
                found.append(
                    known.assign(
                        arm=people["arm"],
                        stratum=people["stratum"],
                        ordinal=people["ordinal"],
                        persona=people["stratum"].str.split("/").str[0],
                        assigned_on=entered,
                        metric=metric.name,
                        horizon_days=horizon,
                        baseline=baseline(metric, history, entered, people.index),
                        value=value.where(state == MEASURED),
                        state=state,
                    )
                )
    if not found:
        return pd.DataFrame(columns=list(COLUMNS))
    rows = pd.concat(found).rename_axis("user_id").reset_index()
    rows["experiment"], rows["pseudonym"] = experiment.name, rows["user_id"].map(pseudonym)
    return rows[list(COLUMNS)]


def baseline(metric: Metric, history: History, entered: dt.date, users: pd.Index) -> pd.Series:
    """What the metric was before, by customer; NaN where it is not known or the metric has none."""
    if not metric.baseline or entered not in history.dates:
        return pd.Series(np.nan, users)
    return _stored_column(history.rows("features_180d", entered), metric.baseline, metric.divisor).reindex(users)


def _at_entry(history: History, entered: dt.date, users: pd.Index) -> pd.DataFrame:
    """The bands that customers were in when they entered."""
    if entered not in history.dates:
        return pd.DataFrame({"income_band": "unknown", "history_band": "unknown"}, index=users)
    known = fairness_bands(history.read("features_180d", entered)).set_index("user_id")
    return known.reindex(users).fillna("unknown")


def _stored_column(rows: pd.DataFrame, name: str, divisor: str) -> pd.Series:
    values = rows[name].astype("Float64").astype(float)
    if not divisor:
        return values
    below = rows[divisor].astype("Float64").astype(float)
    return values / below.where(below > 0)


def _measured_rows(
    experiment: Experiment,
    metric: Metric,
    people: pd.DataFrame,
    events: pd.DataFrame,
    history: History,
    entered: dt.date,
    horizon: int,
) -> tuple[pd.Series, pd.Series]:
    """(Value, state) by customer."""
    users = people.index
    if metric.how == "event":
        return _happened(experiment, metric, people, events, horizon)
    due = history.at(entered + dt.timedelta(days=horizon))
    value = None if due is None else _outcome_value(metric, users, history, entered, due, horizon)
    if due is None or value is None:
        return pd.Series(np.nan, users), pd.Series(NO_TABLE, users)
    age = history.rows("features_180d", due)["data_age_days"].astype("Float64").astype(float).reindex(users)
    state = pd.Series(np.where(value.notna(), MEASURED, UNKNOWN), users).where(age <= LEFT_DAYS, LEFT)
    return value, state


def _outcome_value(
    metric: Metric, users: pd.Index, history: History, entered: dt.date, due: dt.date, horizon: int
) -> pd.Series | None:
    """The figure by customer, None where a table that it needs is not stored."""
    if metric.how == "level":
        return _stored_column(history.rows("features_180d", due), metric.column, metric.divisor).reindex(users)
    if metric.how == "cancelled":
        if entered not in history.dates:
            return None
        before, after = (_subscriptions(history.read("recurring_streams", day)) for day in (entered, due))
        gone = before[~before["stream_id"].isin(after["stream_id"])]
        return gone.groupby("user_id").size().reindex(users).fillna(0).astype(float)
    if metric.how == "sum":
        steps = [history.at(entered + dt.timedelta(days=n)) for n in range(STEP_DAYS, horizon + 1, STEP_DAYS)]
        days = [day for day in steps if day is not None]
        if len(days) < len(steps):
            return None
    else:
        days = [day for day in history.dates if entered < day <= entered + dt.timedelta(days=horizon)]
        if len(days) < horizon / STEP_DAYS:
            return None
    rows = [_stored_column(history.rows("features_30d", day), metric.column, "").reindex(users) for day in days]
    each = pd.concat(rows, axis=1)
    if metric.how == "sum":
        return each.sum(axis=1, skipna=False)
    return each.mean(axis=1) * horizon


def _subscriptions(streams: pd.DataFrame) -> pd.DataFrame:
    return streams[(streams["kind"] == "subscription") & (streams["status"] == "mature")]


def _happened(
    experiment: Experiment, metric: Metric, people: pd.DataFrame, events: pd.DataFrame, horizon: int
) -> tuple[pd.Series, pd.Series]:
    about = events[events["kind"] == metric.column].merge(people[["assigned_at"]], left_on="user_id", right_index=True)
    after = about["occurred_at"] - about["assigned_at"]
    within = about[(after > pd.Timedelta(0)) & (after <= pd.Timedelta(days=horizon))]
    value = pd.Series(people.index.isin(within["user_id"]).astype(float), people.index)
    withheld = people["arm"].isin([arm.name for arm in experiment.arms if arm.withheld])
    return value, pd.Series(np.where(withheld, NOT_SHOWN, MEASURED), people.index)

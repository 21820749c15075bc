"""Whether groups of customers fare alike: offers, releases, holds and outcomes by band and by protected group.

Protected groups come in a file of the bank's own, are read for one answer and stored nowhere. Belongs here: the
measures, and what was not tested. Does not belong here: why a difference is there; it is a question, not yet a fault.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.evaluation.report import SMALLEST_GROUP
from spendsense_pipeline.experiments.statistics import likelihood_of_chi_square

MEASURES: Final = {
    "offer": "customers with an offer, by customers who agreed to offers",
    "release": "released texts, by registered texts",
    "hold": "texts held back by an experiment or a held wording, by registered texts",
    "complaint": "released texts with a complaint or a wrong figure, by released texts",
}
FOUR_FIFTHS: Final = 0.8
"""A lowest rate below this part of the highest is worth a look (EEOC Uniform Guidelines, 29 CFR 1607.4 D)."""
COMMON: Final = ("age", "sex", "ethnicity", "disability", "marital_status")
"""Groups that law protects in most places; those not delivered are named as not tested."""


def groups_in(path: Path) -> pd.DataFrame:
    """The bank's file of protected groups: CSV, ``user_id`` and a column for each dimension; unknown where empty.

    Raises ``invalid_groups`` where it is no such file, or names a customer twice.
    """
    try:
        rows = pd.read_csv(path, dtype="str", keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SpendSenseError(f"{path} is no CSV file: {error}", code="invalid_groups") from error
    if "user_id" not in rows or len(rows.columns) < 2:
        raise SpendSenseError(
            f"{path} has the columns {', '.join(rows.columns)}; user_id and at least one group are needed",
            code="invalid_groups",
        )
    twice = rows.index[rows["user_id"].duplicated()]
    if len(twice):
        raise SpendSenseError(f"{path}, row {twice[0] + 2}: this user_id was there before", code="invalid_groups")
    return rows.replace("", "unknown")


def facts(texts: pd.DataFrame, agreed_to_offers: pd.Index) -> dict[str, pd.DataFrame]:
    """Measure → user_id and met (0 or 1), a row for each customer or text that could have met it; ``texts`` as
    ``governance.database_frames.texts``."""
    offered = texts.loc[texts["content_type"] == "partner_offer", "user_id"]
    released = texts["released_at"].notna()
    met = {"release": released, "hold": texts["held"], "complaint": (texts["complaints"] > 0)[released]}
    return {
        "offer": pd.DataFrame({"user_id": agreed_to_offers, "met": agreed_to_offers.isin(offered).astype(int)}),
        **{
            name: pd.DataFrame({"user_id": texts["user_id"][by.index], "met": by.astype(int)})
            for name, by in met.items()
        },
    }


def compared(facts: Mapping[str, pd.DataFrame], groups: pd.DataFrame) -> tuple[list[dict[str, Any]], list[str]]:
    """(Rows, what was not tested). A row for each measure and dimension of ``groups`` (user_id and dimensions).

    {measure, dimension, groups: [{group, rate, of}], difference, ratio, p, look}: highest less lowest rate and lowest
    by highest (Fairlearn), how likely such differences are among alike groups (chi-square), and whether to look: below
    four fifths or p below 0.05.
    """
    from fairlearn.metrics import MetricFrame, selection_rate  # an extra that loads scikit-learn

    rows: list[dict[str, Any]] = []
    untested: list[str] = []
    for dimension in [name for name in groups.columns if name != "user_id"]:
        for measure, each in facts.items():
            known = each.merge(groups[["user_id", dimension]], on="user_id")
            sizes = known[dimension].value_counts()
            enough = sizes.index[(sizes >= SMALLEST_GROUP) & (sizes.index != "unknown")]
            untested += _left_out(measure, dimension, sizes, enough, len(each) - len(known))
            tested = known[known[dimension].isin(enough)]
            if len(enough) < 2:
                untested.append(f"{measure} by {dimension}: fewer than two groups of {SMALLEST_GROUP} or more")
                continue
            met = tested["met"].to_numpy(dtype=int)
            measured = MetricFrame(
                metrics=selection_rate, y_true=met, y_pred=met, sensitive_features=tested[dimension].astype(object)
            )
            p = _alike(tested.groupby(dimension)["met"].agg(["sum", "size"]).to_numpy(dtype=float))
            ratio = float(measured.ratio())
            rows.append(
                {
                    "measure": measure,
                    "dimension": dimension,
                    "groups": [
                        {"group": str(name), "rate": float(rate), "of": int(sizes[name])}
                        for name, rate in measured.by_group.items()
                    ],
                    "difference": float(measured.difference()),
                    "ratio": None if np.isnan(ratio) else ratio,
                    "p": p,
                    "look": ratio < FOUR_FIFTHS or p < 0.05,
                }
            )
    missing = [name for name in COMMON if name not in groups.columns]
    return rows, untested + ([f"not delivered, so not tested: {', '.join(missing)}"] if missing else [])


def _left_out(measure: str, dimension: str, sizes: pd.Series, enough: pd.Index, nowhere: int) -> Iterator[str]:
    small = [str(name) for name in sizes.index if name not in enough and name != "unknown"]
    if small:
        yield f"{measure} by {dimension}: {', '.join(sorted(small))} (fewer than {SMALLEST_GROUP})"
    if unknown := int(sizes.get("unknown", 0)) + nowhere:
        yield f"{measure} by {dimension}: {unknown} whose group is unknown"


def _alike(counts: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """How likely rates of groups (met, of) differ so much where all have the same; 1 where all or none met it."""
    share = counts[:, 0].sum() / counts[:, 1].sum()
    if not 0 < share < 1:
        return 1.0
    expected = counts[:, 1] * share
    chi_square = ((counts[:, 0] - expected) ** 2 / (expected * (1 - share))).sum()
    return likelihood_of_chi_square(len(counts) - 1, chi_square)


def outcome_means(outcomes: pd.DataFrame, names: Mapping[str, str], groups: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean outcome by experiment, metric, horizon, arm and group: {experiment, metric, horizon_days, arm, dimension,
    group, mean, of}, groups of ``SMALLEST_GROUP`` or more. ``names``: pseudonym → user_id."""
    found: list[dict[str, Any]] = []
    by = ["experiment", "metric", "horizon_days", "arm"]
    measured = outcomes.loc[outcomes["state"] == "measured", [*by, "pseudonym", "value"]]
    rows = measured.assign(user_id=measured["pseudonym"].map(dict(names))).merge(groups, on="user_id")
    for dimension in [name for name in groups.columns if name != "user_id"]:
        means = rows.groupby([*by, dimension])["value"].agg(["mean", "size"]).reset_index()
        for row in means[means["size"] >= SMALLEST_GROUP].to_dict("records"):
            said = {"dimension": dimension, "group": row[dimension], "mean": row["mean"], "of": int(row["size"])}
            found.append({name: row[name] for name in by} | said)
    return found

"""Who gets which arm: permuted blocks within strata, from the experiment's seed alone.

A customer's place in a stratum decides the arm, and anybody with the seed can recompute it. Belongs here: who may be
assigned, strata, dealing. Does not belong here: keeping assignments, which makes them sticky
(``governance.experiment_records``).
"""

import hashlib
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd

from spendsense_pipeline.experiments.definition import METRICS, Experiment

THIRDS: Final = ("low", "middle", "high")
HELP: Final = ("credit_counseling", "hardship_program")
"""Products for customers in hardship; whoever is shown one is not experimented on."""


def eligible(
    experiment: Experiment,
    situations: pd.DataFrame,
    templates: pd.DataFrame,
    consents: pd.DataFrame,
    features: pd.DataFrame,
    matches: pd.DataFrame,
    declined: Collection[str],
) -> list[str]:
    """Customers who may enter the experiment today, sorted; everything else comes first.

    They consent to education, have not declined the topic (``declined``: user ids), are in no hardship (no urgent
    insight, nothing overdue, no help product shown), and have the insight with a fitting piece for each arm's
    template, so that no arm loses customers whom its text does not fit.
    """
    rows = situations[situations["insight"].notna()]
    hardship = {
        *rows.loc[rows["severity"] == "urgent", "user_id"],
        *features.loc[features["any_overdue"].fillna(False).astype(bool), "user_id"],
        *matches.loc[matches["shown"].astype(bool) & matches["product_type"].isin(HELP), "user_id"],
    }
    if experiment.insight is None:
        candidates = set(situations["user_id"])
    else:
        needed = {arm.template for arm in experiment.arms if arm.template}
        fits = templates[templates["template_id"].isin(needed)].groupby("situation")["template_id"].nunique()
        about = rows[rows["insight"] == experiment.insight]
        if needed:
            about = about[about["situation"].map(fits).fillna(0) == len(needed)]
        candidates = set(about["user_id"])
    agreed = set(consents.loc[consents["scope"] == "education", "user_id"])
    return sorted((candidates & agreed) - hardship - set(declined))


def strata(experiment: Experiment, personas: pd.Series, baseline: pd.Series) -> pd.Series:
    """Each customer's stratum: the persona, and the third of the metric's baseline among the customers given.

    ``personas`` and ``baseline`` are by user_id; an unknown baseline is a third of its own.
    """
    known = baseline.dropna().astype(float)
    if not METRICS[experiment.metric].baseline or known.empty:
        return personas + "/any"
    edges = np.quantile(known, [1 / 3, 2 / 3])
    third = pd.Series(np.asarray(THIRDS)[np.searchsorted(edges, baseline.astype(float).fillna(0.0))], baseline.index)
    return personas + "/" + third.where(baseline.notna(), "unknown")


def deal(experiment: Experiment, strata: pd.Series, before: Mapping[str, int]) -> pd.DataFrame:
    """Arms for new customers: user_id, stratum, ordinal, arm, in the order in which they are dealt.

    ``strata`` is by user_id; ``before`` counts the customers of each stratum who were assigned earlier. Within a
    stratum customers come in the order of a hash, so that nobody's id or file order decides.
    """
    rows = pd.DataFrame({"user_id": strata.index.astype("str"), "stratum": strata.to_numpy()})
    rows["place"] = [_digest(experiment.seed, experiment.name, user) for user in rows["user_id"]]
    rows = rows.sort_values(["stratum", "place"], kind="stable", ignore_index=True)
    rows["ordinal"] = rows.groupby("stratum").cumcount() + rows["stratum"].map(before).fillna(0).astype(int)
    rows["arm"] = [
        arm_at(experiment, stratum, ordinal) for stratum, ordinal in zip(rows["stratum"], rows["ordinal"], strict=True)
    ]
    return rows.drop(columns="place")


def arm_at(experiment: Experiment, stratum: str, ordinal: int) -> str:
    """The arm of the customer at this place of the stratum, counted from 0."""
    cards = [arm.name for arm in experiment.arms for _ in range(arm.weight)]
    block, place = divmod(ordinal, len(cards))
    return cards[_shuffled(experiment.seed, experiment.name, stratum, block, len(cards))[place]]


@lru_cache(maxsize=4096)
def _shuffled(seed: int, name: str, stratum: str, block: int, cards: int) -> list[int]:
    return sorted(range(cards), key=lambda card: _digest(seed, name, stratum, block, card))


def _digest(*said: object) -> str:
    return hashlib.sha256("\x1f".join(map(str, said)).encode()).hexdigest()

"""Trials on generated customers, many at a time: for the proofs of coverage, of false findings and of bias."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from spendsense_pipeline.experiments import statistics
from spendsense_pipeline.experiments.arms import deal, strata
from spendsense_pipeline.experiments.definition import Experiment, parse
from spendsense_pipeline_tests.experiments import reactions

FILE = """
name = "fees-wording"
hypothesis = "The plainer text lowers penalty fees."
unit = "customer"
insight = "fees_charged"
metric = "penalty_fees"
horizon = 90
seed = {seed}
enrolment_days = 30
control = "nothing"
minimum_size = 200
stop_rule = "horizon"

[[arms]]
name = "text"
weight = 1

[[arms]]
name = "nothing"
weight = 1
withheld = true
"""


def experiment(seed: int = 1, **changes: object) -> Experiment:
    """The experiment of the trials."""
    said = parse(FILE.format(seed=seed), "fees-wording.toml").model_dump()
    return Experiment.model_validate(said | changes)


@dataclass(frozen=True)
class Trials:
    """What came of many trials, each by its seed: truth and finding in dollars, and as fractions."""

    truth: np.ndarray
    found: list[statistics.Difference]
    relative_truth: np.ndarray

    @property
    def coverage(self) -> float:
        """Share of intervals that hold the truth."""
        return float(np.mean([d.low <= t <= d.high for d, t in zip(self.found, self.truth, strict=True)]))

    @property
    def relative_coverage(self) -> float:
        """The same for the fraction of the control's mean."""
        pairs = zip(self.found, self.relative_truth, strict=True)
        return float(np.mean([d.relative_low <= t <= d.relative_high for d, t in pairs]))

    @property
    def positives(self) -> float:
        """Share of trials that find a difference."""
        return float(np.mean([d.p < statistics.ALPHA for d in self.found]))

    @property
    def bias(self) -> float:
        """Mean of finding less truth, in its own standard errors: beyond 3 it is no luck."""
        gaps = np.array([d.estimate for d in self.found]) - self.truth
        return float(gaps.mean() / (gaps.std() / np.sqrt(len(gaps))))


def trial(seed: int, effect: float, customers: int = 600) -> tuple[statistics.Difference, float, float]:
    """(Finding, truth in dollars, truth as a fraction) of one experiment, assigned as the pipeline assigns."""
    rng = np.random.default_rng(seed)
    people = reactions.crowd(rng, customers)
    names = pd.Index([f"cus_{n:06d}" for n in range(customers)])
    of = experiment(seed)
    cells = strata(
        of, pd.Series("p" + people.persona.astype(str).astype(object), names), pd.Series(people.before, names)
    )
    dealt = deal(of, cells, {}).set_index("user_id").loc[names]
    treated = (dealt["arm"] == "text").to_numpy()
    after = reactions.fees_after(rng, people, effect * treated)
    codes = pd.factorize(dealt["stratum"])[0].astype(np.int64)
    found = statistics.difference(treated, after, people.before, codes)
    assert found is not None
    return found, *reactions.planted(effect)


def trials(seeds: range, effect: float, customers: int = 600) -> Trials:
    """One trial for each seed."""
    found, truth, relative = zip(*(trial(seed, effect, customers) for seed in seeds), strict=True)
    return Trials(np.array(truth), list(found), np.array(relative))

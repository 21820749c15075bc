"""Which partner products suit a customer: relevance, eligibility, and why a product is not shown.

Every customer meets every product, and the row says what became of it. What an offer says to the customer is
written in ``drafts.py``; whether the customer agreed to offers at all is the consent's question there. A
product's commission is not read here.
"""

import datetime as dt
import json
import operator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.personas.assignment import followed
from spendsense_pipeline.recommendations.choosing import EXCLUDED_TAGS

START: Final = 0.5
"""Relevance of a product about which no rule says anything; also the least that is shown."""
SHOWN_AT_MOST: Final = 2
"""Offers for one customer on one day, by the programme's specification."""
BALANCE_TRANSFER_FROM: Final = 0.30
"""Utilisation below which a balance transfer has nothing to offer, by the programme's specification."""

_COMPARE: Final[dict[str, Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "==": operator.eq,
}
_DECIMALS: Final = 6  # binary noise in the last digits decides nothing

Criterion = tuple[str, str, float | bool]


@dataclass(frozen=True)
class Relevance:
    """Points for products of a type when all ``criteria`` (signal, operator, threshold) hold; unknown holds nothing.

    Thresholds on ``MONEY`` signals are US dollars and scale with the customer's currency factor.
    """

    product_type: str
    criteria: tuple[Criterion, ...]
    points: float
    source: str


MONEY: Final = frozenset({"regular_income", "net_savings_inflow"})

HELP: Final = ("credit_counseling", "hardship_program")
"""Types of free help for somebody in trouble; they have a place of their own, and nobody else needs them."""
PENALTIES_FOR_HELP: Final = 45.0
"""US dollars of penalty fees in 30 days from which on free help is shown: more than a single overdraft or late fee, of
which the largest that is usual is about 40."""
THIN_MONTHS: Final = 7 / 30
"""Months of spending in checking and savings together below which nothing that costs is shown, as in the insight
``thin_cushion``."""
REVIEWED_WITHIN: Final = 365
"""Days within which somebody must have looked at a product's terms; ours."""
NOT_IN_TROUBLE: Final = ("credit", "investing")
"""Categories of products that somebody in trouble is not shown, nor any that costs something or may."""
FIXED_COSTS_FROM: Final = 0.5
"""Bills by regular income from which on money is short."""
ENOUGH_MONTHS: Final = 3
"""Months of spending in checking and savings together with which fees or high bills alone ask for no help; the lower
end of the usual guide for an emergency fund."""
SHORT_OF_MONEY: Final = ("fixed_costs_high", "spending_above_income", "income_late")
"""Insights that mean trouble beside the urgent ones."""
NOTHING_TO_SPARE: Final = tuple(name for name, tags in EXCLUDED_TAGS.items() if "spare_money" in tags)
"""Insights beside which, as beside the urgent ones, no text presumes money that is not needed."""
PRESUMES_MONEY: Final = ("savings", "investing")
"""Categories of products for money that is not needed."""

_SPEC = "relevance of offers in the programme's specification"
_NO_CARD = "the same, where there is no card: nothing is owed on cards"

RELEVANCE: Final[tuple[Relevance, ...]] = (
    Relevance("balance_transfer", (("avg_utilization", ">", 0.5),), 0.3, _SPEC),
    Relevance("balance_transfer", (("interest_charges_present", "==", True),), 0.2, _SPEC),
    Relevance("balance_transfer", (("avg_utilization", ">", 0.7),), 0.2, _SPEC),
    Relevance("savings_hysa", (("net_savings_inflow", ">", 0), ("emergency_fund_months", "<", 3)), 0.4, _SPEC),
    Relevance("savings_hysa", (("savings_growth_rate", ">", 0.02),), 0.2, _SPEC),
    Relevance("savings_hysa", (("has_savings", "==", True),), -0.5, _SPEC),
    Relevance("budgeting_app", (("income_variability", ">", 0.3),), 0.3, _SPEC),
    Relevance("budgeting_app", (("cash_flow_buffer_months", "<", 1),), 0.3, _SPEC),
    Relevance("subscription_manager", (("recurring_merchants", ">=", 5),), 0.4, _SPEC),
    Relevance("subscription_manager", (("subscription_spend_share", ">", 0.2),), 0.3, _SPEC),
    Relevance("robo_advisor", (("regular_income", ">", 5_000), ("max_utilization", "<", 0.3)), 0.4, _SPEC),
    Relevance("robo_advisor", (("regular_income", ">", 5_000), ("card_count", "==", 0)), 0.4, _NO_CARD),
    Relevance("robo_advisor", (("emergency_fund_months", ">=", 3),), 0.3, _SPEC),
    Relevance("robo_advisor", (("investment_account_detected", "==", True),), -0.4, _SPEC),
)

REASONS: Final[dict[str, str]] = {
    "inactive": "the product is not offered at present",
    "not_for_persona": "the product is meant for other personas",
    "below_min_income": "regular income a month is below the product's minimum",
    "income_unknown": "the product has a minimum income and the customer's regular income is unknown",
    "above_max_utilization": "the highest card is above the product's limit",
    "utilization_unknown": "the product has a utilisation criterion and the customer's is unknown",
    "utilization_below_30": "a balance transfer needs a utilisation of 30 % or more",
    "credit_score_unknown": "the product has a minimum credit score and scores are never known here",
    "has_savings": "the product is for customers without a savings account",
    "savings_unknown": "the product is for customers without a savings account, and whether this is one is unknown",
    "has_investment": "the product is for customers without investments",
    "in_trouble": "the customer is overdue, overdrawn, was charged penalty fees in 30 days, bills take above half of "
    "what comes in, more goes out than comes in, pay is late, or an insight is urgent: no credit, no investment, "
    "nothing that costs",
    "thin_cushion": "checking and savings cover less than a week of spending: nothing that costs",
    "money_is_short": "an insight says that money is short: no place to put it aside",
    "help_not_needed": "free help is for customers who are overdue, overdrawn or without their pay, and for those with "
    "less than three months of spending who were charged more than a single penalty fee in 30 days or whose bills take "
    "above half of what comes in",
    "review_overdue": "nobody has reviewed the product's terms for a year",
    "other_country": "the product is offered in another currency than the customer's",
    "low_relevance": "relevance is below 0.5",
    "not_among_best": "eligible and relevant, but two others are more so",
}
"""Why a product is not shown, as codes; the last two are no matter of eligibility."""


class MixedDays(SpendSenseError):
    """Tables that belong together are not of the same customers, window and day."""

    code = "mixed_days"


def product_matches(
    personas_30d: pd.DataFrame,
    personas_180d: pd.DataFrame,
    features_30d: pd.DataFrame,
    features_180d: pd.DataFrame,
    products: pd.DataFrame,
    insights: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per customer and product (contract ``ProductMatches``), by the window that the customer's drafts follow.

    Relevance starts at 0.5, gains and loses by ``RELEVANCE`` and is clamped to 0-1. ``eligible`` says that
    the customer meets the product's published criteria; a criterion that needs an unknown figure is not met.
    Shown are at most two eligible products of relevance 0.5 or more: the most relevant first, then by the
    cheaper one for the customer (``cost_monthly``, unknown last), then by the product's ``priority`` (lower first,
    null last), then by id. Somebody in trouble (``in_trouble``, which the day's ``insights`` speak for too) is shown no
    credit, no investment and nothing that costs, and who is short of money by an insight no place for savings; who
    needs it (``needs_help``) free help before all else.
    ``rank`` numbers in this order every eligible and
    relevant product, so that drafting finds the next where history keeps the best away. ``refused`` holds
    codes of ``REASONS``.

    ``factors`` lists the criteria that scored; where two are needed together the points stand with the last.
    Having a savings account is the signal ``has_savings``: the balance or the inflow of such an account is
    known. The highest card decides on ``max_credit_utilization``, all cards together on balance transfers; a
    customer without any card owes nothing and is within every limit. A product's minimum income is asked of
    ``regular_income``, so benefits and pensions count; it is in US dollars and scales with the customer's
    ``currency_factor``.

    Raises ``MixedDays`` when a customer's features of that window and day are missing.
    """
    customers = _signals(personas_30d, personas_180d, features_30d, features_180d)
    found = insights if insights is not None else pd.DataFrame(columns=["user_id", "severity", "insight"])
    for name, holds in (
        ("troubled", (found["severity"] == "urgent") | found["insight"].isin(SHORT_OF_MONEY)),
        ("short", (found["severity"] == "urgent") | found["insight"].isin(NOTHING_TO_SPARE)),
        ("stopped", found["insight"] == "income_stopped"),
    ):
        customers[name] = customers["user_id"].isin(found.loc[holds, "user_id"])
    n, m = len(customers), len(products)
    factor = customers["currency_factor"].to_numpy(dtype=np.float64)
    shelf = products.reset_index(drop=True)

    kinds = list(dict.fromkeys(shelf["product_type"]))
    scores = {kind: _relevance(kind, customers, factor) for kind in kinds}
    relevance = np.empty((n, m))
    refusals: dict[str, npt.NDArray[np.bool_]] = {code: np.zeros((n, m), dtype=bool) for code in REASONS}
    for column, product in enumerate(shelf.to_dict("records")):
        relevance[:, column] = scores[product["product_type"]][0]
        for code, applies in _refusals(product, customers, factor).items():
            refusals[code][:, column] = applies

    eligible = ~np.logical_or.reduce(list(refusals.values()))
    refusals["low_relevance"] = relevance < START
    rank = _ranks(eligible & ~refusals["low_relevance"], relevance, shelf)
    refusals["not_among_best"] = rank > SHOWN_AT_MOST
    shown = (rank > 0) & (rank <= SHOWN_AT_MOST)

    factors = [scores[kind][1] for kind in shelf["product_type"]]
    return pd.DataFrame(
        {
            "user_id": pd.Series(np.repeat(customers["user_id"].to_numpy(dtype=object), m), dtype="str"),
            "as_of": pd.Series(np.repeat(customers["as_of"].to_numpy(dtype=object), m), dtype=object),
            "window_days": pd.Series(np.repeat(customers["window_days"].to_numpy(dtype=int), m), dtype="Int64"),
            "product_id": pd.Series(np.tile(shelf["product_id"].to_numpy(dtype=object), n), dtype="str"),
            "product_type": pd.Series(np.tile(shelf["product_type"].to_numpy(dtype=object), n), dtype="str"),
            "relevance": pd.Series(relevance.ravel(), dtype=float),
            "eligible": pd.Series(eligible.ravel(), dtype="boolean"),
            "shown": pd.Series(shown.ravel(), dtype="boolean"),
            "rank": pd.Series(rank.ravel(), dtype="Int64").where(rank.ravel() > 0),
            "refused": pd.Series(_codes(refusals), dtype="str"),
            "factors": pd.Series(np.column_stack(factors).ravel() if m else [], dtype="str"),
        }
    )


def _signals(
    personas_30d: pd.DataFrame,
    personas_180d: pd.DataFrame,
    features_30d: pd.DataFrame,
    features_180d: pd.DataFrame,
) -> pd.DataFrame:
    """Persona and features of the followed window, one row per customer, with ``has_savings``."""
    chosen = followed(personas_30d, personas_180d)[["user_id", "as_of", "window_days", "persona"]]
    features = pd.concat([features_30d, features_180d])
    if features.duplicated(["user_id", "window_days"]).any():
        raise MixedDays("a customer stands twice in the features of one window")
    customers = chosen.merge(features, on=["user_id", "as_of", "window_days"], how="inner")
    if len(customers) != len(chosen):
        missing = chosen.loc[~chosen["user_id"].isin(customers["user_id"]), "user_id"].iloc[0]
        raise MixedDays(
            f"{len(chosen) - len(customers)} customers have a persona and no features of the same window and day, "
            f"first {missing}: pass the tables of one date"
        )
    customers["has_savings"] = customers["savings_balance"].notna() | customers["net_savings_inflow"].notna()
    return customers


def _known(customers: pd.DataFrame, signal: str) -> npt.NDArray[np.float64]:
    """A signal as floats, flags as 0 and 1, unknown as NaN."""
    values: npt.NDArray[np.float64] = customers[signal].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), np.round(values, _DECIMALS), np.nan)


def _relevance(
    kind: str, customers: pd.DataFrame, factor: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.object_]]:
    """Relevance of one product type for each customer, and what scored, as JSON."""
    score = np.full(len(customers), START)
    scored = np.full(len(customers), "", dtype=object)
    for rule in RELEVANCE:
        if rule.product_type != kind:
            continue
        figures = []
        holds = np.ones(len(customers), dtype=bool)
        for signal, comparison, threshold in rule.criteria:
            scale = factor if signal in MONEY else np.ones(len(factor))
            limit = np.round(float(threshold) * scale, _DECIMALS)
            values = _known(customers, signal)
            holds &= _COMPARE[comparison](values, limit)  # a comparison with NaN is false
            figures.append((signal, comparison, isinstance(threshold, bool), values, limit))
        score += np.where(holds, rule.points, 0.0)
        rows = np.flatnonzero(holds)
        for place, (signal, comparison, flag, values, limit) in enumerate(figures, start=1):
            points = rule.points if place == len(figures) else 0.0
            scored[rows] += [
                json.dumps(
                    {
                        "signal": signal,
                        "value": bool(value) if flag else value,
                        "operator": comparison,
                        "threshold": bool(against) if flag else against,
                        "points": points,
                    }
                )
                + ", "
                for value, against in zip(values[rows].tolist(), limit[rows].tolist(), strict=True)
            ]
    written = np.array([f"[{text[:-2]}]" for text in scored], dtype=object)
    return np.round(np.clip(score, 0, 1), _DECIMALS), written


def _refusals(
    product: dict[Any, Any], customers: pd.DataFrame, factor: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.bool_] | bool]:
    """The codes that keep one product from each customer; a limit of 0 is a limit too."""
    income = _known(customers, "regular_income")
    no_card = _known(customers, "card_count") == 0
    highest = np.where(no_card, 0.0, _known(customers, "max_utilization"))
    together = np.where(no_card, 0.0, _known(customers, "avg_utilization"))
    helps = product["product_type"] in HELP
    costs = not helps and product["cost_monthly"] != 0
    refused: dict[str, npt.NDArray[np.bool_] | bool] = {
        "in_trouble": in_trouble(customers) & (costs or product["category"] in NOT_IN_TROUBLE),
        "thin_cushion": (_cushion(customers) < THIN_MONTHS) & costs,
        "money_is_short": customers["short"].to_numpy(dtype=bool) & (product["category"] in PRESUMES_MONEY),
        "help_not_needed": ~needs_help(customers) & helps,
        "inactive": not _flag(product["active"]),
        "credit_score_unknown": _given(product["min_credit_score"]),
    }
    if _given(product.get("reviewed_on")):
        since = customers["as_of"] - product["reviewed_on"]
        refused["review_overdue"] = (since > dt.timedelta(days=REVIEWED_WITHIN)).to_numpy(dtype=bool)
    targets = _targets(product)
    if targets:
        refused["not_for_persona"] = ~customers["persona"].isin(targets).to_numpy(dtype=bool)
    # everybody earns nothing or more: a minimum of 0 asks nothing
    if _given(product["min_income"]) and product["min_income"] > 0:
        refused["income_unknown"] = np.isnan(income)
        refused["below_min_income"] = income < np.round(product["min_income"] * factor, _DECIMALS)
    unknown = np.zeros(len(customers), dtype=bool)
    if _given(product["max_credit_utilization"]):
        unknown |= np.isnan(highest)
        refused["above_max_utilization"] = highest > product["max_credit_utilization"]
    if product["product_type"] == "balance_transfer":
        unknown |= np.isnan(together)
        refused["utilization_below_30"] = together < BALANCE_TRANSFER_FROM
    refused["utilization_unknown"] = unknown
    if _given(product["currency"]):
        theirs = customers["currency"]
        refused["other_country"] = (theirs.notna() & (theirs != product["currency"])).to_numpy(dtype=bool)
    if _flag(product["requires_no_existing_savings"]):
        has_savings = customers["has_savings"].to_numpy(dtype=bool)
        refused["has_savings"] = has_savings
        # Without any transaction the inflow is null whatever accounts there are, so null tells of no account.
        refused["savings_unknown"] = ~has_savings & customers["total_spend"].isna().to_numpy(dtype=bool)
    if _flag(product["requires_no_existing_investment"]):
        refused["has_investment"] = _known(customers, "investment_account_detected") != 0
    return refused


def needs_help(customers: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Who is overdue, overdrawn or without the pay that used to come; and who has less than three months of spending
    and was charged more than a single penalty fee in the last 30 days, or pays bills of above half of what comes in.
    What is unknown asks for no help."""
    bills, income = _known(customers, "monthly_bills"), _known(customers, "regular_income")
    fees = PENALTIES_FOR_HELP * customers["currency_factor"].to_numpy(dtype=np.float64)
    strained = (_known(customers, "fees_30d") > fees) | (bills > FIXED_COSTS_FROM * income)
    return np.asarray(
        (_known(customers, "any_overdue") == 1)
        | (_known(customers, "cash_flow_buffer_months") < 0)
        | customers["stopped"].to_numpy(dtype=bool)
        | (strained & ~(_cushion(customers) >= ENOUGH_MONTHS))
    )


def in_trouble(customers: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Who needs help, was charged any penalty fee in the last 30 days, has an urgent insight, or one that says that
    bills or spending are too high for what comes in, or that pay is late."""
    troubled = customers["troubled"].to_numpy(dtype=bool)
    return np.asarray(needs_help(customers) | troubled | (_known(customers, "fees_30d") > 0))


def _cushion(customers: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Months of spending in checking and savings; unknown where either is, for it may cover more."""
    saved = np.where(customers["has_savings"], _known(customers, "emergency_fund_months"), 0.0)
    return np.asarray(_known(customers, "cash_flow_buffer_months") + saved)


def _given(value: Any) -> bool:
    return not pd.isna(value)


def _flag(value: Any) -> bool:
    """A flag of a product; one that is not given asks nothing."""
    return _given(value) and bool(value)


def _targets(product: dict[Any, Any]) -> list[str]:
    """The personas a product is meant for; none given means all."""
    if not _given(product["persona_targets"]):
        return []
    return [str(persona) for persona in json.loads(product["persona_targets"])]


def _ranks(
    candidates: npt.NDArray[np.bool_], relevance: npt.NDArray[np.float64], shelf: pd.DataFrame
) -> npt.NDArray[np.int64]:
    """Rank of each candidate for its customer, 1 first; 0 for products that are none."""
    by = ["cost_monthly", "priority", "product_id"]
    among_equals = shelf.sort_values(by, na_position="last").index.to_numpy(dtype=int)
    # Help is offered to those alone who need it: before all else.
    score = np.where(candidates, relevance + shelf["product_type"].isin(HELP).to_numpy(), -1.0)[:, among_equals]
    order = among_equals[np.argsort(-score, axis=1, kind="stable")]
    rank = np.empty(order.shape, dtype=np.int64)
    np.put_along_axis(rank, order, np.arange(1, order.shape[1] + 1)[None, :], axis=1)
    return np.where(candidates, rank, 0)


def _codes(refusals: dict[str, npt.NDArray[np.bool_]]) -> list[str]:
    """The codes of each row as JSON; the few combinations that occur are written once."""
    bits = np.zeros(next(iter(refusals.values())).size, dtype=np.int64)
    for position, applies in enumerate(refusals.values()):
        bits |= applies.ravel().astype(np.int64) << position
    written = {
        combination: json.dumps([code for place, code in enumerate(refusals) if combination >> place & 1])
        for combination in np.unique(bits).tolist()
    }
    return [written[combination] for combination in bits.tolist()]

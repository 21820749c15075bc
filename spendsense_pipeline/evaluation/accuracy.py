"""How well the detectors find what is known to be there: their tables against the truth about the customers.

Frames in, frames out. The truth is what a generator planted (``truth.json``, written by ``synthetic``); no rule of
detection is used to compare. What does not belong here: making customers, and
running the detectors on them (``benchmark.py``, ``defs/evaluation_assets.py``).
"""

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any, Final

import pandas as pd

from spendsense_pipeline.personas.assignment import followed

WORTH_LISTING: Final = 3
"""Occurrences from which a stream counts on both sides; two for `RARE` ones. The truth lists no others."""

RARE: Final = ("annual", "semi_annual")

AMOUNT_SLACK: Final = 0.5
"""How far the typical amount may lie from the planted one, as a fraction: bills follow the weather, pay the hours. It
only tells streams of one payee apart: the nearer amount is matched first."""

SAME_PRICE: Final = 0.05
"""How far two amounts may lie apart, as a fraction, where no word of the name survived and the calendar must do."""

SAME_DAY: Final = 5
"""Days between the last charges, and between the first ones, of what is taken for one stream by its calendar."""

INCOME_WITHIN: Final = 0.10
SPENDING_WITHIN: Final = 0.03

COLUMNS: Final = ["measure", "of", "value", "numerator", "denominator"]

PLANTED: Final = {
    "merchant": None, "kind": None, "cadence": None, "amount": None, "also": (), "well_known": None, "printed": None,
    "first_date": None, "last_date": None,
}  # fmt: skip
"""What the truth may say of a stream, with what stands for a field that an older truth lacks."""


def truths(paths: Iterable[Path], day: dt.date) -> dict[str, dict[str, Any]]:
    """The contents of ``truth.json`` files of the day, by the folder they lie in."""
    found = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return {batch: truth for batch, truth in found.items() if truth["as_of"] == day.isoformat()}


def planted(truth: Mapping[str, Any]) -> pd.DataFrame:
    """The streams of a ``truth.json``, one a row: ``user_id`` and the columns of ``PLANTED``."""
    rows = [
        {"user_id": user, **{name: stream.get(name, missing) for name, missing in PLANTED.items()}}
        for user, known in truth["users"].items()
        for stream in known["streams"]
    ]
    return pd.DataFrame(rows, columns=["user_id", *PLANTED])


def matched(streams: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Pairs of a detected stream and a planted one: ``stream`` and ``plant``, positions in the two frames.

    The same customer, the same direction, an amount within ``AMOUNT_SLACK`` and, where the truth has dates, spans that
    overlap; and one of two things. Either the names agree: all words of one are in the other or in what the bank
    printed, or, where the truth has dates, a word of four letters or more is in both. Or the calendar does: amounts
    within ``SAME_PRICE``, the last charges and the first ones within ``SAME_DAY``. Each stream is paired at most once;
    pairs of the same kind and cadence come first, then pairs by name, then the nearer amount.
    """
    left = _comparable(streams, "typical_amount")
    right = _comparable(known, "amount").assign(printed=known["printed"], also=known["also"])
    pairs = left.merge(right, on="user_id", suffixes=("", "_planted"))
    # Another sign is more than 100 % apart.
    pairs = pairs.assign(apart=(pairs["amount"] / pairs["amount_planted"] - 1).abs())
    disjoint = (pairs["last"] < pairs["first_planted"]) | (pairs["first"] > pairs["last_planted"])
    pairs = pairs[(pairs["apart"] <= AMOUNT_SLACK) & ~disjoint].reset_index(drop=True)
    right_kind = _are_of_kind(pairs["kind"], pairs["kind_planted"], pairs["also"])
    named = [
        _payee_named(name, wanted, printed, loosely=dated)
        for name, wanted, printed, dated in zip(
            pairs["name"], pairs["name_planted"], pairs["printed"], pairs["last_planted"].notna(), strict=True
        )
    ]
    pairs = pairs.assign(
        unnamed=~pd.Series(named, index=pairs.index, dtype=bool),
        differs=~right_kind | (pairs["cadence"] != pairs["cadence_planted"]),
    )
    on_calendar = (
        (pairs["apart"] <= SAME_PRICE)
        & ((pairs["last"] - pairs["last_planted"]).abs() <= pd.Timedelta(days=SAME_DAY))
        & ((pairs["first"] - pairs["first_planted"]).abs() <= pd.Timedelta(days=SAME_DAY))
    )
    pairs = pairs[~pairs["unnamed"] | on_calendar]
    pairs = pairs.sort_values(["differs", "unnamed", "apart", "place", "place_planted"])
    chosen, paired_streams, paired_plants = [], set(), set()
    for stream, plant in zip(pairs["place"], pairs["place_planted"], strict=True):
        if stream not in paired_streams and plant not in paired_plants:
            chosen.append((stream, plant))
            paired_streams.add(stream)
            paired_plants.add(plant)
    return pd.DataFrame(chosen, columns=["stream", "plant"], dtype="int64")


def _comparable(frame: pd.DataFrame, amount: str) -> pd.DataFrame:
    """What streams are matched by, and the place of each in its frame."""
    return pd.DataFrame(
        {
            "user_id": frame["user_id"].astype(str),
            "name": frame["merchant"],
            "kind": frame["kind"].astype(str),
            "cadence": frame["cadence"].astype(str),
            "amount": frame[amount].astype(float),
            "first": _dates(frame, "first_date"),
            "last": _dates(frame, "last_date"),
            "place": range(len(frame)),
        }
    )


def stream_accuracy(streams: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Precision and recall of ``recurring_streams`` against ``planted``: in all, by kind, by cadence, by payee.

    A stream is right when a planted one is there for it (``matched``) with the same *cadence* and the same *kind*, or
    one that the truth lists in ``also``: where nothing in the rows says what is paid for, ``regular`` is the answer to
    give. ``stream_precision``: right ones by detected streams with enough occurrences to be listed; ``stream_recall``:
    by planted ones. Groups are those of the detected stream for precision and those of the planted one for recall;
    ``well known`` and ``invented`` payees are separate groups where the truth says which is which, for precision only
    among streams that match a planted one.
    """
    pairs = matched(streams, known)
    found = streams.iloc[pairs["stream"]].reset_index(drop=True)
    wanted = known.iloc[pairs["plant"]].reset_index(drop=True)
    right = _are_of_kind(found["kind"], wanted["kind"], wanted["also"]) & (found["cadence"] == wanted["cadence"])
    origin = known["well_known"].map({True: "well known", False: "invented"}).astype(object)
    streams = streams.assign(
        right=pd.RangeIndex(len(streams)).isin(pairs.loc[right, "stream"]),
        payee=pd.Series(origin.iloc[pairs["plant"]].tolist(), index=pairs["stream"], dtype=object)
        .reindex(range(len(streams)))
        .tolist(),
    )
    known = known.assign(right=pd.RangeIndex(len(known)).isin(pairs.loc[right, "plant"]), payee=origin)
    listed = streams[_worth_listing(streams) | streams["right"]]
    rows = []
    for measure, frame in (("stream_precision", listed), ("stream_recall", known)):
        rows.append(share_of(measure, "all", frame["right"]))
        for column in ("kind", "cadence", "payee"):
            rows += [share_of(measure, str(of), group["right"]) for of, group in frame.groupby(column, sort=True)]
    return pd.DataFrame(rows, columns=COLUMNS)


def subscriptions_that_are_none(streams: pd.DataFrame, known: pd.DataFrame, customers: int) -> pd.DataFrame:
    """Listed subscriptions for which no planted one is there, of whatever cadence, by customers.

    ``value`` is how many there are for each customer; one in a hundred is 0.01.
    """
    pairs = matched(streams, known)
    planted_ones = known.iloc[pairs["plant"]]
    subscription = pd.Series("subscription", index=pairs.index)
    real = pairs["stream"][_are_of_kind(subscription, planted_ones["kind"], planted_ones["also"])]
    listed = (streams["kind"] == "subscription") & _worth_listing(streams)
    wrong = int((listed & ~pd.RangeIndex(len(streams)).isin(real)).sum())
    value = wrong / customers if customers else None
    return pd.DataFrame(
        [("subscriptions_that_are_none", "all", value, float(wrong), float(customers))], columns=COLUMNS
    )


def false_subscriptions(streams: pd.DataFrame, habits: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Subscriptions, of any status, at payees where people only shop, by habit of the truth: counts."""
    names = streams.loc[streams["kind"] == "subscription", "merchant"].tolist()
    rows = [
        (
            "false_subscriptions",
            habit,
            float(sum(any(_same_name(name, payee) for payee in payees) for name in names)),
            None,
            None,
        )
        for habit, payees in habits.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def pay_frequency_confusion(features: pd.DataFrame, truth: Mapping[str, Any]) -> pd.DataFrame:
    """How often each planted pay frequency is found (``pay_frequency``), and what is found instead.

    Rows of ``pay_frequency_confusion`` are ``planted → found``; ``unknown`` is a null.
    """
    known = _known_orders(truth, "pay_frequency")
    found = features.set_index("user_id")["pay_frequency"].reindex(known.index)
    return _confusion("pay_frequency", known, found.astype(object).where(found.notna(), "unknown"))


def persona_recovery(personas_30d: pd.DataFrame, personas_180d: pd.DataFrame, truth: Mapping[str, Any]) -> pd.DataFrame:
    """How often the way of living that was planted is the persona that drafts follow; a fallback never counts."""
    chosen = followed(personas_30d, personas_180d).set_index("user_id")
    known = _known_orders(truth, "persona")
    named = chosen["persona"].astype(object).mask(chosen["is_fallback"].astype(bool), "fallback")
    return _confusion("persona", known, named.reindex(known.index).fillna("unknown"))


def money_accuracy(
    measure: str, within: float, wanted: Mapping[str, float | None], found: "pd.Series[float] | None", of: str
) -> pd.DataFrame:
    """How often a figure lies within a fraction of the planted one; nothing planted is right as 0 or unknown.

    ``found`` is by customer; None where the table has no such column yet, and then the row has no figure at all.
    Customers of whom the truth does not say it are left out, and no row comes back where it says it of nobody.
    """
    known = pd.Series({user: value for user, value in wanted.items() if value is not None}, dtype=float)
    if known.empty:
        return pd.DataFrame(columns=COLUMNS)
    if found is None:
        return pd.DataFrame([(measure, of, nan, nan, nan)], columns=COLUMNS)
    seen = found.reindex(known.index).astype(float)
    right = (seen - known).abs() <= within * known.abs() + 0.005  # half a cent: sums of cents in another order
    right = right.where(known.abs() >= 0.005, seen.fillna(0.0).abs() < 0.005)
    return pd.DataFrame([share_of(measure, of, right)], columns=COLUMNS)


def signal_accuracy(
    truth: Mapping[str, Any],
    streams: pd.DataFrame,
    features_180d: pd.DataFrame,
    personas_30d: pd.DataFrame,
    personas_180d: pd.DataFrame,
    features_30d: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """All measures of the customers of one ``truth.json``, on its day: ``measure, of, value, numerator, denominator``.

    ``value`` is null where there was nothing to measure. Customers of whom the truth says nothing are left out.
    Spending in 30 days is measured where ``features_30d`` is given.
    """
    people = list(truth["users"])

    def of(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["user_id"].isin(people)].reset_index(drop=True)

    def planted_figure(name: str) -> dict[str, float | None]:
        return {user: said.get(name) for user, said in truth["users"].items()}

    def figure(frame: pd.DataFrame, name: str) -> "pd.Series[float] | None":
        return frame.set_index("user_id")[name] if name in frame else None

    streams, known = of(streams), planted(truth)
    parts = [
        stream_accuracy(streams, known),
        subscriptions_that_are_none(streams, known, len(people)),
        false_subscriptions(streams, truth.get("habits", {})),
        pay_frequency_confusion(of(features_180d), truth),
        money_accuracy(
            "regular_income", INCOME_WITHIN, planted_figure("regular_income"),
            figure(of(features_180d), "regular_income"), "all"
        ),
        persona_recovery(of(personas_30d), of(personas_180d), truth),
    ]  # fmt: skip
    for days, features in ((30, features_30d), (180, features_180d)):
        if features is not None:
            parts.append(
                money_accuracy(
                    "spending", SPENDING_WITHIN, planted_figure(f"spend_{days}d"),
                    figure(of(features), "total_spend"), f"{days} days"
                )
            )  # fmt: skip
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _words_of_kinds(name: Any) -> set[str]:
    return set(re.findall(r"[^\W_]+", str(name).lower()))


def _same_name(name: Any, other: Any) -> bool:
    """Whether all words of one name are in the other: spellings add cities and references, or lose a word."""
    words, others = _words_of_kinds(name), _words_of_kinds(other)
    return bool(words and others) and (words <= others or others <= words)


def _payee_named(name: Any, planted_name: Any, printed: Any, *, loosely: bool) -> bool:
    """Whether a detected name is the planted one's, or shares a word of it that is no mere article or number."""
    if _same_name(name, planted_name) or (printed is not None and _same_name(name, printed)):
        return True
    shared = _words_of_kinds(name) & (_words_of_kinds(planted_name) | _words_of_kinds(printed))
    return loosely and any(len(word) >= 4 and not word.isdigit() for word in shared)


def _dates(frame: pd.DataFrame, name: str) -> pd.Series:
    """A column of days; unknown where the frame has none."""
    values = frame[name] if name in frame else pd.Series([None] * len(frame), index=frame.index, dtype=object)
    return pd.to_datetime(values)


def _are_of_kind(kinds: pd.Series, wanted: pd.Series, also: pd.Series) -> "pd.Series[bool]":
    """Whether each kind is the one wanted, or another that the truth lets pass."""
    right = [kind in (one, *others) for kind, one, others in zip(kinds, wanted, also, strict=True)]
    return pd.Series(right, index=kinds.index, dtype=bool)


def _worth_listing(streams: pd.DataFrame) -> "pd.Series[bool]":
    return streams["occurrences"] >= streams["cadence"].isin(RARE).map({True: 2, False: WORTH_LISTING})


def _known_orders(truth: Mapping[str, Any], what: str) -> "pd.Series[str]":
    """What the truth says of each customer; ``unknown`` for those who have none, such as pensioners a payday."""
    return pd.Series({user: known[what] or "unknown" for user, known in truth["users"].items()}, dtype=object)


def _confusion(measure: str, known: pd.Series, found: pd.Series) -> pd.DataFrame:
    rows: list[tuple[str, str, float | None, float | None, float | None]] = [share_of(measure, "all", known == found)]
    rows += [share_of(measure, str(of), group == found[group.index]) for of, group in known.groupby(known, sort=True)]
    wrong = pd.DataFrame({"known": known, "found": found})[known != found].value_counts(sort=False).reset_index()
    rows += [
        (f"{measure}_confusion", f"{was} → {said}", float(n), None, None)
        for was, said, n in zip(wrong["known"], wrong["found"], wrong["count"], strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def share_of(measure: str, of: str, right: Any) -> tuple[str, str, float | None, float, float]:
    """A row of ``COLUMNS``: how many are right of how many; no value where there are none."""
    numerator, denominator = float(sum(map(bool, right))), float(len(right))
    return measure, of, numerator / denominator if denominator else None, numerator, denominator

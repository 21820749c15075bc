"""How well the detectors find what is known to be there: their tables against the truth about the customers.

Frames in, frames out. The truth is what a generator planted (``truth.json``, written by ``synthetic``) or what a bank
knew (its standing orders); no rule of detection is used to compare. What does not belong here: making customers, and
running the detectors on them (``benchmark.py``, ``defs/evaluation.py``).
"""

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from spendsense_pipeline.personas.assignment import followed

WORTH_LISTING: Final = 3
"""Occurrences from which a stream counts on both sides; two for annual ones. The truth lists no others."""

AMOUNT_SLACK: Final = 0.5
"""How far the typical amount may lie from the planted one, as a fraction: bills follow the weather, pay the hours. It
only tells streams of one payee apart: the nearer amount is matched first."""

COLUMNS: Final = ["measure", "of", "value", "numerator", "denominator"]


def truths(paths: Iterable[Path], day: dt.date) -> dict[str, dict[str, Any]]:
    """The contents of ``truth.json`` files of the day, by the folder they lie in."""
    found = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return {batch: truth for batch, truth in found.items() if truth["as_of"] == day.isoformat()}


def planted(truth: Mapping[str, Any]) -> pd.DataFrame:
    """The streams of a ``truth.json``, one a row: ``user_id, merchant, kind, cadence, amount``."""
    rows = [
        {"user_id": user, **{name: stream[name] for name in ("merchant", "kind", "cadence", "amount")}}
        for user, known in truth["users"].items()
        for stream in known["streams"]
    ]
    return pd.DataFrame(rows, columns=["user_id", "merchant", "kind", "cadence", "amount"])


def matched(streams: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Pairs of a detected stream and a planted one: ``stream`` and ``plant``, positions in the two frames.

    The same customer, the same direction, one payee's words within the other's, an amount within ``AMOUNT_SLACK``;
    each at most once, those of the same kind and cadence first, then by nearness of the amount.
    """
    left = pd.DataFrame(
        {
            "user_id": streams["user_id"].astype(str),
            "name": streams["merchant"],
            "kind": streams["kind"].astype(str),
            "cadence": streams["cadence"].astype(str),
            "amount": streams["typical_amount"].astype(float),
            "stream": range(len(streams)),
        }
    )
    right = pd.DataFrame(
        {
            "user_id": known["user_id"].astype(str),
            "planted_name": known["merchant"],
            "planted_kind": known["kind"].astype(str),
            "planted_cadence": known["cadence"].astype(str),
            "planted_amount": known["amount"].astype(float),
            "plant": range(len(known)),
        }
    )
    pairs = left.merge(right, on="user_id")
    named = [_same_name(one, other) for one, other in zip(pairs["name"], pairs["planted_name"], strict=True)]
    pairs = pairs.assign(
        apart=(pairs["amount"] / pairs["planted_amount"] - 1).abs(),  # another sign is more than 100 % apart
        differs=(pairs["kind"] != pairs["planted_kind"]) | (pairs["cadence"] != pairs["planted_cadence"]),
    )
    pairs = pairs[pd.Series(named, index=pairs.index, dtype=bool) & (pairs["apart"] <= AMOUNT_SLACK)]
    pairs = pairs.sort_values(["differs", "apart", "stream", "plant"])
    chosen, streams_taken, plants_taken = [], set(), set()
    for stream, plant in zip(pairs["stream"], pairs["plant"], strict=True):
        if stream not in streams_taken and plant not in plants_taken:
            chosen.append((stream, plant))
            streams_taken.add(stream)
            plants_taken.add(plant)
    return pd.DataFrame(chosen, columns=["stream", "plant"], dtype="int64")


def stream_accuracy(streams: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Precision and recall of ``recurring_streams`` against ``planted``, in all, by kind and by cadence.

    A stream is right when a planted one of the same payee, *kind and cadence* is there for it; an income stream is
    never a subscription, nor a monthly one quarterly. ``stream_precision``: right ones by detected streams with
    enough occurrences to be listed; ``stream_recall``: by planted ones. Groups are those of the detected stream for
    precision and those of the planted one for recall.
    """
    enough = streams["occurrences"] >= (streams["cadence"] == "annual").map({True: 2, False: WORTH_LISTING})
    pairs = matched(streams, known)
    found = streams.iloc[pairs["stream"]].reset_index(drop=True)
    wanted = known.iloc[pairs["plant"]].reset_index(drop=True)
    right = (found["kind"] == wanted["kind"]) & (found["cadence"] == wanted["cadence"])
    streams = streams.assign(right=pd.RangeIndex(len(streams)).isin(pairs.loc[right, "stream"]))
    known = known.assign(right=pd.RangeIndex(len(known)).isin(pairs.loc[right, "plant"]))
    listed = streams[enough | streams["right"]]
    rows = []
    for measure, frame in (("stream_precision", listed), ("stream_recall", known)):
        rows.append(_share(measure, "all", frame["right"]))
        for column in ("kind", "cadence"):
            rows += [_share(measure, str(of), group["right"]) for of, group in frame.groupby(column, sort=True)]
    return pd.DataFrame(rows, columns=COLUMNS)


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
    known = _known(truth, "pay_frequency")
    found = features.set_index("user_id")["pay_frequency"].reindex(known.index)
    return _confusion("pay_frequency", known, found.astype(object).where(found.notna(), "unknown"))


def persona_recovery(personas_30d: pd.DataFrame, personas_180d: pd.DataFrame, truth: Mapping[str, Any]) -> pd.DataFrame:
    """How often the way of living that was planted is the persona that drafts follow; a fallback never counts."""
    chosen = followed(personas_30d, personas_180d).set_index("user_id")
    known = _known(truth, "persona")
    named = chosen["persona"].astype(object).mask(chosen["is_fallback"].astype(bool), "fallback")
    return _confusion("persona", known, named.reindex(known.index).fillna("unknown"))


def signal_accuracy(
    truth: Mapping[str, Any],
    streams: pd.DataFrame,
    features_180d: pd.DataFrame,
    personas_30d: pd.DataFrame,
    personas_180d: pd.DataFrame,
) -> pd.DataFrame:
    """All measures of the customers of one ``truth.json``, on its day: ``measure, of, value, numerator, denominator``.

    ``value`` is null where there was nothing to measure. Customers of whom the truth says nothing are left out.
    """
    people = list(truth["users"])

    def of(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["user_id"].isin(people)].reset_index(drop=True)

    streams = of(streams)
    return pd.concat(
        [
            stream_accuracy(streams, planted(truth)),
            false_subscriptions(streams, truth.get("habits", {})),
            pay_frequency_confusion(of(features_180d), truth),
            persona_recovery(of(personas_30d), of(personas_180d), truth),
        ],
        ignore_index=True,
    )


def standing_order_recall(
    streams: pd.DataFrame, payees: pd.Series, orders: pd.DataFrame, least: int = WORTH_LISTING
) -> pd.DataFrame:
    """How many of a bank's own standing orders with ``least`` or more executions are found, and what else is.

    ``orders`` has ``user_id, merchant_entity_id, amount, occurrences``; ``payees`` is the other side's id of each
    stream. Found means a stream of the customer to that payee at that amount (1 %). ``bills_standing``: the bills
    found that are standing orders, by bills found; a customer may also pay regularly without an order.
    """
    wanted = orders[orders["occurrences"] >= least].reset_index(drop=True)
    found = pd.DataFrame(
        {"user_id": streams["user_id"], "merchant_entity_id": payees, "typical": streams["typical_amount"]}
    )
    pairs = wanted.reset_index(names="order").merge(found, on=["user_id", "merchant_entity_id"])
    hit = pairs.loc[(pairs["typical"] / pairs["amount"] - 1).abs() <= 0.01, "order"].unique()
    ordered = set(zip(orders["user_id"], orders["merchant_entity_id"], strict=True))
    bills = found[streams["kind"] == "bill"]
    known = [side in ordered for side in zip(bills["user_id"], bills["merchant_entity_id"], strict=True)]
    rows = [_share("standing_orders", "all", wanted.index.isin(hit)), _share("bills_standing", "all", known)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _same_name(one: Any, other: Any) -> bool:
    """Whether all words of one name are in the other: spellings add cities and references, or lose a word."""
    words, others = (set(re.findall("[a-z0-9]+", str(name).lower())) for name in (one, other))
    return bool(words and others) and (words <= others or others <= words)


def _known(truth: Mapping[str, Any], what: str) -> "pd.Series[str]":
    return pd.Series({user: known[what] for user, known in truth["users"].items()}, dtype=object)


def _confusion(measure: str, known: pd.Series, found: pd.Series) -> pd.DataFrame:
    rows: list[tuple[str, str, float | None, float | None, float | None]] = [_share(measure, "all", known == found)]
    rows += [_share(measure, str(of), group == found[group.index]) for of, group in known.groupby(known, sort=True)]
    wrong = pd.DataFrame({"known": known, "found": found})[known != found].value_counts(sort=False).reset_index()
    rows += [
        (f"{measure}_confusion", f"{was} → {said}", float(n), None, None)
        for was, said, n in zip(wrong["known"], wrong["found"], wrong["count"], strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _share(measure: str, of: str, right: Any) -> tuple[str, str, float | None, float, float]:
    numerator, denominator = float(sum(map(bool, right))), float(len(right))
    return measure, of, numerator / denominator if denominator else None, numerator, denominator

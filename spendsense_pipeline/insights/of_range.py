"""The insights and forecasts of a range of customers on its dates, as tables.

What does not belong here: what any insight is (``bills.py`` and its neighbours), and who is told what
(``recommendations/``).
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline.features import tables
from spendsense_pipeline.features.signals import Evidence, Signals
from spendsense_pipeline.insights import bills, cushion, debt, income, recurring, spending
from spendsense_pipeline.insights.figures import FIGURES
from spendsense_pipeline.insights.forecast import Forecast, balance_forecast, low_balance_ahead
from spendsense_pipeline.insights.kinds import IMPORTANCE, INSIGHTS
from spendsense_pipeline.insights.seen import Array, Columns, Seen

DETECTORS: dict[str, Callable[[Seen], Columns]] = {
    detector.__name__: detector
    for detector in (
        *(bills.bill_due_soon, bills.bills_before_payday, bills.bill_higher_than_usual, bills.bill_missing),
        *(bills.annual_renewal_ahead, recurring.price_rise, recurring.new_recurring, recurring.trial_became_paid),
        *(recurring.duplicate_charge, recurring.two_of_a_kind, income.income_late, income.income_stopped),
        *(income.income_changed, income.windfall, debt.past_due, debt.dearest_first, debt.minimum_only),
        *(debt.interest_paid, debt.balance_falling, cushion.overdrawn, cushion.fees_charged, cushion.thin_cushion),
        *(cushion.idle_cash, cushion.savings_drop, cushion.savings_milestone, spending.unusual_spending),
        *(spending.fixed_costs_high, spending.spending_above_income, spending.card_not_linked),
        *(spending.cash_withdrawals, cushion.interest_earned),
    )
}
INSIGHTS_SCHEMA = pa.schema(
    [
        ("insight_id", pa.string()), ("user_id", pa.string()), ("as_of", pa.date32()), ("insight", pa.string()),
        ("topic", pa.string()), ("severity", pa.string()), ("happened_on", pa.date32()), ("expires_on", pa.date32()),
        ("detail", pa.string()), ("evidence", pa.string()), ("figures", pa.string()), ("confidence", pa.float64()),
    ]
)  # fmt: skip
FORECAST_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()), ("as_of", pa.date32()), ("balance", pa.float64()), ("balance_date", pa.date32()),
        ("next_payday", pa.date32()), ("expected", pa.string()), ("low", pa.string()), ("high", pa.string()),
    ]
)  # fmt: skip


def insights_of(evidence: Evidence, signals: Signals) -> dict[str, pa.Table]:
    """``insights`` and ``balance_forecast`` of every date of the range, by customer."""
    found, forecasts = [], []
    for place in range(len(evidence.dates)):
        seen = Seen(evidence, place, signals)
        forecast = balance_forecast(seen)
        candidates = {name: detector(seen) for name, detector in DETECTORS.items()}
        candidates["low_balance_ahead"] = low_balance_ahead(seen, forecast)
        found.append(_insights(seen, candidates))
        forecasts.append(_forecasts(seen, forecast))
    return {"insights": pa.concat_tables(found), "balance_forecast": pa.concat_tables(forecasts)}


class Candidates:
    """What the detectors found, one under the other. ``of`` is by row the place of its insight in ``names``."""

    def __init__(self, found: dict[str, Columns]) -> None:
        every = {name: _strongest(columns) for name, columns in found.items() if len(columns["user"])}
        self.names = list(every)
        self._columns = list(every.values())
        self._sizes = [len(columns["user"]) for columns in every.values()]
        self.of = np.repeat(np.arange(len(self.names)), self._sizes)

    def having(self, column: str) -> Array:
        """By row whether its detector tells this column."""
        return np.repeat([column in each for each in self._columns], self._sizes)

    def numbers(self, column: str) -> Array:
        """NaN where there is none."""
        parts = (each[column].astype("f8") if column in each else np.full(size, np.nan) for each, size in self.parts())
        return np.concatenate(list(parts))

    def texts(self, column: str) -> pa.Array:
        """Null where there is none."""
        return pa.concat_arrays(
            _texts(each[column]) if column in each else pa.nulls(size, pa.string()) for each, size in self.parts()
        )

    def keys(self) -> pa.Array:
        """Days as whole numbers, whatever the rows beside them made of the column; other keys as they are."""
        keys = (each["key"] for each in self._columns)
        return pa.concat_arrays(
            _texts(key) if key.dtype == object else pa.array(key.astype("i8")).cast(pa.string()) for key in keys
        )

    def places(self, column: str) -> tuple[Array, Array]:
        """By row how many places its column gives, one or a list of them or none, and the places one after another."""
        counts, flat = [], [np.empty(0, "i8")]
        for each, size in self.parts():
            if column not in each:
                counts.append([0] * size)
            elif each[column].dtype == object:
                counts.append(list(map(len, each[column])))
                flat.append(np.fromiter(chain.from_iterable(each[column]), "i8"))
            else:
                counts.append([1] * size)
                flat.append(each[column].astype("i8"))
        return np.concatenate(counts), np.concatenate(flat)

    def parts(self) -> Iterator[tuple[dict[str, Array], int]]:
        """By insight its columns and how many rows they have."""
        return zip(self._columns, self._sizes, strict=True)


def _strongest(columns: Columns) -> dict[str, Array]:
    """One a customer and insight: that of the largest amount, the first of equal ones. Texts and lists are objects."""
    size = len(columns["user"])
    arrays = {name: _array(values, size) for name, values in columns.items()}
    user, weight = arrays["user"], arrays.get("weight", np.zeros(size))
    order = np.lexsort((-weight, user))
    first = np.diff(user[order], prepend=-1) != 0
    return arrays if first.all() else {name: values[order[first]] for name, values in arrays.items()}


def _array(values: Any, size: int) -> Array:
    if isinstance(values, pd.Series | pd.Index | np.ndarray):
        array = np.asarray(values)
        return array.astype(object) if array.dtype.kind == "U" else array
    if not isinstance(values, list):
        values = [values] * size
    objects = np.empty(size, object)
    objects[:] = values
    return objects if isinstance(values[0], str | list | None) else objects.astype("f8")


def _insights(seen: Seen, found: dict[str, Columns]) -> pa.Table:
    candidates = Candidates(found)
    if not candidates.names:
        return INSIGHTS_SCHEMA.empty_table()
    of, e = candidates.of, seen.evidence
    about = [INSIGHTS[name] for name in candidates.names]
    user = candidates.numbers("user").astype("i8")
    explained = seen.long["explained_share"].reindex(user).fillna(0.0).to_numpy()
    users, evidence, alone = e.users.take(pa.array(user)), *_rests_on(seen, candidates)
    happening = pc.binary_join_element_wise(users, _each(candidates.names, of), "|")
    severity = candidates.texts("severity").fill_null("")
    usual = _each([each.severity for each in about], of)
    table = pa.table(
        [
            _identities(pc.binary_join_element_wise(happening, alone, "|", candidates.keys(), "")),
            users,
            tables.dates(np.full(len(of), seen.today)),
            _each(candidates.names, of),
            _each([each.topic for each in about], of),
            pc.if_else(pc.equal(severity, ""), usual, severity),
            tables.dates(candidates.numbers("happened").astype("i8")),
            tables.dates(np.maximum(candidates.numbers("expires").astype("i8"), seen.today)),
            candidates.texts("fact"),
            evidence,
            pa.concat_arrays(_written_figures(seen, candidates)),
            np.round(np.clip(explained, 0.5, 1.0), 6),
        ],
        schema=INSIGHTS_SCHEMA,
    )
    importance = np.array([IMPORTANCE[name] for name in candidates.names])[of]
    return table.take(pa.array(np.lexsort((importance, user))))


def _texts(values: Array) -> pa.Array:
    return pa.array(values.tolist(), pa.string(), from_pandas=True)


def _each(values: list[str], place: Array) -> pa.Array:
    return pa.array(values).take(pa.array(place))


def _identities(happenings: pa.Array) -> list[str]:
    """Of what names a happening: customer, insight, the one stream, row or account it rests on, and its key."""
    return ["ins_" + hashlib.sha256(each).hexdigest()[:20] for each in happenings.cast(pa.binary()).to_pylist()]


def _quoted(texts: pa.Array) -> pa.Array:
    """As JSON writes them."""
    letters = np.frombuffer(texts.buffers()[2] or b"", "u1")
    if ((letters < 32) | (letters == ord('"')) | (letters == ord("\\"))).any():
        return pa.array([None if each is None else _TEXT(each) for each in texts.to_pylist()], pa.string())
    return pc.binary_join_element_wise('"', texts, '"', "")


def _objects(members: list[tuple[str, pa.Array]]) -> pa.Array:
    """By row the JSON object of values by name, written already; null where it has not got it."""
    pieces: list[Any] = ["{"]
    for name, values in members:
        if values.null_count:  # by itself, so that its name goes with it
            pieces.append(pc.binary_join_element_wise(f', "{name}": ', values, "").fill_null(""))
        else:
            pieces += [f', "{name}": ', values]
    return pc.replace_substring(pc.binary_join_element_wise(*pieces, "}", ""), "{, ", "{", max_replacements=1)


def _rests_on(seen: Seen, candidates: Candidates) -> tuple[pa.Array, pa.Array]:
    """By row the ids of the streams, transactions and accounts it rests on, as JSON, and those that are the only one
    of their sort, each after a bar."""
    members, alone = [], []
    for column, name, ids_of in (
        ("at_stream", "streams", seen.stream_ids),
        ("at_row", "transactions", seen.transaction_ids),
        ("at_account", "accounts", seen.account_ids),
    ):
        counts, places = candidates.places(column)
        ids, ends = ids_of(places), np.append(0, np.cumsum(counts))
        several = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), _quoted(ids))
        listed = pc.binary_join_element_wise("[", pc.binary_join(several, ", "), "]", "")
        members.append((name, pc.if_else(pa.array(counts > 0), listed, None)))
        only = ids.take(pa.array(ends[:-1], mask=counts != 1))
        alone.append(pc.binary_join_element_wise("|", only, "").fill_null(""))
    return _objects(members), pc.binary_join_element_wise(*alone, "")


def _written_figures(seen: Seen, candidates: Candidates) -> Iterator[pa.Array]:
    """By insight, for most have a few of many figures."""
    payees, figures, begin = list(_about_payees(seen, candidates)), _figures(candidates), 0
    for place, (columns, size) in enumerate(candidates.parts()):
        told = [(name, values.slice(begin, size)) for name, values in payees if "payee" in columns]
        yield _objects([*told, *((name, figures[place, name]) for name in FIGURES if name in columns)])
        begin += size


def _about_payees(seen: Seen, candidates: Candidates) -> Iterator[tuple[str, pa.Array]]:
    """What decides whether payees may be named: ``payee_category``, of the first stream or row that it rests on (else
    of ``payee_row``), and ``payee_listed`` and ``other_payee_listed`` where one is known by a list price."""
    e = seen.evidence
    (streams, stream), (rows, row) = candidates.places("at_stream"), candidates.places("at_row")
    beside = np.nan_to_num(candidates.numbers("payee_row"), nan=-1).astype("i8")
    for place, name in enumerate(("payee", "other_payee")):
        named = np.flatnonzero(candidates.having(name))
        of_stream, begins = named[streams[named] > 0], np.cumsum(streams) - streams
        at = stream[begins[of_stream] + place]
        number = beside.copy()
        number[rows > 0] = row[(np.cumsum(rows) - rows)[rows > 0]]
        number[of_stream] = e.counted["number"][e.streams["first_hit"][at]]
        if name == "payee":
            label = np.full(len(number), -1)
            label[named] = e.said.label[seen.said(number[named])]
            label[of_stream] = e.streams["label"][at]
            category = _quoted(pa.array(e.said.labels, pa.string())).take(pa.array(label, mask=label < 0))
            yield "payee_category", category
        listed = np.zeros(len(number), bool)
        listed[named] = seen.listed(number[named])
        yield f"{name}_listed", pc.if_else(pa.array(listed), "true", None)


def _figures(candidates: Candidates) -> dict[tuple[int, str], pa.Array]:
    """By place of the insight and name the figures that are known; all that are written alike are written at once."""
    alike: dict[Callable[[Array], pa.Array], list[tuple[int, str, Array]]] = {}
    for place, (columns, _) in enumerate(candidates.parts()):
        for name in FIGURES.keys() & columns.keys():
            alike.setdefault(_WRITTEN.get(FIGURES[name].type, _shares), []).append((place, name, columns[name]))
    figures = {}
    for write, told in alike.items():
        values = np.concatenate([values for _, _, values in told])
        written, begin = write(values) if write is _named else _known(write, values), 0
        for place, name, values in told:
            figures[place, name] = written.slice(begin, len(values))
            begin += len(values)
    return figures


def _known(write: Callable[[Array], pa.Array], values: Array) -> pa.Array:
    """Null where there is none."""
    values = values.astype("f8")
    known = np.isfinite(values)
    written = write(np.where(known, values, 0.0))
    return written if known.all() else pc.if_else(pa.array(known), written, None)


def _named(values: Array) -> pa.Array:
    return _quoted(_texts(values))


def _money(values: Array) -> pa.Array:
    """As Python writes what it rounds to cents."""
    if (np.abs(values) >= _EXACT).any():
        return pa.array((repr(round(each, 2)) for each in values.tolist()), pa.string())
    rounded = _rounded(values, 2)
    whole, cents = np.divmod(np.rint(np.abs(rounded) * 100).astype("i8"), 100)
    sign = pc.if_else(pa.array(np.signbit(rounded)), "-", "")
    return pc.binary_join_element_wise(sign, pa.array(whole).cast(pa.string()), _CENTS.take(pa.array(cents)), "")


def _shares(values: Array) -> pa.Array:
    return pa.array(map(repr, _rounded(values, 6).tolist()), pa.string())


def _counts(values: Array) -> pa.Array:
    return pa.array(np.rint(values).astype("i8")).cast(pa.string())


def _days(values: Array) -> pa.Array:
    return pc.binary_join_element_wise('"', tables.dates(np.rint(values)).cast(pa.string()), '"', "")


def _rounded(values: Array, digits: int) -> Array:
    """As ``round`` rounds each of them: of a half in decimals it knows which side the number lies on."""
    rounded = np.round(values, digits)
    halves = np.flatnonzero(np.abs(np.abs(values * 10**digits) % 1 - 0.5) < 1e-3)
    rounded[halves] = [round(each, digits) for each in values[halves].tolist()]
    return rounded


_TEXT = json.encoder.encode_basestring
_EXACT = 1e10  # below it a hundred times a double still has three decimals, which rounding by column looks at
_CENTS = pa.array([f".{cents:02d}".removesuffix("0") for cents in range(100)])
_WRITTEN: dict[str, Callable[[Array], pa.Array]] = {
    "money": _money, "count": _counts, "date": _days, "payee": _named, "card": _named, "words": _named,
}  # fmt: skip


def _forecasts(seen: Seen, forecast: Forecast) -> pa.Table:
    return pa.table(
        [
            seen.evidence.users.take(pa.array(forecast.user)),
            tables.dates(np.full(len(forecast.user), seen.today)),
            pa.array(forecast.balance),
            tables.dates(forecast.balance_day),
            tables.dates(forecast.next_payday, forecast.next_payday < 0),
            *map(_written, (forecast.expected, forecast.low, forecast.high)),
        ],
        schema=FORECAST_SCHEMA,
    )


def _written(matrix: Array) -> pa.Array:
    """By row whole amounts as a JSON list; more would claim to know them better."""
    unknown = np.isnan(matrix).any(axis=1)
    whole = pa.array(np.rint(np.nan_to_num(matrix)).astype("i8").ravel()).cast(pa.string())
    ends = pa.array(np.arange(len(matrix) + 1) * matrix.shape[1], pa.int32())
    joined = pc.binary_join(pa.ListArray.from_arrays(ends, whole), ", ")
    return pc.if_else(pa.array(unknown), None, pc.binary_join_element_wise("[", joined, "]", ""))

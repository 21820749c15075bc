"""The closed list of figures that a text may show, and how each is shown.

A slot is named in a template as ``{{ name }}``; code fills it from the customer's own signals, with its
noun, so that a figure cannot land in another claim. A null value, one with the wrong sign, or one below
what can be said sensibly makes the slot *unavailable*: pieces that need it do not fit, and nothing is ever
shown as "0", "None" or "-$35 saved". Rounding never crosses a band that texts speak of: 49.6 % is shown as
49%, 2.96 months as 2.9 months.

What does not belong here: which slots a persona's pieces may use (``situations.py``), and text (``render.py``).

Projections, each a plain continuation of the window and called so in the texts:

- ``interest_monthly``      interest in the window by its months; ``interest_yearly`` is that times 12
- ``over_guide``            what the fullest card owes above 30 % of its limit: balance - 0.30 x limit
- ``subscription_yearly``   monthly cost of the subscriptions times 12; ``top_subscription_yearly`` the dearest
- ``price_rise_yearly``     what the latest price rise adds in 12 months: monthly cost x r / (1 + r) x 12, r the rise
- ``weekly_expenses``       monthly expenses x 7 / 30; ``gap_expenses`` monthly expenses x pay gap / 30
- ``spending_share``        monthly expenses by regular income
- ``monthly_margin``        regular income less expenses, a month
- ``pay_point_yearly``      one percent of twelve months' pay
- ``buffer_gap``            what is missing in checking to a month of expenses: (1 - buffer) x expenses
- ``bridge_gap``            what checking lacks until the next payday: (pay gap / 30 - buffer) x expenses
- ``fund_target``           3 x monthly expenses; ``fund_gap`` is what savings lack of it
- ``beyond_fund``           what savings hold above 6 x monthly expenses
- ``months_to_fund``        fund_gap by monthly net savings, rounded up, shown from 2 to 60
- ``savings_yearly``        monthly net savings times 12
- ``savings_point_yearly``  one percent of the savings balance: what a percentage point of interest is worth a year
- ``small_step``            2 % of monthly expenses, or of income where less comes in, rounded down to a multiple of
  5 (in dollars; of 50 in crowns); ``small_step_yearly`` is that times 12
"""

import datetime as dt
import functools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, Final, Literal

from babel import dates, numbers

from spendsense_pipeline.features.meanings import BY_LIST_PRICE, EVIDENCE
from spendsense_pipeline.insights.figures import FIGURES, Figure
from spendsense_pipeline.recommendations.naming import sayable

SLOT: Final = re.compile(r"\{\{ ([a-z_]+) \}\}")
"""How a slot stands in a template: exactly one space on each side."""

Kind = Literal[
    "money", "percent", "rate", "months", "count", "period", "payee", "payee_list", "card", "date", "day", "words"
]
NUMBERS: Final = frozenset[Kind]({"money", "percent", "rate", "months", "count"})
"""Kinds whose values have bounds."""
Signals = Mapping[str, Any]
"""One customer's features row, with unknown values as None, and what ``stream_signals`` adds; or the figures of an
insight."""

UTILIZATION_EDGES: Final = (0.30, 0.50, 0.80)
GROWTH_EDGES: Final = (0.02,)
FUND_EDGES: Final = (1.0, 3.0, 6.0)
VARIABILITY_EDGES: Final = (0.30, 0.60)
SHARE_EDGES: Final = (0.10, 0.20)
MARGIN_EDGES: Final = (1.0,)
PAY_GAP_BEYOND: Final = (45.0,)
"""Where the bands of the personas and of ``situations.py`` change; a shown figure stays on its side."""

FUND_MONTHS: Final = 3
FULL_FUND_MONTHS: Final = 6
"""Both ends of the usual advice for an emergency fund (``figures.GUIDELINES``)."""
UTILIZATION_GUIDE: Final = 0.30
"""Share of a card's limit that is commonly advised not to pass (``figures.GUIDELINES``)."""
TELLING: Final = 10.0
"""US dollars: two amounts nearer than this are not told apart in a text, and rounding cannot turn them round."""
WHOLE_MONTHS: Final = 12
"""From a year on, tenths of a month say nothing."""
SHORTEST_PLAN_MONTHS: Final = 2
"""Whoever is nearer has all but arrived; a plan in months says nothing of it."""
LONGEST_PLAN_MONTHS: Final = 60
"""A projection further out says nothing a person could plan by."""
MOST_PAYEES: Final = 3


@dataclass(frozen=True)
class Slot:
    """One figure: ``least`` and ``most`` (included) bound what can be shown, rounding never crosses an edge.

    A value at one of ``edges`` belongs above it, a value at one of ``beyond`` below. ``noun`` is singular and plural.
    ``whole``: an estimate, in whole units; cents would claim to know it better.
    """

    name: str
    kind: Kind
    signal: str
    meaning: str
    value: Callable[[Signals], Any]
    least: float = 0.0
    most: float = math.inf
    edges: tuple[float, ...] = ()
    beyond: tuple[float, ...] = ()
    noun: tuple[str, str] = ("", "")
    whole: bool = False


@dataclass(frozen=True)
class _Of:
    """The signal itself."""

    signal: str

    def __call__(self, s: Signals) -> Any:
        return s.get(self.signal)


def _of(signal: str) -> Callable[[Signals], Any]:
    return _Of(signal)


def _times(value: float | None, factor: float | None) -> float | None:
    return None if value is None or factor is None else value * factor


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _months(s: Signals) -> float:
    return float(min(s["window_days"], max(s["history_days"], 30))) / 30


def _shared_account(signals: Signals) -> str | None:
    """How a text calls the customer's accounts of several holders, none where there is none."""
    several = signals.get("shared_accounts") or 0
    return None if several < 1 else "your shared account" if several == 1 else "your shared accounts"


def _window(s: Signals) -> str:
    history = s.get("history_days")
    return f"last {s['window_days'] if history is None else min(s['window_days'], max(history, 30))} days"


def _interest_monthly(s: Signals) -> float | None:
    return _times(s.get("interest_charges"), 1 / _months(s))


def _buffer_gap(s: Signals) -> float | None:
    buffer = s.get("cash_flow_buffer_months")
    # An overdrawn account lacks more than a month; "to a month of expenses" is then no first step to name.
    return None if buffer is None or buffer < 0 else _times(1 - buffer, s.get("avg_monthly_expenses"))


def _gap_expenses(s: Signals) -> float | None:
    return _times(_times(s.get("avg_monthly_expenses"), s.get("median_pay_gap_days")), 1 / 30)


def _bridge_gap(s: Signals) -> float | None:
    days, gap = _buffer_days(s), s.get("median_pay_gap_days")
    # Shown beside both in whole days, so in whole days the cushion must be the shorter one.
    if days is None or days < 0 or gap is None or days >= math.floor(gap):
        return None
    return _times(s.get("avg_monthly_expenses"), gap / 30 - s["cash_flow_buffer_months"])


def _spending_share(s: Signals) -> float | None:
    income, expenses = s.get("regular_income"), s.get("avg_monthly_expenses")
    return None if not income or expenses is None else expenses / income


def _beyond_fund(s: Signals) -> float | None:
    return _less(s.get("savings_balance"), _times(s.get("avg_monthly_expenses"), FULL_FUND_MONTHS))


def _fund_gap(s: Signals) -> float | None:
    return _less(_times(s.get("avg_monthly_expenses"), FUND_MONTHS), s.get("savings_balance"))


def _months_to_fund(s: Signals) -> int | None:
    gap, inflow = _fund_gap(s), s.get("net_savings_inflow")
    return None if gap is None or gap <= 0 or inflow is None or inflow <= 0 else math.ceil(gap / inflow)


def _buffer_days(s: Signals) -> int | None:
    buffer = s.get("cash_flow_buffer_months")
    return None if buffer is None else math.floor(buffer * 30)


def _small_step(s: Signals) -> float | None:
    spent, income = s.get("avg_monthly_expenses"), s.get("regular_income")
    if spent is None:
        return None
    share = 0.02 * (min(spent, income) if income else spent)
    # A round amount in any currency: 5 dollars, 50 crowns, 500 yen.
    step = 5.0 * 10.0 ** round(math.log10(s.get("currency_factor") or 1.0))
    return float(math.floor(share / step + 1e-9) * step)


_ALL = (
    # Credit
    Slot(
        "max_utilization",
        "percent",
        "max_utilization",
        "balance by limit of the fullest card",
        _of("max_utilization"),
        0.01,
        2.0,
        UTILIZATION_EDGES,
    ),
    Slot(
        "avg_utilization",
        "percent",
        "avg_utilization",
        "all card balances by all limits",
        _of("avg_utilization"),
        0.01,
        2.0,
        UTILIZATION_EDGES,
    ),
    Slot("card_balance", "money", "cards", "owed on all cards together", _of("card_balance"), 1),
    Slot(
        "cards_owing",
        "count",
        "cards",
        "credit cards on which something is owed",
        _of("cards_owing"),
        1,
        noun=("card with a balance", "cards with a balance"),
    ),
    Slot("fullest_card", "card", "cards", "the card nearest to its limit", _of("fullest_card")),
    Slot("fullest_balance", "money", "cards", "owed on the fullest card", _of("fullest_balance"), 1),
    Slot(
        "over_guide",
        "money",
        "cards",
        "owed on the fullest card above 30 percent of its limit",
        _of("over_guide"),
        TELLING,
        whole=True,
    ),
    Slot("smallest_card", "card", "cards", "of several cards, the one that owes least", _of("smallest_card")),
    Slot("smallest_balance", "money", "cards", "owed on that card", _of("smallest_balance"), 1),
    Slot("highest_rate_card", "card", "cards", "of several cards that owe, the dearest", _of("highest_rate_card")),
    Slot("interest_charges", "money", "interest_charges", "interest charged in the window", _of("interest_charges"), 1),
    Slot("interest_monthly", "money", "interest_charges", "interest charged, a month", _interest_monthly, 1),
    Slot(
        "interest_yearly",
        "money",
        "interest_charges",
        "that for 12 months",
        lambda s: _times(_interest_monthly(s), 12),
        12,
        whole=True,
    ),
    # Spending and income
    Slot("monthly_expenses", "money", "avg_monthly_expenses", "spending a month", _of("avg_monthly_expenses"), 1),
    Slot(
        "weekly_expenses",
        "money",
        "avg_monthly_expenses",
        "that for a week",
        lambda s: _times(s.get("avg_monthly_expenses"), 7 / 30),
        1,
        whole=True,
    ),
    Slot(
        "monthly_income",
        "money",
        "regular_income",
        "what comes in a month: pay, benefits, pensions",
        _of("regular_income"),
        1,
    ),
    Slot("monthly_pay", "money", "avg_monthly_income", "earned income a month", _of("avg_monthly_income"), 1),
    Slot(
        "monthly_margin",
        "money",
        "regular_income",
        "that income less expenses, a month",
        lambda s: _less(s.get("regular_income"), s.get("avg_monthly_expenses")),
        TELLING,
        whole=True,
    ),
    Slot(
        "spending_share",
        "percent",
        "regular_income",
        "expenses by all that comes in",
        _spending_share,
        0.05,
        2.0,
        MARGIN_EDGES,
    ),
    Slot(
        "pay_point_yearly",
        "money",
        "avg_monthly_income",
        "a hundredth of a year's earned income",
        lambda s: _times(s.get("avg_monthly_income"), 12 / 100),
        1,
        whole=True,
    ),
    Slot(
        "pay_gap",
        "count",
        "median_pay_gap_days",
        "usual days between paydays",
        _of("median_pay_gap_days"),
        2,
        366,
        beyond=PAY_GAP_BEYOND,
        noun=("day", "days"),
    ),
    Slot(
        "gap_expenses",
        "money",
        "median_pay_gap_days",
        "usual spending between two paydays",
        _gap_expenses,
        TELLING,
        whole=True,
    ),
    Slot(
        "income_variability",
        "percent",
        "income_variability",
        "spread of paychecks by their mean",
        _of("income_variability"),
        0.01,
        2.0,
        VARIABILITY_EDGES,
    ),
    Slot(
        "buffer_days",
        "count",
        "cash_flow_buffer_months",
        "days of spending that checking covers, rounded down",
        _buffer_days,
        1,
        366,
        noun=("day", "days"),
    ),
    Slot(
        "buffer_gap",
        "money",
        "cash_flow_buffer_months",
        "what checking lacks of a month of spending",
        _buffer_gap,
        TELLING,
        whole=True,
    ),
    Slot(
        "bridge_gap",
        "money",
        "cash_flow_buffer_months",
        "what checking lacks of the spending between two paydays",
        _bridge_gap,
        TELLING,
        whole=True,
    ),
    # Savings
    Slot("savings_balance", "money", "savings_balance", "in all savings accounts", _of("savings_balance"), 1),
    Slot(
        "savings_inflow", "money", "net_savings_inflow", "net into savings, a month", _of("net_savings_inflow"), TELLING
    ),
    Slot(
        "savings_yearly",
        "money",
        "net_savings_inflow",
        "that for 12 months",
        lambda s: _times(s.get("net_savings_inflow"), 12),
        12,
        whole=True,
    ),
    Slot(
        "savings_growth",
        "percent",
        "savings_growth_rate",
        "growth of savings in the window",
        _of("savings_growth_rate"),
        0.01,
        5.0,
        GROWTH_EDGES,
    ),
    Slot(
        "fund_months",
        "months",
        "emergency_fund_months",
        "months of spending that savings cover",
        _of("emergency_fund_months"),
        0.1,
        120,
        FUND_EDGES,
    ),
    Slot(
        "fund_target",
        "money",
        "avg_monthly_expenses",
        "spending of three months",
        lambda s: _times(s.get("avg_monthly_expenses"), FUND_MONTHS),
        TELLING * FUND_MONTHS,
        whole=True,
    ),
    Slot("fund_gap", "money", "savings_balance", "what savings lack of that", _fund_gap, TELLING, whole=True),
    Slot(
        "beyond_fund",
        "money",
        "savings_balance",
        "in savings above spending of six months",
        _beyond_fund,
        TELLING,
        whole=True,
    ),
    Slot(
        "savings_point_yearly",
        "money",
        "savings_balance",
        "a hundredth of savings: what a percentage point of interest pays in a year",
        lambda s: _times(s.get("savings_balance"), 1 / 100),
        1,
        whole=True,
    ),
    Slot(
        "months_to_fund",
        "count",
        "net_savings_inflow",
        "months until then at the present pace",
        _months_to_fund,
        SHORTEST_PLAN_MONTHS,
        LONGEST_PLAN_MONTHS,
        noun=("month", "months"),
    ),
    Slot("small_step", "money", "avg_monthly_expenses", "a small amount beside monthly spending", _small_step, 5),
    Slot(
        "small_step_yearly",
        "money",
        "avg_monthly_expenses",
        "that small amount twelve times",
        lambda s: _times(_small_step(s), 12),
        60,
        whole=True,
    ),
    # Subscriptions
    Slot(
        "subscription_count",
        "count",
        "recurring_merchants",
        "active subscriptions",
        _of("recurring_merchants"),
        1,
        noun=("subscription", "subscriptions"),
    ),
    Slot(
        "subscription_monthly",
        "money",
        "monthly_recurring_spend",
        "what they cost a month",
        _of("monthly_recurring_spend"),
        1,
    ),
    Slot(
        "subscription_yearly",
        "money",
        "monthly_recurring_spend",
        "that for 12 months",
        lambda s: _times(s.get("monthly_recurring_spend"), 12),
        12,
        whole=True,
    ),
    Slot(
        "subscription_share",
        "percent",
        "subscription_spend_share",
        "their charges by all spending",
        _of("subscription_spend_share"),
        0.01,
        1.0,
        SHARE_EDGES,
    ),
    Slot(
        "subscription_payees",
        "payee_list",
        "recurring_streams",
        "the dearest of them, two or three",
        _of("subscription_payees"),
        2,
    ),
    Slot("top_subscription", "payee", "recurring_streams", "the dearest of them", _of("top_subscription")),
    Slot(
        "top_subscription_yearly",
        "money",
        "recurring_streams",
        "its cost for 12 months",
        lambda s: _times(s.get("top_subscription_monthly"), 12),
        12,
        whole=True,
    ),
    Slot("price_rise_payee", "payee", "recurring_streams", "subscription whose price rose", _of("price_rise_payee")),
    Slot("price_rise", "percent", "recurring_streams", "by how much", _of("price_rise"), 0.01, 5.0),
    Slot(
        "price_rise_yearly",
        "money",
        "recurring_streams",
        "what that adds in 12 months",
        _of("price_rise_yearly"),
        1,
        whole=True,
    ),
    # The frame of every text
    Slot("window", "period", "window_days", "the days looked at", _window),
    Slot("as_of", "date", "as_of", "day of the figures", _of("as_of")),
    Slot("shared_account", "words", "shared_accounts", "that others hold one of the accounts, too", _shared_account),
)
_KINDS_OF_FIGURES: Final[Mapping[str, Kind]] = {"date": "day"}
_LEAST_OF_FIGURES: Final = {"money": 0.5, "percent": 0.005, "rate": 0.01, "months": 0.1, "count": 1.0}
_LEAST_OF_FIGURE: Final = {"bill_count": 2.0}
"""Of a single payment its own amount and day speak; "1 payment, $40 in all" says them twice."""
_WHOLE_FIGURES: Final = frozenset({"idle_point_yearly", "interest_month", "low_amount", "order_saves"})
"""Estimates, in whole units."""
_EDGES_OF_FIGURES: Final = {"months_covered": FUND_EDGES, "income_share": (0.5, 1.0)}


def _named(name: str) -> Callable[[Signals], Any]:
    """The payee of an insight, where it may be named."""
    listed = f"{name}_listed"
    return lambda s: s.get(name) if sayable(s.get(name), s.get("payee_category"), listed=bool(s.get(listed))) else None


def _of_figure(figure: Figure) -> Slot:
    """The slot that shows an insight's figure."""
    return Slot(
        figure.name,
        _KINDS_OF_FIGURES.get(figure.type, figure.type),
        "insights",
        figure.meaning,
        _named(figure.name) if figure.type == "payee" else _of(figure.name),
        _LEAST_OF_FIGURE.get(figure.name, _LEAST_OF_FIGURES.get(figure.type, 0.0)),
        edges=_EDGES_OF_FIGURES.get(figure.name, ()),
        noun=figure.noun,
        whole=figure.name in _WHOLE_FIGURES,
    )


SLOTS: Final[dict[str, Slot]] = {slot.name: slot for slot in (*_ALL, *map(_of_figure, FIGURES.values()))}
FORMULAS: Final = {figure.name: figure.formula for figure in FIGURES.values()}
"""How the figures of insights come about; those of signals stand at the top of this file."""
UNCHANGED: Final = frozenset(slot.name for slot in SLOTS.values() if slot.value == _Of(slot.signal))
"""Slots that show a signal itself, so that a stored text can be held against stored signals."""
COMPUTED: Final = frozenset(
    name
    for name, slot in SLOTS.items()
    if name not in UNCHANGED and slot.signal not in ("insights", "recurring_streams", "cards", "window_days")
)
"""Slots that are filled from signals by a formula: what went into it is kept beside the value."""


def _rounded(value: float, step: float, slot: Slot) -> float:
    """``value`` to the nearest multiple of ``step``, but never over an edge of the slot: edges are such multiples."""
    steps = math.floor(value / step + 0.5)
    for edge in slot.edges:
        if value < edge <= steps * step + 1e-9:
            steps = round(edge / step) - 1
    for edge in slot.beyond:
        if value > edge >= steps * step - 1e-9:
            steps = round(edge / step) + 1
    return steps * step


def locale_of(currency: str) -> str:
    """How English is written where money is in this currency: American for US dollars, British for all others."""
    return "en_US" if currency == "USD" else "en_GB"


@functools.cache
def _sign(currency: str) -> str:
    """What stands before an amount; a sign of letters alone, or a code without a sign, is set off by a space."""
    sign = numbers.get_currency_symbol(currency, locale_of(currency))
    return f"{sign} " if sign.isalpha() else sign


def money(value: float, currency: str = "USD", *, whole: bool = False) -> str:
    """An amount as people write it: cents below 100, whole units from there on.

    >>> money(1234.5), money(15.99), money(40), money(890, "EUR"), money(2500, "CZK")
    ('$1,235', '$15.99', '$40', '€890', 'CZK 2,500')
    """
    whole = whole or abs(value) >= 99.995 or abs(value - round(value)) < 0.005
    return f"{_sign(currency)}{math.floor(value + 0.5) if whole else value:{',' if whole else ',.2f'}}"


@functools.lru_cache(maxsize=4096)
def long_date(day: dt.date, locale: str = "en_US") -> str:
    """A date in words.

    >>> long_date(dt.date(2026, 3, 5)), long_date(dt.date(2026, 3, 5), "en_GB")
    ('March 5, 2026', '5 March 2026')
    """
    return dates.format_date(day, "long", locale)


@functools.lru_cache(maxsize=4096)
def short_day(day: dt.date, locale: str = "en_US") -> str:
    """A day that is near, in words.

    >>> short_day(dt.date(2026, 3, 5)), short_day(dt.date(2026, 3, 5), "en_GB")
    ('March 5', '5 March')
    """
    return dates.format_skeleton("MMMMd", day, locale=locale)


def payee_list(payees: Sequence[str]) -> str:
    """Names in a sentence.

    >>> payee_list(["Hulu", "Spotify", "Zoom"])
    'Hulu, Spotify and Zoom'
    """
    return payees[0] if len(payees) == 1 else f"{', '.join(payees[:-1])} and {payees[-1]}"


def shown(slot: Slot, value: Any, currency: str = "USD", factor: float = 1.0) -> str | None:
    """The text of a value in a slot, or None when the slot cannot show it.

    ``factor``: units of the currency for a US dollar; the least amounts of money are meant in dollars.
    """
    if value is None:
        return None
    if slot.kind not in NUMBERS:
        return _text_shown(slot, value, currency)
    number = float(value)
    least = slot.least * factor if slot.kind == "money" else slot.least
    if not (math.isfinite(number) and least <= number <= slot.most):
        return None
    if slot.kind == "money":
        return money(number, currency, whole=slot.whole)
    if slot.kind == "percent":
        return f"{_rounded(number, 0.01, slot) * 100:.0f}%"
    if slot.kind == "rate":
        return f"{number:.2f}".rstrip("0").rstrip(".") + "%"
    if slot.kind == "months":
        tenths = number < WHOLE_MONTHS
        text = f"{_rounded(number, 0.1 if tenths else 1, slot):.1f}".removesuffix(".0")
        return f"{text} month" if text == "1" else f"{text} months"
    count = int(_rounded(number, 1, slot))
    return f"{count:,} {slot.noun[0 if count == 1 else 1]}"


def _text_shown(slot: Slot, value: Any, currency: str) -> str | None:
    if slot.kind in ("period", "payee", "words"):
        return str(value) or None
    if slot.kind == "payee_list":
        return payee_list(value) if value and len(value) >= slot.least else None
    if slot.kind == "date":
        return long_date(value, locale_of(currency))
    if slot.kind == "day":
        return short_day(value if isinstance(value, dt.date) else dt.date.fromisoformat(value), locale_of(currency))
    return f"card ending in {value}" if re.fullmatch(r"[0-9]{4}", value) else None


class _Noted(Mapping[str, Any]):
    """Signals that remember which of them were asked for."""

    def __init__(self, signals: Signals) -> None:
        self.signals = signals
        self.asked: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        self.asked[name] = value = self.signals[name]
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """As a dictionary does; what is asked for is noted."""
        self.asked[name] = value = self.signals.get(name, default)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.signals)

    def __len__(self) -> int:
        return len(self.signals)


def written(slots: Iterable[str], signals: Signals) -> dict[str, str]:
    """The slots that this customer's signals can fill, each as JSON: {signal, value, shown} and, where it is computed,
    ``inputs``: the signals that it was computed from, with their values. ``about`` is an amount without its cents, for
    texts that speak of it as an estimate (``render.as_spoken_of``).

    Slots that are null or unfit are left out, a date's ``value`` is ISO text.
    Money is in the signals' ``currency``, US dollars where it is not known.
    """
    currency, factor = signals.get("currency") or "USD", signals.get("currency_factor") or 1.0
    found: dict[str, str] = {}
    for name, value_of, computed, say in _plan(tuple(slots)):
        noted = _Noted(signals) if computed else None
        said = say(name, value_of(signals if noted is None else noted), currency, factor)
        if said is None:
            continue
        if noted is not None:
            put = [f'"{each}": {_put(value)}' for each, value in noted.asked.items() if each != "currency_factor"]
            said += f', "inputs": {{{", ".join(put)}}}'
        found[name] = f"{{{said}}}"
    return found


_Say = Callable[[str, Any, str, float], str | None]


@functools.cache
def _plan(slots: tuple[str, ...]) -> list[tuple[str, Callable[[Signals], Any], bool, _Say]]:
    """Of each slot how it is valued, whether that is a computation, and how it is said."""
    return [
        (name, SLOTS[name].value, name in COMPUTED, _said_to_many if SLOTS[name].kind in _SHARED else _said)
        for name in slots
    ]


def _said(name: str, value: Any, currency: str, factor: float) -> str | None:
    """What a slot shows and what it rests on, as the inside of a JSON object; None where it shows nothing."""
    if value is None:
        return None
    slot = SLOTS[name]
    text = shown(slot, value, currency, factor)
    if text is None:
        return None
    said = f'"signal": "{slot.signal}", "value": {_as_json(value)}, "shown": {encode_basestring(text)}'
    if slot.kind == "money" and "." in text and float(value) >= 1.0:
        said += f', "about": {encode_basestring(money(float(value), currency, whole=True))}'
    return said


def _as_json(value: Any) -> str:
    """A date as text, what is not whole to six decimals."""
    if type(value) is float and math.isfinite(value):
        return repr(round(value, 6))
    return _encoded(value.isoformat() if isinstance(value, dt.date) else value)


_encoded = json.JSONEncoder(ensure_ascii=False).encode
_SHARED: Final = frozenset[Kind](
    {"percent", "rate", "months", "count", "period", "payee", "card", "date", "day", "words"}
)
"""Kinds of which many customers have the same value."""
_said_to_many: Final = functools.lru_cache(maxsize=65_536, typed=True)(_said)
_put: Final = functools.lru_cache(maxsize=4_096, typed=True)(_as_json)  # slots of one customer rest on the same signals


def together(slots: Mapping[str, str]) -> str:
    """Slots as ``written`` gives them, as one JSON object."""
    return "{" + ", ".join([f'"{name}": {each}' for name, each in slots.items()]) + "}"


def fill(slots: Iterable[str], signals: Signals) -> dict[str, dict[str, Any]]:
    """What is ``written``, as values."""
    filled: dict[str, dict[str, Any]] = json.loads(together(written(slots, signals)))
    return filled


def told_by(name: str, slot: Mapping[str, Any]) -> str:
    """How a stored slot came about, for a person: its formula, and what went into it.

    >>> told_by("monthly_margin", {"signal": "regular_income", "inputs": {"regular_income": 5000.0}})
    'that income less expenses, a month; regular_income 5000.0'
    """
    formula = FORMULAS.get(name) or (SLOTS[name].meaning if name in SLOTS else str(slot["signal"]))
    inputs = slot.get("inputs") or {}
    return "; ".join([formula, *(f"{each} {value}" for each, value in inputs.items())])


def stream_signals(streams: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a customer's reported subscriptions add to the signals.

    ``streams``: rows with ``merchant``, ``category``, ``evidence``, ``monthly_cost`` and ``price_change`` (fraction or
    None), dearest first. Only payees that may be named are named; ``price_rises`` counts all.
    """
    named = [
        s
        for s in streams
        if s["monthly_cost"]
        and sayable(s["merchant"], s.get("category"), listed=s.get("evidence") == EVIDENCE[BY_LIST_PRICE])
    ]
    payees = list(dict.fromkeys(s["merchant"] for s in named))
    found: dict[str, Any] = {"price_rises": sum(1 for s in streams if (s["price_change"] or 0) > 0)}
    if payees:
        top = payees[0]
        found["subscription_payees"] = payees[:MOST_PAYEES]
        found["top_subscription"] = top
        found["top_subscription_monthly"] = sum(s["monthly_cost"] for s in named if s["merchant"] == top)
    rises = [s for s in named if (s["price_change"] or 0) > 0]
    if rises:
        rise = max(rises, key=lambda s: (s["price_change"] * s["monthly_cost"], s["merchant"]))
        change = rise["price_change"]
        found["price_rise_payee"] = rise["merchant"]
        found["price_rise"] = change
        found["price_rise_yearly"] = rise["monthly_cost"] * change / (1 + change) * 12
    return found


def card_signals(cards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a customer's cards add to the signals.

    ``cards``: rows with ``last4``, ``balance`` (owed; a credit balance counts as 0), ``credit_limit``, ``utilization``
    and ``apr``, each but the first null where unknown. Nothing is summed over an unknown balance, and a card is
    only called the fullest, the smallest or the dearest where no other is, and where its last four do not name two.
    Where the smallest is the dearest too, there is no choice to speak of, and it is not called the dearest.
    """
    if not cards or any(card["balance"] is None for card in cards):
        return {}
    owed = [dict(card, balance=max(card["balance"], 0.0)) for card in cards]
    owing = [card for card in owed if card["balance"] > 0]
    found: dict[str, Any] = {"card_balance": sum(card["balance"] for card in owed), "cards_owing": len(owing)}
    names = [card["last4"] for card in cards]
    if fullest := _single(owed, "utilization", highest=True):
        found["fullest_balance"] = fullest["balance"]
        found["over_guide"] = fullest["balance"] - UTILIZATION_GUIDE * fullest["credit_limit"]
        found["fullest_card"] = fullest["last4"] if names.count(fullest["last4"]) == 1 else None
    if len(owing) > 1:
        if smallest := _single(owing, "balance", highest=False):
            found["smallest_balance"] = smallest["balance"]
            found["smallest_card"] = smallest["last4"] if names.count(smallest["last4"]) == 1 else None
        dearest = _single(owing, "apr", highest=True) if all(card["apr"] is not None for card in owing) else None
        if dearest and dearest is not smallest and names.count(dearest["last4"]) == 1:
            found["highest_rate_card"] = dearest["last4"]
    return found


def _single(cards: Sequence[Mapping[str, Any]], by: str, *, highest: bool) -> Mapping[str, Any] | None:
    """The only card that is highest (or lowest) in something known; None where two share the place."""
    known = [card for card in cards if card[by] is not None]
    if not known:
        return None
    best = (max if highest else min)(card[by] for card in known)
    at_best = [card for card in known if card[by] == best]
    return at_best[0] if len(at_best) == 1 else None

"""Every threshold decides where it says: a case on either side of it, and another value would decide otherwise."""

import datetime as dt
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from spendsense_pipeline.features.calendars import (
    ANNUAL,
    BIWEEKLY,
    CALENDARS,
    FOUR_WEEKLY,
    MONTHLY,
    QUARTERLY,
    SEMI_ANNUAL,
    SEMI_MONTHLY,
    TWO_MONTHLY,
    WEEKLY,
)
from spendsense_pipeline.features.pay import FREQUENCIES
from spendsense_pipeline.features.signals import SignalsError
from spendsense_pipeline_tests.features.ledger import AS_OF, Ledger, Row, every, monthly, shifted

Case = Callable[[], bool]


class Pin(NamedTuple):
    """A threshold, by the places that hold it, and a case on either side of it.

    ``inside`` is true, and false once the threshold is ``tighter``; ``outside`` is false, and true once ``looser``.
    Either is None where no history can tell the difference; the comment beside it says why.
    """

    places: tuple[str, ...]
    looser: float | None
    tighter: float | None
    inside: Case | None
    outside: Case | None


PINS: dict[str, Pin] = {}


def pin(
    name: str,
    places: str,
    inside: Case | None,
    outside: Case | None,
    looser: float | None = None,
    tighter: float | None = None,
    step: float = 1,
) -> None:
    """Note a threshold; by default a larger one is looser."""
    PINS[name] = Pin(
        tuple(places.split()),
        step if looser is None else looser,
        -step if tighter is None else tighter,
        inside,
        outside,
    )


def move(monkeypatch: pytest.MonkeyPatch, place: str, by: float) -> None:
    """Add to a constant: `module.NAME`, or `module.NAME[key]` of a list, an array or a dict."""
    module_name, _, name = place.partition(".")
    module = importlib.import_module(f"spendsense_pipeline.features.{module_name}")
    name, _, key = name.rstrip("]").partition("[")
    held = getattr(module, name)
    if not key:
        monkeypatch.setattr(module, name, held + by)
        return
    copy, at = held.copy(), key if isinstance(held, dict) else int(key)
    copy[at] += by
    for imported in list(sys.modules.values()):  # other modules hold the same table by its name
        if getattr(imported, name, None) is held:
            monkeypatch.setattr(imported, name, copy)


def on_one_account(
    *rows: tuple[Sequence[dt.date], float | Sequence[float], str, str], as_of: dt.date = AS_OF
) -> Ledger:
    """A customer with rows as (dates, amount or amounts, payee, category)."""
    ledger = Ledger(as_of)
    (account,) = ledger.customer("ann", "checking")
    for dates, amounts, payee, category in rows:
        each = [amounts] * len(dates) if isinstance(amounts, (int, float)) else amounts
        for date, amount in zip(dates, each, strict=True):
            ledger.row(account, date, amount, payee, category)
    return ledger


DELI = "Deli", "FOOD_AND_DRINK_RESTAURANT"
SHOW, BILL, PAY = "ENTERTAINMENT_TV_AND_MOVIES", "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY", "INCOME_WAGES"


def ago(*days: int) -> list[dt.date]:
    return [AS_OF - dt.timedelta(days=each) for each in days]


def streams(*rows: tuple[Sequence[dt.date], Any, str, str], as_of: dt.date = AS_OF) -> list[Row]:
    """The streams of a customer with such rows."""
    return on_one_account(*rows, as_of=as_of).streams()["ann"]


def hits(dates: Sequence[dt.date], amounts: Any, category: str = SHOW, payee: str = "Payee") -> list[int]:
    """How many charges the streams of one payee count, the fewest first."""
    return sorted(stream["occurrences"] for stream in streams((dates, amounts, payee, category)))


# --- rows ------------------------------------------------------------------------------------------------------------


def are_legs(apart: int) -> bool:
    ledger = Ledger()
    checking, savings = ledger.customer("ann", "checking", "savings")
    ledger.row(checking, 3 + apart, -300, "Online transfer 1", "TRANSFER_OUT")
    received = ledger.row(savings, 3, 300, "Deposit")
    return ledger.kinds()[received] == "own_transfer"


def meet_again(times: int) -> bool:
    """Whether what a customer's account pays somebody, and another receives from somebody else, is the customer's own
    after so many times."""
    ledger = Ledger()
    checking, savings = ledger.customer("ann", "checking", "savings")
    rows = []
    for days in (80, 51, 19)[:times]:
        rows.append(ledger.row(checking, days, -300, "John Smithson"))
        rows.append(ledger.row(savings, days - 1, 300, "Oddments"))
    return {ledger.kinds()[row] for row in rows} == {"own_transfer"}


def is_paid_by(apart: int) -> bool:
    """Whether an outflow of no name and what a card received so many days before are a card payment."""
    ledger = Ledger()
    checking, card = ledger.customer("ann", "checking", "credit card")
    paid = ledger.row(checking, 3, -250.1, "Web pay 1")
    ledger.row(card, 3 + apart, 250.1, "Thank you")
    return ledger.kinds()[paid] == "card_payment"


def is_returned(days: int) -> bool:
    ledger = on_one_account((ago(100), -80, "Oddments", ""), (ago(100 - days), 80, "ACH RETURN", ""))
    return ledger.features()["ann", 180]["total_spend"] == 0


def is_given_back(days: int) -> bool:
    """Whether a fee reversal gives an overdraft fee back, and not some other fee."""
    ledger = on_one_account((ago(100), -35, "Overdraft fee", ""), (ago(100 - days), 35, "FEE REVERSAL", ""))
    return ledger.features()["ann", 180]["fees_180d"] == 0


def is_reversed(days: int) -> bool:
    ledger = on_one_account((ago(40), 900, "Acme Payroll", ""), (ago(40 - days), -900, "Acme Payroll", ""))
    return set(ledger.kinds().values()) == {"cancelled"}


def pays_for_work(inflows: int) -> bool:
    """Whether what a shop pays its customer is no refund."""
    ledger = on_one_account((ago(60), -10, "Oddments", ""), (ago(40, 27, 11)[:inflows], 100, "Oddments", ""))
    return "refund" not in ledger.kinds().values()


def is_reversed_though_unnamed(inflows: int) -> bool:
    """Whether an outflow takes back what a payer of no known kind had paid."""
    rows = (ago(100, 87, 71)[-inflows:], [90, 100, 110][:inflows], "Oddments", "")
    ledger = on_one_account(rows, (ago(70), -[90, 100, 110][inflows - 1], "Oddments", ""))
    return "cancelled" in ledger.kinds().values()


pin("LEG_DAYS", "rows.LEG_DAYS", lambda: are_legs(3), lambda: are_legs(4))
pin("LEAST_REPEATED", "rows.LEAST_REPEATED", lambda: meet_again(3), lambda: meet_again(2), looser=-1, tighter=1)
pin("CARD_LEG_DAYS", "rows.CARD_LEG_DAYS", lambda: is_paid_by(5), lambda: is_paid_by(6))
pin("RETURN_DAYS of debits", "rows.RETURN_DAYS", lambda: is_returned(60), lambda: is_returned(61))
pin("RETURN_DAYS of fees", "rows.RETURN_DAYS", lambda: is_given_back(60), lambda: is_given_back(61))
pin("REVERSAL_DAYS", "rows.REVERSAL_DAYS", lambda: is_reversed(10), lambda: is_reversed(11))
pin(
    "LEAST_EARNED", "rows.LEAST_EARNED", lambda: pays_for_work(3), lambda: pays_for_work(2), looser=-1, tighter=1
)  # fmt: skip
pin(
    "LEAST_EARNED of reversals", "rows.LEAST_EARNED",
    lambda: is_reversed_though_unnamed(3), lambda: is_reversed_though_unnamed(2), looser=-1, tighter=1,
)  # fmt: skip

# --- streams: refunds and prices -------------------------------------------------------------------------------------


def is_cancelled(days: int) -> bool:
    charges = monthly(1, 6, (2026, 4))
    return hits([*charges, charges[-1] + dt.timedelta(days=days)], [-9.99] * 6 + [9.99]) == [5]


def is_one_price(higher: float) -> bool:
    """Whether two prices in turn are one, more often than a price drifts with a currency."""
    return hits(every(14, 8, AS_OF), [-100, -higher] * 4) == [8]


def may_vary_to(amount: float) -> bool:
    return hits(monthly(15, 5), [-98, -99, -100, -101, -amount], BILL) == [5]


def is_a_step(price: float) -> bool:
    (stream,) = streams((monthly(15, 8), [-100] * 4 + [-price] * 4, "Payee", SHOW))
    return stream["price_change"] is not None


VARYING = [100.0, 131.0, 87.0, 118.0, 94.0, 143.0, 109.0, 76.0, 125.0, 91.0]


def varies_enough(hits_: int, category: str, sign: int) -> bool:
    return hits(monthly(15, hits_), [sign * amount for amount in VARYING[:hits_]], category) == [hits_]


def nearly_one_price(times: int) -> bool:
    return hits(monthly(15, times), [-100, -100.5, -101][:times]) == [times]


def near_prices_at_a_shop(times: int) -> bool:
    prices = [-100, -100.5, -101, -100.2, -100.7, -101.2][:times]
    return hits(monthly(15, times), prices, "GENERAL_MERCHANDISE_DEPARTMENT_STORES") == [times]


def leaps_after(offered: int) -> bool:
    return hits(monthly(15, offered + 1), [-9.99] * offered + [-79.99]) == [offered + 1]


def drifts(*prices: float) -> bool:
    """Whether charges at these prices, none of them twice, are one stream without a price step."""
    found = streams((monthly(15, len(prices)), [-price for price in prices], "Payee", SHOW))
    return [(each["occurrences"], each["price_change"]) for each in found] == [(len(prices), None)]


def is_renewed(price: float) -> bool:
    """Whether a yearly charge goes on at another price."""
    return hits(monthly(15, 2, apart=12), [-100, -price]) == [2]


pin("NEXT_DRIFTED", "streams.NEXT_DRIFTED", lambda: drifts(100, 105, 101, 106), lambda: drifts(100, 105.01, 101, 106))
pin(
    "ALL_DRIFTED", "streams.ALL_DRIFTED",
    lambda: drifts(100, 105, 110, 115, 120, 125), lambda: drifts(100, 105, 110, 115, 120, 125.01),
)  # fmt: skip
pin(
    "LEAST_DRIFTING", "streams.LEAST_DRIFTING", lambda: drifts(100, 104.5, 101, 105), lambda: drifts(100, 104.5, 101),
    looser=-1, tighter=1,
)  # fmt: skip
pin("RENEWED", "streams.RENEWED", lambda: is_renewed(125), lambda: is_renewed(125.01))
pin("REFUND_DAYS", "streams.REFUND_DAYS", lambda: is_cancelled(60), lambda: is_cancelled(61))
pin("SAME_PRICE", "streams.SAME_PRICE", lambda: is_one_price(103), lambda: is_one_price(103.01))
pin("VARIATION, up", "streams.VARIATION", lambda: may_vary_to(300), lambda: may_vary_to(300.01))
pin("VARIATION, down", "streams.VARIATION", lambda: may_vary_to(33), lambda: may_vary_to(32.99))
pin(
    "PRICE_STEP", "streams.PRICE_STEP", lambda: is_a_step(101.01), lambda: is_a_step(101),
    looser=-0.0002, tighter=0.0002,
)  # fmt: skip
pin(
    "LEAST_VARYING of near prices", "streams.LEAST_VARYING", lambda: nearly_one_price(3), lambda: nearly_one_price(2),
    looser=-1, tighter=1,
)  # fmt: skip
pin(
    "MOST_OFFERED", "streams.MOST_OFFERED", lambda: leaps_after(3), lambda: leaps_after(4), looser=1, tighter=-1,
)  # fmt: skip
pin(
    "LEAST_OF_GOODS", "streams.LEAST_OF_GOODS", lambda: near_prices_at_a_shop(6), lambda: near_prices_at_a_shop(5),
    looser=-1, tighter=1,
)  # fmt: skip
# Two hits of a bill are stopped by what must lie in a row before their number is asked for.
pin(
    "LEAST_VARYING of bills", "customers.LEAST_VARYING", lambda: varies_enough(3, BILL, -1), None,
    looser=-1, tighter=1,
)  # fmt: skip
pin(
    "LEAST_VARYING_INCOME", "customers.LEAST_VARYING_INCOME",
    lambda: varies_enough(4, PAY, 1), lambda: varies_enough(3, PAY, 1), looser=-1, tighter=1,
)  # fmt: skip


def varying_transfers(times: int) -> bool:
    ledger = Ledger()
    (account,) = ledger.customer("ann", "checking")
    for date, amount in zip(monthly(15, times), VARYING, strict=False):
        ledger.row(account, date, -amount, "A B", "TRANSFER_OUT_ACCOUNT_TRANSFER", merchant_entity_id="ab")
    return [stream["occurrences"] for stream in ledger.streams()["ann"]] == [times]


pin(
    "LEAST_VARYING_TRANSFERS", "customers.LEAST_VARYING_TRANSFERS",
    lambda: varying_transfers(6), lambda: varying_transfers(5), looser=-1, tighter=1,
)  # fmt: skip

# --- streams: what a line must explain -------------------------------------------------------------------------------

ANY_DAY = [(10, 29), (12, 5), (2, 22), (4, 3)]


def explains_among(others: int) -> bool:
    """Nine monthly charges among others at the same price in the same time."""
    odd = [dt.date(2025 if month > 6 else 2026, month, day) for month, day in ANY_DAY[:others]]
    return hits([*monthly(14, 9), *odd], -20) == [9]


def explains_after(others: int) -> bool:
    """Four monthly charges after others at the same price, which keep no day."""
    odd = [dt.date(2025, month, day) for month, day in [(10, 29), (8, 2), (5, 20)][:others]]
    return hits([*monthly(14, 4), *odd], -20) == [4]


def keeps_its_days(moves: list[int]) -> bool:
    dates = shifted(monthly(14, 10), moves)
    return hits(dates, VARYING, PAY) == [10]


def among_other_purchases(times: int) -> bool:
    shopping = [AS_OF - dt.timedelta(days=days) for days in (11, 27, 52, 71, 88, 96)]
    found = streams((monthly(8, times), -14.99, "Shop", SHOW), (shopping, [-63, -21, -154, -9, -88, -34], "Shop", SHOW))
    return [stream["occurrences"] for stream in found] == [times]


def plans_on_a_day(plans: int) -> bool:
    return hits(monthly(6, 8) * plans, -2.99) == [8] * plans


pin("EXPLAINED", "streams.EXPLAINED", lambda: explains_among(3), lambda: explains_among(4), looser=-0.06, tighter=0.01)
pin(
    "EXPLAINED_EVER", "streams.EXPLAINED_EVER", lambda: explains_after(2), lambda: explains_after(3),
    looser=-0.1, tighter=0.01,
)  # fmt: skip
pin(
    "NEAR_ITS_DAYS", "streams.NEAR_ITS_DAYS",
    lambda: keeps_its_days([3, -3, 3, -3, 1, 0, 0, 0, 0, 0]), lambda: keeps_its_days([3, -3, 3, -3, 1, -1, 0, 0, 0, 0]),
    step=0.02,
)  # fmt: skip
pin(
    "MORE_AMONG_OTHERS", "streams.MORE_AMONG_OTHERS",
    lambda: among_other_purchases(4), lambda: among_other_purchases(3), looser=-1, tighter=1,
)  # fmt: skip
pin("PLANS", "streams.PLANS", lambda: plans_on_a_day(2), lambda: plans_on_a_day(3))
# ROWS_BACK only spares calendars that cannot fit: two lines at most explain a price, so that a charge one period before
# is at most two explained charges and a quarter of others back, and one pair in eight is enough.

# --- calendars -------------------------------------------------------------------------------------------------------


MONTHS = {MONTHLY: 1, TWO_MONTHLY: 2, QUARTERLY: 3, SEMI_ANNUAL: 6, ANNUAL: 12}
LAST_MONTH = dict.fromkeys((MONTHLY, TWO_MONTHLY, QUARTERLY), (2026, 6)) | dict.fromkeys(
    (SEMI_ANNUAL, ANNUAL), (2026, 3)
)


def dates_of(calendar: int, times: int, last: dt.date | None = None) -> list[dt.date]:
    """Dates on a calendar, oldest first; those of months before today early in a month."""
    weeks = {WEEKLY: 7, BIWEEKLY: 14, FOUR_WEEKLY: 28}
    if calendar in weeks:
        return every(weeks[calendar], times, last or AS_OF - dt.timedelta(days=7))[::-1]
    if calendar == SEMI_MONTHLY:
        return sorted(monthly(5, times) + monthly(20, times))[-times:]
    return monthly(6, times, LAST_MONTH[calendar], MONTHS[calendar])


def found_on(calendar: int, dates: list[dt.date]) -> list[Row]:
    """The streams of one price on these dates; income where only that keeps the calendar."""
    amount, category = (2000.0, PAY) if calendar == SEMI_MONTHLY else (-20.0, SHOW)
    return streams((dates, amount, "Payee", category))


def counts_all(calendar: int, dates: list[dt.date]) -> bool:
    found = found_on(calendar, dates)
    return [(each["cadence"], each["occurrences"]) for each in found] == [(CALENDARS[calendar].cadence, len(dates))]


def tolerates(calendar: int, spread: int) -> bool:
    """Whether dates between two that lie so many days apart in the period are one line."""
    if calendar == ANNUAL:
        moves = [0, spread // 2, spread]
    elif calendar == SEMI_MONTHLY:  # of both halves only the first is moved
        turns = [0, spread, 3, 0, spread, spread - 3, 0, spread]
        return counts_all(calendar, sorted(shifted(monthly(5, 8), turns) + monthly(22, 8, (2026, 5))))
    else:
        moves = [0, spread, 0, spread, (spread + 1) // 2, 0, spread, 0, spread]
    return counts_all(calendar, shifted(dates_of(calendar, len(moves)), moves))


def reaches(calendar: int, apart: int) -> bool:
    """Whether two days in turn are one line."""
    return counts_all(calendar, shifted(dates_of(calendar, 10), [0, apart] * 5))


def are_taken_for_one(calendar: int, apart: int) -> bool:
    """Whether two lines so many days apart in the period disturb each other where one skips."""
    first = dates_of(calendar, 9)
    second = shifted(first, [apart] * 9)
    return [each["occurrences"] for each in found_on(calendar, sorted([*first[:4], *first[5:], *second]))] != [8, 9]


def survives(calendar: int, missed: int) -> bool:
    """Whether a stream is active after so many expected dates were missed."""
    each = CALENDARS[calendar]
    dates = dates_of(calendar, 12)
    (stream,) = [one for one in found_on(calendar, dates) if one["occurrences"] == 12]
    assert stream["status"] == "mature"
    following = {WEEKLY: 7, BIWEEKLY: 14, FOUR_WEEKLY: 28}.get(calendar)
    if following:
        due = dates[-1] + dt.timedelta(days=following * missed)
    elif calendar == SEMI_MONTHLY:
        due = dates_of(calendar, 30)[-1]
        due = [dt.date(2026, 7, 5), dt.date(2026, 7, 20), dt.date(2026, 8, 5)][missed - 1] if missed else due
    else:
        year, month = LAST_MONTH[calendar]
        months = month - 1 + MONTHS[calendar] * missed
        (due,) = monthly(6, 1, (year + months // 12, months % 12 + 1))
    amount, category = (2000.0, PAY) if calendar == SEMI_MONTHLY else (-20.0, SHOW)
    today = due + dt.timedelta(days=each.tolerance + 1)
    (stream,) = on_one_account((dates, amount, "Payee", category), ([today], -5, *DELI)).streams(today)["ann"]
    return stream["status"] == "mature"


def waits(calendar: int, slots: int) -> bool:
    """Whether charges before and after a pause of so many periods are one stream."""
    dates = dates_of(calendar, 20 + slots - 1)
    return counts_all(calendar, dates[:10] + dates[-10:])


def is_a_stream(calendar: int, times: int) -> bool:
    cadences = [each["cadence"] for each in found_on(calendar, dates_of(calendar, times))]
    return cadences == [CALENDARS[calendar].cadence]


for _number, _calendar in enumerate(CALENDARS):
    _name, _days = _calendar.cadence, _calendar.tolerance

    def _case(function: Callable[[int, int], bool], value: int, calendar: int = _number) -> Case:
        return lambda: function(calendar, value)

    pin(
        f"tolerance, {_name}", f"streams.TOLERANCE[{_number}]",
        _case(tolerates, 2 * _days), _case(tolerates, 2 * _days + 1),
    )  # fmt: skip
    if _number != SEMI_MONTHLY:
        # Of two lines on one of these, every second date of a shorter calendar, none is kept.
        _single = _number in (FOUR_WEEKLY, TWO_MONTHLY, SEMI_ANNUAL)
        pin(
            f"reach, {_name}", f"streams.REACH[{_number}]", _case(reaches, _calendar.reach),
            None if _single else _case(are_taken_for_one, _calendar.reach + 1), step=2,
        )  # fmt: skip
    # A stream has two hits whatever its calendar, so fewer are no looser.
    _fewer = _case(is_a_stream, _calendar.least_hits - 1) if _calendar.least_hits > 2 else None
    pin(
        f"least hits, {_name}", f"streams.LEAST_HITS[{_number}]",
        _case(is_a_stream, _calendar.least_hits), _fewer, looser=-1, tighter=1,
    )  # fmt: skip
    pin(
        f"missable, {_name}", f"tables._MISSABLE[{_number}]",
        _case(survives, _calendar.missable) if _calendar.missable else None, _case(survives, _calendar.missable + 1),
    )  # fmt: skip
    pin(
        f"pause, {_name}", f"streams.PAUSE[{_number}]",
        _case(waits, _calendar.missable + 2), _case(waits, _calendar.missable + 3),
    )  # fmt: skip


def is_mature(calendar: int, kept: str) -> bool:
    """Whether charges on the dates that are kept (x) of the last ones make a mature stream."""
    dates = [date for date, mark in zip(dates_of(calendar, len(kept)), kept, strict=True) if mark == "x"]
    (stream,) = [each for each in found_on(calendar, dates) if each["occurrences"] == len(dates)]
    return bool(stream["status"] == "mature")


for _number, _calendar in enumerate(CALENDARS):
    # Two thirds of the dates are kept, so two of them always lie in a row.
    _pairs = "xx-xx-xx" if _calendar.consecutive > 2 else None
    pin(
        f"consecutive, {_calendar.cadence}", f"tables._CONSECUTIVE[{_number}]",
        lambda calendar=_number, kept="xx" if _pairs is None else "xx-xxx-xx": is_mature(calendar, kept),
        (lambda calendar=_number, kept=_pairs: is_mature(calendar, kept)) if _pairs else None, looser=-1, tighter=1,
    )  # fmt: skip

# --- pay -------------------------------------------------------------------------------------------------------------


def pay_of(*payers: tuple[str, Sequence[dt.date], float], window: int = 30) -> Row:
    ledger = on_one_account(*((dates, amount, payer, PAY) for payer, dates, amount in payers))
    return ledger.features((window,))["ann", window]


def is_evidence(days: int) -> bool:
    return bool(pay_of(("acme", ago(2, days), 1000))["payroll_detected"])


def is_paid(frequency: str, dates: list[dt.date]) -> bool:
    return bool(pay_of(("acme", dates, 1000), window=365)["pay_frequency"] == frequency)


def goes_on_after(gap: int) -> bool:
    """Whether an employer of another name goes on where one stopped, so many days later."""
    new = every(14, 5, AS_OF - dt.timedelta(days=3))
    old = every(14, 5, new[-1] - dt.timedelta(days=gap))
    return bool(pay_of(("acme", old, 2000), ("newco", new, 2100), window=180)["income_variability"] > 1e-6)


def still_pays(late: int) -> bool:
    """Whether three fortnightly paychecks are a monthly income after so many days."""
    paydays = every(14, 3, AS_OF - dt.timedelta(days=late))
    ledger = on_one_account((paydays, 2000, "acme", PAY), ([AS_OF], -5, *DELI))
    row = ledger.features()["ann", 30]
    return bool(row["avg_monthly_income"] == round(2000 * 30 / 14, 2))


def is_one_payday(apart: int) -> bool:
    """Whether two payments of one payer so many days apart leave less than two paydays."""
    return not pay_of(("acme", ago(20, 20 - apart), 1000))["payroll_detected"]


def is_pay_by_pattern(*amounts: float) -> bool:
    """Whether monthly deposits of somebody unknown are pay."""
    ledger = on_one_account((monthly(5, len(amounts)), amounts, "Oddments", ""))
    return set(ledger.kinds().values()) == {"paycheck"}


def is_a_bonus(*others: tuple[int, float]) -> bool:
    """Whether paydays so many days ago, between those of a steady 1,000, leave pay steady."""
    paydays = dict.fromkeys(range(4, 180, 14), 1000.0) | dict(others)
    ledger = on_one_account((ago(*paydays), [*paydays.values()], "acme", PAY))
    return bool(ledger.features()["ann", 30]["income_variability"] < 0.01)


@pytest.mark.parametrize(
    ("told", "times", "steady"),
    [("ACME BV SALARIS", 1, False), ("ACME BV VAKANTIEGELD", 1, True), ("ACME BV VAKANTIEGELD", 3, False)],
)
def test_a_part_of_pay_that_calls_itself_a_bonus_is_one_below_twice_the_usual(
    told: str, times: int, steady: bool
) -> None:
    paydays = ago(*range(4, 360, 30))
    ledger = on_one_account((paydays, 1000, "ACME BV SALARIS", ""), (paydays[3::2][:times], 930, told, ""))
    assert (ledger.features()["ann", 180]["income_variability"] < 0.01) == steady


pin("ONE_PAYDAY_DAYS", "pay.ONE_PAYDAY_DAYS", lambda: is_one_payday(3), lambda: is_one_payday(4))
pin(
    "LEAST_BY_PATTERN", "pay.LEAST_BY_PATTERN",
    lambda: is_pay_by_pattern(*[1000] * 3), lambda: is_pay_by_pattern(*[1000] * 2), looser=-1, tighter=1,
)  # fmt: skip
pin(
    "LEAST_OF_USUAL", "pay.LEAST_OF_USUAL",
    lambda: is_pay_by_pattern(1000, 500, 1000, 1010), lambda: is_pay_by_pattern(1000, 499, 1000, 1010),
    looser=-0.01, tighter=0.01,
)  # fmt: skip
pin(
    "MOST_OF_USUAL", "pay.MOST_OF_USUAL",
    lambda: is_pay_by_pattern(1000, 1500, 1000, 990), lambda: is_pay_by_pattern(1000, 1501, 1000, 990), step=0.01,
)  # fmt: skip
pin("BONUS", "pay.BONUS", lambda: is_a_bonus((32, 2000.01)), lambda: is_a_bonus((32, 2000)), looser=-0.01, tighter=0.01)
pin(
    "BONUSES", "pay.BONUSES",
    lambda: is_a_bonus((32, 5000), (74, 5000)), lambda: is_a_bonus((32, 5000), (74, 5000), (116, 5000)),
)  # fmt: skip
# The more of the past that counts, the more bonuses there are in it.
pin(
    "BONUS_DAYS", "pay.BONUS_DAYS",
    lambda: is_a_bonus((32, 5000), (74, 5000), (365, 5000)), lambda: is_a_bonus((32, 5000), (74, 5000), (364, 5000)),
    looser=-1, tighter=1,
)  # fmt: skip
pin("EVIDENCE_DAYS", "pay.EVIDENCE_DAYS", lambda: is_evidence(179), lambda: is_evidence(180))
pin(
    "ON_ONE_CALENDAR", "pay.ON_ONE_CALENDAR",
    lambda: is_paid("weekly", ago(1, 8, 15, 22, 29, 36, 60, 71)),
    lambda: is_paid("weekly", ago(1, 8, 15, 22, 29, 36, 60, 71, 84)), looser=-0.09, tighter=0.01,
)  # fmt: skip
pin("NEAR_THE_GAP, late", "pay.NEAR_THE_GAP", lambda: goes_on_after(16), lambda: goes_on_after(17), step=0.06)
pin("NEAR_THE_GAP, early", "pay.NEAR_THE_GAP", lambda: goes_on_after(12), lambda: goes_on_after(11), step=0.06)
pin("STILL_PAID", "pay.STILL_PAID", lambda: still_pays(28), lambda: still_pays(29), step=0.1)

# Beside a pair of paydays that lies on the calendar, one whose gap is the least, or the most.
PAIRS: dict[str, dict[str, tuple[list[dt.date], list[dt.date]]]] = {
    "weekly": {
        "MOST_APART": (ago(90, 97, 125, 133), ago(90, 97, 124, 133)),
        "LEAST_APART": (ago(90, 97, 125, 131), ago(90, 97, 126, 131)),
    },
    "biweekly": {
        "MOST_APART": (ago(90, 104, 160, 176), ago(90, 104, 160, 177)),
        "LEAST_APART": (ago(90, 104, 160, 172), ago(90, 104, 160, 171)),
    },
    "semi_monthly": {
        "MOST_APART": (
            [*monthly(5, 2), *monthly(20, 2, (2026, 5)), dt.date(2026, 1, 2), dt.date(2026, 1, 21)],
            [*monthly(5, 2), *monthly(20, 2, (2026, 5)), dt.date(2026, 1, 2), dt.date(2026, 1, 22)],
        ),
        "LEAST_APART": (
            [*monthly(5, 2), *monthly(20, 2, (2026, 5)), dt.date(2026, 1, 6), dt.date(2026, 1, 17)],
            [*monthly(5, 2), *monthly(20, 2, (2026, 5)), dt.date(2026, 1, 7), dt.date(2026, 1, 17)],
        ),
    },
    "monthly": {"MOST_APART": (ago(3, 38), ago(3, 39)), "LEAST_APART": (ago(3, 29), ago(3, 28))},
}
# Beside three paydays on the calendar, two that keep their own place.
OFF_PLACE: dict[str, tuple[list[dt.date], list[dt.date]]] = {
    "weekly": (ago(90, 97, 104, 126, 133), ago(90, 97, 104, 127, 134)),
    "biweekly": (ago(6, 20, 34, 91, 105), ago(6, 20, 34, 92, 106)),
    "semi_monthly": (
        [*monthly(20, 4, (2026, 5)), *monthly(7, 4, (2026, 6))],
        [*monthly(20, 4, (2026, 5)), *monthly(8, 4, (2026, 6))],
    ),
}
for _place, _frequency in enumerate(FREQUENCIES[:-1]):
    for _name, (_in, _out) in PAIRS[_frequency].items():
        _sign = 1 if _name == "MOST_APART" else -1
        pin(
            f"{_name}, {_frequency}", f"pay.{_name}[{_place}]",
            lambda frequency=_frequency, dates=_in: is_paid(frequency, dates),
            lambda frequency=_frequency, dates=_out: is_paid(frequency, dates), looser=_sign, tighter=-_sign,
        )  # fmt: skip
    if _frequency in OFF_PLACE:
        _in, _out = OFF_PLACE[_frequency]
        pin(
            f"OFF_ITS_PLACE, {_frequency}", f"pay.OFF_ITS_PLACE[{_place}]",
            lambda frequency=_frequency, dates=_in: is_paid(frequency, dates),
            lambda frequency=_frequency, dates=_out: is_paid(frequency, dates),
            step=2 if _frequency == "semi_monthly" else 1,  # half days
        )  # fmt: skip

# --- what a date and a window make of it -----------------------------------------------------------------------------


def is_a_fee_of_180_days(days: int) -> bool:
    ledger = on_one_account((ago(days), -35, "Overdraft fee", "BANK_FEES_OVERDRAFT_FEES"))
    return ledger.features((1,))["ann", 1]["fees_180d"] == 35


def is_expected(day: int) -> bool:
    ledger = on_one_account((monthly(day, 3), -10, "Netflix", SHOW), (ago(200), -1, "Deli", "FOOD_AND_DRINK"))
    return ledger.features((1,))["ann", 1]["recurring_merchants"] == 1


def finds_none(history: int) -> bool:
    return (
        on_one_account((ago(history), -1, "Deli", "FOOD_AND_DRINK")).features()["ann", 30]["recurring_merchants"] == 0
    )


def counts_as_a_month(history: int) -> bool:
    """Whether so many days of history, and one more, are a month alike."""

    def expenses(days: int) -> float:
        return on_one_account((ago(days), -900, "Deli", "FOOD_AND_DRINK")).features()["ann", 180][
            "avg_monthly_expenses"
        ]

    return expenses(history) == expenses(history + 1)


def pays_only_the_minimum(paid: float, minimum: float = 35.0) -> bool:
    ledger = Ledger()
    ledger.customer("ann")
    card = ledger.account("ann", "credit card", balance_current=800.0, balance_limit=1000.0)
    ledger.liability(card, last_payment_amount=paid, minimum_payment_amount=minimum, last_statement_balance=900.0)
    return ledger.features()["ann", 30]["minimum_payment_only_flag"] is True


def is_used(share: int, owed: float) -> bool:
    ledger = Ledger()
    ledger.customer("ann")
    ledger.account("ann", "credit card", balance_current=owed, balance_limit=1000.0)
    return ledger.features()["ann", 30][f"utilization_{share}_flag"] is True


def is_looked_at(days: int) -> bool:
    """Whether a row that nobody can explain counts in the share that is."""
    ledger = on_one_account((ago(1), -5, *DELI), (ago(days), -5, "Oddments", ""))
    return ledger.features()["ann", 30]["explained_share"] == 0.5


def reaches_back(gap: int) -> bool:
    """Whether the history goes on behind so many days without a row."""
    ledger = on_one_account((ago(10, 10 + gap), -5, *DELI))
    return ledger.features()["ann", 30]["history_days"] == 10 + gap


def is_modest(price: float, times: int = 6) -> bool:
    """Whether a price that is paid by card, and that nothing else explains, is a subscription's."""
    ledger = Ledger()
    (card,) = ledger.customer("ann", "credit card")
    for date in monthly(15, times):
        ledger.row(card, date, -price, "Oddments")
    (stream,) = ledger.streams()["ann"]
    return (stream["kind"], stream["evidence"]) == ("subscription", "card_modest")


pin("EXPLAINED_DAYS", "customers.EXPLAINED_DAYS", lambda: is_looked_at(89), lambda: is_looked_at(90))
pin("LONG_GAP_DAYS", "customers.LONG_GAP_DAYS", lambda: reaches_back(92), lambda: reaches_back(93))
pin(
    "LEAST_MODEST", "tables.LEAST_MODEST", lambda: is_modest(9.99, 4), lambda: is_modest(9.99, 3), looser=-1, tighter=1
)  # fmt: skip
pin("MODEST", "tables.MODEST", lambda: is_modest(75), lambda: is_modest(75.01), step=0.01)
pin("FEE_DAYS", "customers.FEE_DAYS", lambda: is_a_fee_of_180_days(179), lambda: is_a_fee_of_180_days(180))
pin("EXPECTED_WITHIN_DAYS", "tables.EXPECTED_WITHIN_DAYS", lambda: is_expected(3), lambda: is_expected(4))
pin(
    "LEAST_HISTORY_DAYS", "tables.LEAST_HISTORY_DAYS", lambda: finds_none(60), lambda: finds_none(59),
    looser=-1, tighter=1,
)  # fmt: skip
pin("LEAST_MONTH_DAYS", "tables.LEAST_MONTH_DAYS", lambda: counts_as_a_month(29), lambda: counts_as_a_month(30))
pin(
    "MINIMUM_PAYMENT_SLACK", "tables.MINIMUM_PAYMENT_SLACK",
    lambda: pays_only_the_minimum(40), lambda: pays_only_the_minimum(40.01), step=0.01,
)  # fmt: skip
for _share in (30, 50, 80):
    pin(
        f"utilization, {_share} %", f"tables.UTILIZATION_FLAGS[utilization_{_share}_flag]",
        lambda share=_share: is_used(share, 10.0 * share), lambda share=_share: is_used(share, 10.0 * share - 0.01),
        looser=-0.00002, tighter=0.00002,
    )  # fmt: skip


@pytest.mark.parametrize(("owed", "limit", "share"), [(962.4, 1203.0, 80), (2.01, 6.7, 30), (3.35, 6.7, 50)])
def test_a_share_is_reached_to_the_cent(owed: float, limit: float, share: int) -> None:
    ledger = Ledger()
    ledger.customer("ann")
    ledger.account("ann", "credit card", balance_current=owed, balance_limit=limit)
    row = ledger.features()["ann", 30]
    assert (row["max_utilization"], row[f"utilization_{share}_flag"]) == (share / 100, True)


def test_the_minimum_and_its_slack_are_added_to_the_cent() -> None:
    assert pays_only_the_minimum(5.69, 0.69)
    assert not pays_only_the_minimum(5.7, 0.69)


@pytest.mark.parametrize("name", PINS)
def test_a_threshold_decides_on_either_side(name: str) -> None:
    inside, outside = PINS[name].inside, PINS[name].outside
    assert inside is None or inside()
    assert outside is None or not outside()


@pytest.mark.parametrize("name", [name for name in PINS if PINS[name].inside])
def test_what_is_inside_is_outside_of_a_tighter_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in PINS[name].places:
        move(monkeypatch, place, PINS[name].tighter)
    assert not PINS[name].inside()


@pytest.mark.parametrize("name", [name for name in PINS if PINS[name].outside])
def test_what_is_outside_is_inside_of_a_looser_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in PINS[name].places:
        move(monkeypatch, place, PINS[name].looser)
    assert PINS[name].outside()


# --- bounds that no constant names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("usual", "same"), [(4000, True), (4000.01, False), (1000, True), (999.99, False)])
def test_the_pay_of_a_renamed_employer_neither_doubles_nor_halves(usual: float, same: bool) -> None:
    new = every(14, 5, AS_OF - dt.timedelta(days=3))
    old = every(14, 5, new[-1] - dt.timedelta(days=14))
    row = pay_of(("acme", old, 2000), ("newco", new, usual), window=180)
    assert (row["income_variability"] > 1e-6) is same


def test_a_bill_of_two_rates_is_one_stream_beside_other_purchases() -> None:
    rates, others = [-100, -120] * 4, [-103, -111, -117, -124]
    odd = ago(47, 86, 128, 201)
    assert hits([*monthly(12, 8), *odd], [*rates, *others], BILL) == [8]


def test_a_refund_cancels_no_charge_of_another_price() -> None:
    dates = monthly(15, 3)
    assert hits([*dates, dates[0] + dt.timedelta(days=5)], [-10, -10.05, -10.05, 10.05]) == [3]


# --- what kernels can hold -------------------------------------------------------------------------------------------


def test_more_rows_than_can_be_numbered_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spendsense_pipeline.features.signals.MOST_CHARGES", 4)
    assert on_one_account((ago(1, 2, 3), -1, "Deli", SHOW)).features()
    with pytest.raises(SignalsError, match="customer ann has 4 transactions; at most 3 can be read"):
        on_one_account((ago(1, 2, 3, 4), -1, "Deli", SHOW)).features()


def test_a_larger_amount_than_can_be_held_is_refused_by_name() -> None:
    most = (1 << 42) / 100
    assert on_one_account((ago(1), -(most - 1), "Deli", SHOW)).features()
    ledger = on_one_account((ago(1), -1, "Deli", SHOW))
    (account,) = ledger.customer("bob", "checking")
    ledger.row(account, 1, most, "Deli", SHOW)
    with pytest.raises(SignalsError, match=r"customer bob has a transaction of 43,980,465,111\.04; amounts of up to"):
        ledger.features()

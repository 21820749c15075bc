"""Histories of customers, drawn by Hypothesis: payees on calendars, refunds, transfers, cards, pay, a second currency.

A history is a list of events, which a test alters (shuffles, scales, disturbs) before it writes them to a ledger.
"""

import datetime as dt
from typing import NamedTuple

from hypothesis import strategies as st

from spendsense_pipeline_tests.features.ledger import AS_OF, Ledger, monthly

TYPES = {
    "checking": "checking",
    "savings": "savings",
    "card": "credit card",
    "second card": "credit card",
    "loan": "loan",
    "euro": "checking",
}
WEEKS = {"weekly": 7, "biweekly": 14, "four weekly": 28, "every 45 days": 45, "daily": 1}
MONTHS = {"monthly": 1, "quarterly": 3, "annual": 12}
CALENDARS = (*WEEKS, *MONTHS, "monthly", "monthly", "semi-monthly")


class Event(NamedTuple):
    """A posted row."""

    account: str
    date: dt.date
    cents: int
    name: str | None
    category: str = ""
    entity: str | None = None


class Payee(NamedTuple):
    """Who is paid, or pays, as banks spell it from row to row."""

    spellings: tuple[str | None, ...]
    category: str
    entity: str | None = None
    sign: int = -1


PAYEES = (
    Payee(("Netflix", "NETFLIX.COM"), "ENTERTAINMENT_TV_AND_MOVIES"),
    Payee(("PAYPAL *HULU", "HULU SAN JOSE CA", "Hulu"), "ENTERTAINMENT_TV_AND_MOVIES"),
    Payee(("APPLE.COM/BILL",), "ENTERTAINMENT_MUSIC_AND_AUDIO", "ent_apple"),
    Payee(("Apple Store",), "GENERAL_MERCHANDISE_ELECTRONICS", "ent_apple"),
    Payee(("Amazon", "AMAZON PRIME *2K4"), "GENERAL_MERCHANDISE_SUPERSTORES", "ent_amazon"),
    Payee(("Tri-County Electric",), "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY"),
    Payee(("Evergreen Insurance",), "GENERAL_SERVICES_INSURANCE"),
    Payee(("Corner Deli", "TST* CORNER DELI 0042"), "FOOD_AND_DRINK_RESTAURANT"),
    Payee(("Payment AB/79838293",), "TRANSFER_OUT_ACCOUNT_TRANSFER", "cz_79838293"),
    Payee(("Venmo",), "TRANSFER_OUT_ACCOUNT_TRANSFER"),
    Payee(("Venmo",), "TRANSFER_IN_ACCOUNT_TRANSFER", sign=1),
    Payee((None,), "TRANSFER_OUT_WITHDRAWAL"),
    Payee(("OVERDRAFT FEE",), "BANK_FEES_OVERDRAFT_FEES"),
    Payee(("INTEREST CHARGE ON PURCHASES",), "BANK_FEES_INTEREST_CHARGE"),
    Payee(("Interest paid",), "INCOME_INTEREST_EARNED", sign=1),
    Payee(("Mobile Deposit",), "TRANSFER_IN_DEPOSIT", sign=1),
    Payee(("J Smith",), "TRANSFER_IN_ACCOUNT_TRANSFER", "j_smith", 1),
    Payee(("Acme PAYROLL", "ACME DIR DEP", "Acme"), "INCOME_WAGES", sign=1),
    Payee(("Lyft Payout",), "INCOME_GIG_ECONOMY", sign=1),
)
AMOUNTS = {
    "one price": lambda cents, turn, times: cents,
    "a rise": lambda cents, turn, times: cents if turn >= times // 2 else round(cents * 1.13),
    "an introduction": lambda cents, turn, times: cents if turn < times - 1 else max(cents // 15, 1),
    "within a percent": lambda cents, turn, times: round(cents * (1 + (turn * 7 % 5 - 2) / 200)),
    "as it comes": lambda cents, turn, times: round(cents * (1 + (turn * 7 % 11 - 5) / 12)),
    "a free trial": lambda cents, turn, times: cents if turn < times - 2 else 0,
}
# Days by which a charge is moved, from turn to turn.
MOVES = ((0,), (0,), (0, 2, -1), (3, 0, -3, 1), (0, -1, 0, 0, 1), (5, -5, 0), (0, 11, -7, 4))


def dates_on(calendar: str, day: int, times: int) -> list[dt.date]:
    """Dates on a calendar, newest first; ``day`` is where in the period they lie."""
    if calendar in WEEKS:
        step = WEEKS[calendar]
        return [AS_OF - dt.timedelta(days=day % step + step * turn) for turn in range(times)]
    if calendar == "semi-monthly":
        return sorted(monthly(1 + day % 15, times) + monthly(16 + day % 16, times), reverse=True)[:times]
    return monthly(1 + day, times, apart=MONTHS[calendar])[::-1]


@st.composite
def habits(draw: st.DrawFn) -> list[Event]:
    """A payee on a calendar, now and then skipped, moved, refunded or without a category."""
    payee, amounts = draw(st.sampled_from(PAYEES)), AMOUNTS[draw(st.sampled_from(sorted(AMOUNTS)))]
    account = draw(st.sampled_from(["checking", "checking", "card", "second card", "savings", "euro"]))
    times, moves = draw(st.integers(2, 14)), draw(st.sampled_from(MOVES))
    dates = dates_on(draw(st.sampled_from(CALENDARS)), draw(st.integers(0, 30)), times)
    cents, skipped = draw(st.integers(100, 300_000)), draw(st.integers(-20, 13))
    silent = draw(st.sampled_from([0, 0, 1, 3]))  # 1: never a category, 3: on each third row
    refunded, after = draw(st.integers(-10, 10)), draw(st.sampled_from([2, 40, 60, 61]))
    events = []
    for turn, date in enumerate(dates):
        if turn == skipped:
            continue
        moved = date + dt.timedelta(days=moves[turn % len(moves)])
        category = "" if silent and turn % silent == 0 else payee.category
        price, name = amounts(cents, turn, times), payee.spellings[turn % len(payee.spellings)]
        events.append(Event(account, moved, payee.sign * price, name, category, payee.entity))
        if turn == refunded:
            events.append(Event(account, moved + dt.timedelta(days=after), -payee.sign * price, name, category))
    return events


@st.composite
def pay(draw: st.DrawFn) -> list[Event]:
    """An employer, perhaps renamed on the way, perhaps paying by the hour or a part into savings."""
    times, renamed = draw(st.integers(1, 14)), draw(st.integers(-10, 10))
    calendar = draw(st.sampled_from(["weekly", "biweekly", "semi-monthly", "monthly", "every 45 days"]))
    amounts = AMOUNTS[draw(st.sampled_from(["one price", "one price", "a rise", "as it comes"]))]
    cents, into_savings = draw(st.integers(50_000, 400_000)), draw(st.booleans())
    events = []
    for turn, date in enumerate(dates_on(calendar, draw(st.integers(0, 30)), times)):
        employer = "Newco LLC" if turn < renamed else "Oldham Works PAYROLL"
        events.append(Event("checking", date, amounts(cents, turn, times), employer, "INCOME_WAGES"))
        if into_savings:
            events.append(Event("savings", date, 20_000, employer, "INCOME_WAGES"))
    return events


LEGS = (
    ("checking", "savings", "Transfer to savings", "Deposit from checking", "", ""),
    ("savings", "checking", "Online transfer", None, "TRANSFER_OUT_ACCOUNT_TRANSFER", "TRANSFER_IN_ACCOUNT_TRANSFER"),
    ("checking", "card", "Web pay", "Thank you", "", "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT"),
    ("checking", "second card", "CHASE CREDIT CRD AUTOPAY", "Payment received", "", ""),
    ("checking", "loan", "Auto loan", "Payment", "LOAN_PAYMENTS_CAR_PAYMENT", ""),
)


@st.composite
def transfers(draw: st.DrawFn) -> list[Event]:
    """Two legs between accounts of the customer, some days apart."""
    out_of, into, out_name, in_name, out_category, in_category = draw(st.sampled_from(LEGS))
    apart, cents = draw(st.integers(-1, 4)), draw(st.integers(1_000, 90_000))
    dates = dates_on(draw(st.sampled_from(CALENDARS)), draw(st.integers(0, 30)), draw(st.integers(1, 8)))
    events = []
    for date in dates:
        events.append(Event(out_of, date, -cents, out_name, out_category))
        events.append(Event(into, date + dt.timedelta(days=apart), cents, in_name, in_category))
    return events


@st.composite
def purchases(draw: st.DrawFn) -> list[Event]:
    """Whenever, at whatever price, at a payee that may also sell a subscription."""
    payee = draw(st.sampled_from(PAYEES))
    ago = draw(st.lists(st.integers(0, 400), max_size=8))
    return [
        Event("card", AS_OF - dt.timedelta(days=days), payee.sign * (199 + 37 * days % 9_000), payee.spellings[0], "")
        for days in ago
    ]


def histories(most: int = 6) -> st.SearchStrategy[list[Event]]:
    """What happened to one customer."""
    parts = st.lists(
        st.one_of(habits(), habits(), habits(), pay(), transfers(), purchases()), min_size=1, max_size=most
    )
    return parts.map(lambda found: [event for part in found for event in part])


def towns(customers: int = 10) -> st.SearchStrategy[list[list[Event]]]:
    """The histories of several customers."""
    return st.lists(histories(), min_size=customers, max_size=customers)


def live(ledger: Ledger, user: str, events: list[Event], scale: int = 1, later: int = 0) -> None:
    """Write a history as a customer of the ledger: money multiplied, everything so many days later."""
    ledger.customer(user)
    own = {}
    for account, type_ in TYPES.items():
        currency = "EUR" if account == "euro" else "USD"
        money = {"balance_current": 1234.56 * scale, "balance_limit": 8000.0 * scale}
        own[account] = ledger.account(user, type_, iso_currency_code=currency, **money)
    for number, event in enumerate(events):
        ledger.row(
            own[event.account],
            event.date + dt.timedelta(days=later),
            event.cents * scale / 100,
            event.name,
            event.category,
            merchant_entity_id=event.entity,
            transaction_id=f"{user} {number:05d}",
        )


def town(found: list[list[Event]], scale: int = 1, later: int = 0) -> Ledger:
    """A ledger of customers `0`, `1`, …; its day is as much later as what happened."""
    ledger = Ledger(AS_OF + dt.timedelta(days=later))
    for number, events in enumerate(found):
        live(ledger, str(number), events, scale, later)
    return ledger

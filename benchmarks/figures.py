"""Whether the figures of drafts are true: each computed once more, by other code, from the canonical tables.

    python -m benchmarks.figures [--users N] [--seed S] [--setting NAME] [--drafts N]

Drafts are made of generated customers; the figures of the first of them are computed again in plain pandas, by the
sentences of docs/signals.md and docs/insights.md. What repeats is taken from the table of streams, whose own accuracy
stands in docs/accuracy.md: here it is added up. A figure for which there is no rule is counted as such. What does not
belong here: any code of the pipeline's own figures.
"""

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
import pandas as pd
import pyarrow as pa

from benchmarks.insights import AS_OF, SETTINGS, accepted, population
from spendsense_pipeline import warehouse
from spendsense_pipeline.features.compilation import make_ready
from spendsense_pipeline.features.compiled import Mode, choose
from spendsense_pipeline.ingest import canonical
from spendsense_pipeline.settings import PROJECT_ROOT, Settings

CLASSES: Final = {"credit card": "card", "brokerage": "investment", "student": "loan"}
GROUPS: Final = {
    "groceries": "FOOD_AND_DRINK_GROCERIES",
    "eating and drinking out": "FOOD_AND_DRINK",
    "shopping": "GENERAL_MERCHANDISE",
    "entertainment": "ENTERTAINMENT",
    "getting around": "TRANSPORTATION",
    "travel": "TRAVEL",
    "the home": "HOME_IMPROVEMENT",
    "personal care": "PERSONAL_CARE",
    "the car": "GENERAL_SERVICES_AUTOMOTIVE",
    "energy": "RENT_AND_UTILITIES_GAS_AND_ELECTRICITY",
}
MONTHS: Final = {"weekly": 30 / 7, "biweekly": 30 / 14, "four_weekly": 30 / 28, "semi_monthly": 2, "monthly": 1,
                 "two_monthly": 1 / 2, "quarterly": 1 / 3, "semi_annual": 1 / 6, "annual": 1 / 12}  # fmt: skip
"""Cadence -> charges a month."""
PURPOSES: Final = (
    *("ENTERTAINMENT_MUSIC_AND_AUDIO", "ENTERTAINMENT_TV_AND_MOVIES", "ENTERTAINMENT_VIDEO_GAMES"),
    *("PERSONAL_CARE_GYMS_AND_FITNESS_CENTERS", "GENERAL_MERCHANDISE_BOOKSTORES_AND_NEWSSTANDS"),
    "GENERAL_SERVICES_STORAGE",
)
LATE: Final = 5
"""Days past its date after which a payment is no longer expected."""
A_CENT: Final = 0.065
"""Half a cent, rounded away before it was taken twelve times, and a little."""
SLACK: Final = 1e-5
"""How far two computations of a figure may lie apart, as a fraction."""


class Book:
    """One customer's rows, accounts, liabilities and streams."""

    def __init__(self, rows: pd.DataFrame, accounts: pd.DataFrame, owed: pd.DataFrame, streams: pd.DataFrame) -> None:
        self.rows, self.accounts, self.owed = rows, accounts, owed.merge(accounts, on="account_id")
        s = streams[streams["status"] == "mature"]
        paid = -s["last_amount"].where(s["last_amount"] == s["typical_amount"], s["typical_amount"])
        last = {
            (day, amount): held for day, amount, held in zip(rows["date"], rows["amount"], rows["held_as"], strict=True)
        }
        held = pd.Series(
            [last.get(each) for each in zip(s["last_date"], s["last_amount"], strict=True)], s.index, dtype="object"
        )
        self.streams = s.assign(paid=paid, monthly=paid * s["cadence"].map(MONTHS), held_as=held)
        self.cards = accounts[accounts["held_as"] == "card"]

    def balance(self, held_as: str) -> float:
        return float(self.accounts.loc[self.accounts["held_as"] == held_as, "balance_current"].sum())

    def total(self, kind: str, days: int) -> float:
        """What rows of a kind came to in the last days, positive = out."""
        return -float(self.rows.loc[(self.rows["kind"] == kind) & (self.rows["age"] < days), "amount"].sum())

    def months(self, days: int) -> float:
        return float(min(days, max(self.rows["age"].max() + 1, 30)) / 30)

    def spent(self, days: int) -> float:
        """Spending a month."""
        rows = self.rows[(self.rows["age"] < days) & ~self.rows["held_as"].isin(["investment", "loan"])]
        out = rows[~rows["kind"].isin(["own", "card", "pay"]) & ((rows["amount"] < 0) | (rows["kind"] == "refund"))]
        return max(0.0, -float(out["amount"].sum())) / self.months(days)

    def saved(self, days: int) -> float:
        """Into savings a month."""
        rows = self.rows[(self.rows["age"] < days) & (self.rows["held_as"] == "savings")]
        return float(rows["amount"].sum()) / self.months(days)

    def due(self, until: dt.date) -> pd.DataFrame:
        """Payments of streams from tomorrow to a day, each on its dates."""
        s = self.streams
        s = s[(s["paid"] > 0) & (s["kind"].isin(["bill", "subscription"]) | (s["last_amount"] == s["typical_amount"]))]
        found = []
        for stream in s.to_dict("records"):
            day, step = stream["expected_next_date"], 30 / MONTHS[stream["cadence"]]
            if day is None or (self.rows["date"].max() - day).days > LATE:
                continue  # it did not come, and is not counted on
            while day <= until:
                if day > AS_OF:
                    found.append(stream | {"due": day})
                day += dt.timedelta(days=step) if step < 28 else dt.timedelta(days=999)
        return pd.DataFrame(found, columns=[*s.columns, "due"])


def kinds(rows: pd.DataFrame) -> pd.Series:
    """What each row is, by its category, else by its name."""
    category, name, out = rows["category"], rows["name"], rows["amount"] < 0
    kind = pd.Series("other", rows.index)
    told = category != ""
    kind[~out & told & ~category.str.startswith(("INCOME", "TRANSFER", "LOAN"))] = "refund"
    wages = category.isin(["INCOME_WAGES", "INCOME_GIG_ECONOMY", "INCOME_SALARY"])
    kind[wages & ~out & ~name.str.contains("expense|reimb|concur")] = "pay"
    interest = (category == "BANK_FEES_INTEREST_CHARGE") | (
        name.str.contains("interest charge") & (rows["held_as"] == "card")
    )
    kind[interest] = "interest"
    kind[category.str.startswith(("BANK_FEES_OVER", "BANK_FEES_INSUF", "BANK_FEES_LATE"))] = "fee"
    kind[category.str.startswith(("BANK_FEES_OTHER", "BANK_FEES_ATM"))] = "service"
    between = category.str.contains("TRANSFER_(?:OUT|IN)_(?:SAVINGS|INVEST)") | (
        category.str.contains("ACCOUNT_TRANSFER|^$") & name.str.contains("transfer|to savings|from checking")
    )
    kind[between] = "own"
    pays_card = category.str.startswith("LOAN_PAYMENTS_CREDIT") | name.str.contains("card payment")
    kind[pays_card | ((rows["held_as"] == "card") & ~out & ~told)] = "card"
    return kind


def legs(rows: pd.DataFrame) -> list[Any]:
    """Both rows of transfers between accounts of the customer: equal, opposite, within three days."""
    like = rows[(rows["kind"] == "other") & (
        rows["category"].str.startswith("TRANSFER") | rows["name"].str.contains("funds received|brokerage|deposit to")
    )]  # fmt: skip
    found: list[Any] = []
    for _, group in like.groupby((like["amount"].abs() * 100).round()):
        for place, row in group[group["amount"] < 0].iterrows():
            other = group[(group["amount"] > 0) & (group["account_id"] != row["account_id"]) & ~group.index.isin(found)]
            other = other[(other["age"] - row["age"]).abs() <= 3]
            if len(other):
                found += [place, other.index[0]]
    return found


def books(tables: Mapping[str, pd.DataFrame], streams: pd.DataFrame) -> dict[str, Book]:
    """The customers' books, from the canonical tables and the table of streams."""
    accounts = tables["accounts"].copy()
    accounts["held_as"] = accounts["subtype"].where(accounts["subtype"].notna(), accounts["type"]).replace(CLASSES)
    rows = tables["transactions"]
    rows = rows[~rows["pending"].fillna(False).astype(bool) & (rows["date"] <= AS_OF)]
    rows = rows.merge(accounts[["account_id", "held_as"]], on="account_id")
    rows["age"] = [(AS_OF - day).days for day in rows["date"]]
    rows["name"] = [re.sub(r"[^a-z ]", "", str(name).lower()).strip() for name in rows["merchant_name"]]
    delivered = rows["category_detailed"].fillna("")
    usual = rows[delivered != ""].groupby("name")["category_detailed"].agg(lambda names: names.mode().iloc[0])
    rows["category"] = delivered.where(delivered != "", rows["name"].map(usual)).fillna("")
    rows["kind"] = kinds(rows)
    mine = {name: dict(list(frame.groupby("user_id"))) for name, frame in
            (("rows", rows), ("accounts", accounts), ("owed", tables["liabilities"]),
             ("streams", streams))}  # fmt: skip
    found = {}
    for user, own in mine["rows"].items():
        own.loc[legs(own), "kind"] = "own"
        owed = mine["owed"].get(user, tables["liabilities"].head(0)).drop(columns="user_id")
        found[str(user)] = Book(own, mine["accounts"][user], owed, mine["streams"].get(user, streams.head(0)))
    return found


Rule = Callable[[Book, Mapping[str, Any], Mapping[str, list[str]]], Mapping[str, Any]]
"""The figures of an insight from the book; its own figures say which of several happenings is meant, its evidence
which rows."""


def _card(row: pd.Series) -> dict[str, Any]:
    return {"card": row["account_id"][-4:], "owed": row["balance_current"],
            "minimum_payment": row["minimum_payment_amount"], "last_payment": row["last_payment_amount"],
            "yearly_rate": row["apr_purchase"],
            "due_on": str(row["next_payment_due_date"])[:10],
            "interest_month": row["balance_current"] * row["apr_purchase"] / 1200}  # fmt: skip


def _owing(book: Book) -> pd.DataFrame:
    cards = book.owed[(book.owed["held_as"] == "card") & (book.owed["balance_current"] >= 50)]
    return cards[cards["apr_purchase"].notna()].sort_values(["apr_purchase", "balance_current"])


def _past_due(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    return _card(book.owed[book.owed["is_overdue"] == True].sort_values("minimum_payment_amount").iloc[-1])  # noqa: E712


def _minimum_only(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    cards = book.owed[(book.owed["held_as"] == "card") & (book.owed["balance_current"] > 0)]
    least = cards["last_payment_amount"] <= cards["minimum_payment_amount"] + 5
    cards = cards[least & (cards["last_payment_amount"] < cards["last_statement_balance"])]
    return _card(cards.sort_values("balance_current").iloc[-1])


def _dearest_first(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    cards = _owing(book)
    dearest, other = cards.iloc[-1], cards.iloc[:-1].sort_values("balance_current").iloc[0]
    apart = dearest["apr_purchase"] - other["apr_purchase"]
    least = min(dearest["balance_current"], other["balance_current"])
    return _card(dearest) | {"other_card": other["account_id"][-4:], "other_owed": other["balance_current"],
                             "other_rate": other["apr_purchase"], "order_saves": least * apart / 100}  # fmt: skip


def _interest_paid(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    cards = _owing(book)
    month = book.total("interest", 30)
    return {"interest_paid": month, "cost_yearly": 12 * month, "total_half_year": book.total("interest", 180),
            **({"card": cards.iloc[-1]["account_id"][-4:], "yearly_rate": cards.iloc[-1]["apr_purchase"]} if len(cards)
               else {})}  # fmt: skip


def _balance_falling(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    moved = float(book.rows.loc[(book.rows["held_as"] == "card") & (book.rows["age"] < 90), "amount"].sum())
    now = book.balance("card")
    return {"owed": now, "amount_before": now + moved, "difference": moved, "change_percent": moved / (now + moved)}


def _fees_charged(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    fees = book.rows[book.rows["kind"].isin(["fee", "service"]) & (book.rows["age"] < 31)]
    out = fees["amount"] < 0
    return {"total": -fees["amount"].sum(), "fee_count": out.sum() - (~out).sum(),
            "happened_on": str(fees.loc[out, "date"].max()),
            "total_half_year": book.total("fee", 180) + book.total("service", 180)}  # fmt: skip


def _due(book: Book, due: pd.DataFrame) -> dict[str, Any]:
    total, holds = float(due["paid"].sum()), book.balance("checking")
    return {"bills_total": total, "bill_count": len(due), "after_bills": holds - total, "shortfall": total - holds}


def _bill_due_soon(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    due = book.due(AS_OF + dt.timedelta(days=14))
    bill = due[(due["kind"] == "bill") & ~due["cadence"].isin(["annual", "semi_annual"])]
    first = bill.sort_values(["paid", "due"], ascending=[False, True]).iloc[0]
    return _due(book, due) | {"amount": first["paid"], "due_on": str(first["due"]), "payee": first["merchant"],
                              "days_until": (first["due"] - AS_OF).days}  # fmt: skip


def _bills_before_payday(book: Book, figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    due = book.due(dt.date.fromisoformat(figures["next_payday"]) - dt.timedelta(days=1))
    return _due(book, due[due["held_as"] == "checking"])


def _annual_renewal_ahead(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    due = book.due(AS_OF + dt.timedelta(days=30))
    first = due[due["cadence"].isin(["annual", "semi_annual"])].sort_values("paid").iloc[-1]
    return {"amount": first["paid"], "due_on": str(first["due"]), "payee": first["merchant"],
            "days_until": (first["due"] - AS_OF).days}  # fmt: skip


def _idle_cash(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    holds, spent = book.balance("checking"), book.spent(180)
    return {"months_covered": holds / spent, "idle_amount": holds - spent, "idle_point_yearly": (holds - spent) / 100}


def _savings(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    saved, now = book.saved(30), book.balance("savings")
    return {"difference": abs(saved), "amount_before": now - saved, "months_covered": now / book.spent(180),
            "change_percent": -saved / (now - saved)}  # fmt: skip


def _unusual_spending(book: Book, figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    rows = book.rows[book.rows["kind"].isin(["other", "refund"]) & ~book.rows["held_as"].isin(["investment", "loan"])]
    name = figures["category_name"]
    rows = rows[rows["category"].str.startswith(GROUPS[name]) & (rows["age"] < 180)]
    if name == "eating and drinking out":
        rows = rows[~rows["category"].str.startswith(GROUPS["groceries"])]
    if "payee" in figures:
        rows = rows[rows["name"].str.contains(re.sub(r"[^a-z ]", "", figures["payee"].lower()), regex=False)]
    months = (-rows["amount"]).groupby(rows["age"] // 30).sum().reindex(range(6), fill_value=0.0)
    usual = months[1:].median()
    return {"amount": months[0], "amount_usual": usual, "difference": months[0] - usual}


def _two_of_a_kind(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    s = book.streams[(book.streams["kind"] == "subscription") & book.streams["category"].isin(PURPOSES)]
    best = s.sort_values("monthly").groupby("category").tail(2).groupby("category")["monthly"].agg(["sum", "size"])
    total = best.loc[best["size"] == 2, "sum"].max()
    return {"total": total, "cost_yearly": 12 * total}


def _rows_named(book: Book, evidence: Mapping[str, list[str]]) -> pd.DataFrame:
    return book.rows[book.rows["transaction_id"].isin(evidence["transactions"])].sort_values("date")


def _charged(book: Book, figures: Mapping[str, Any], evidence: Mapping[str, list[str]]) -> dict[str, Any]:
    """A charge beside those before it at its payee."""
    last = _rows_named(book, evidence).iloc[-1]
    before = book.rows[
        (book.rows["name"] == last["name"]) & (book.rows["date"] < last["date"]) & (book.rows["amount"] < 0)
    ]
    was, usual, now = -before.sort_values("date")["amount"].iloc[-1], -before["amount"].median(), -last["amount"]
    by = usual if "amount_usual" in figures else was
    return {"amount": now, "happened_on": str(last["date"]), "amount_before": was, "amount_usual": usual,
            "difference": now - by, "change_percent": now / by - 1}  # fmt: skip


def _repeated(book: Book, _figures: Mapping[str, Any], evidence: Mapping[str, list[str]]) -> dict[str, Any]:
    last = _rows_named(book, evidence).iloc[-1]
    return {"amount": -last["amount"], "happened_on": str(last["date"])}


def _fixed_costs_high(book: Book, figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    bills = book.streams.loc[book.streams["kind"] == "bill", "monthly"].sum()
    cards = book.owed[(book.owed["held_as"] == "card") & (book.owed["balance_current"] > 0)]
    fixed, income = bills + cards["minimum_payment_amount"].sum(), figures["income_monthly"]
    return {"fixed_monthly": fixed, "income_share": fixed / income, "left_monthly": income - fixed}


def _spending_above_income(book: Book, figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    short = book.spent(180) - figures["income_monthly"]
    return {"difference": short, "total_half_year": 6 * short}


def _interest_earned(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    paid = book.rows[(book.rows["category"] == "INCOME_INTEREST_EARNED") & (book.rows["amount"] > 0)]
    paid = paid[paid["held_as"].isin(["checking", "savings"])]
    month = paid[paid["age"] < 30]
    total = float(month["amount"].sum())
    return {"total": total, "earned_yearly": 12 * total, "happened_on": str(month["date"].max()),
            "total_half_year": paid.loc[paid["age"] < 180, "amount"].sum()}  # fmt: skip


def _cash_withdrawals(book: Book, _figures: Mapping[str, Any], _: Any) -> dict[str, Any]:
    taken = book.rows[(book.rows["category"] == "TRANSFER_OUT_WITHDRAWAL") & (book.rows["age"] < 30)]
    total = -float(taken["amount"].sum())
    return {"amount": total, "withdrawal_count": len(taken), "cash_share": total / book.spent(30),
            "happened_on": str(taken["date"].max())}  # fmt: skip


OF_INSIGHTS: Final[dict[str, Rule]] = {
    "past_due": _past_due, "minimum_only": _minimum_only, "dearest_first": _dearest_first,
    "interest_paid": _interest_paid, "balance_falling": _balance_falling, "fees_charged": _fees_charged,
    "bill_due_soon": _bill_due_soon, "annual_renewal_ahead": _annual_renewal_ahead, "idle_cash": _idle_cash,
    "bills_before_payday": _bills_before_payday,
    "savings_drop": _savings, "savings_milestone": _savings, "unusual_spending": _unusual_spending,
    "two_of_a_kind": _two_of_a_kind, "price_rise": _charged, "bill_higher_than_usual": _charged,
    "duplicate_charge": _repeated, "fixed_costs_high": _fixed_costs_high,
    "spending_above_income": _spending_above_income, "interest_earned": _interest_earned,
    "cash_withdrawals": _cash_withdrawals,
}  # fmt: skip


def of_signals(book: Book, days: int) -> dict[str, Callable[[], Any]]:
    """The figures of personas, by slot."""
    cards = book.cards[book.cards["balance_limit"] > 0]
    owed = cards["balance_current"].clip(lower=0)
    used = (owed / cards["balance_limit"]).sort_values()
    subscriptions = book.streams[book.streams["kind"] == "subscription"]
    seen = [
        (AS_OF - row["last_date"]).days < days or -days < (row["expected_next_date"] - AS_OF).days <= 31
        for row in subscriptions.to_dict("records")
    ]
    reported = subscriptions[pd.Series(seen, subscriptions.index, dtype=bool)]
    monthly = reported["monthly"].sum()
    return {
        "checking_balance": lambda: book.balance("checking"),
        "savings_balance": lambda: book.balance("savings"),
        "savings_now": lambda: book.balance("savings"),
        "monthly_expenses": lambda: book.spent(days),
        "weekly_expenses": lambda: book.spent(days) * 7 / 30,
        "spending_monthly": lambda: book.spent(180),
        "fund_months": lambda: book.balance("savings") / book.spent(days),
        "buffer_days": lambda: book.balance("checking") / book.spent(days) * 30 // 1,
        "buffer_gap": lambda: book.spent(days) - book.balance("checking"),
        "beyond_fund": lambda: book.balance("savings") - 6 * book.spent(days),
        "savings_point_yearly": lambda: book.balance("savings") / 100,
        "savings_inflow": lambda: book.saved(days),
        "savings_yearly": lambda: 12 * book.saved(days),
        "savings_growth": lambda: (saved := book.saved(days) * book.months(days)) / (book.balance("savings") - saved),
        "interest_charges": lambda: book.total("interest", days),
        "interest_monthly": lambda: book.total("interest", days) / book.months(days),
        "interest_yearly": lambda: 12 * book.total("interest", days) / book.months(days),
        "card_balance": lambda: book.cards["balance_current"].clip(lower=0).sum(),
        "cards_owing": lambda: (book.cards["balance_current"] > 0).sum(),
        "max_utilization": lambda: used.iloc[-1],
        "avg_utilization": lambda: owed.sum() / cards["balance_limit"].sum(),
        "fullest_card": lambda: cards.loc[used.index[-1], "account_id"][-4:],
        "fullest_balance": lambda: owed[used.index[-1]],
        "over_guide": lambda: owed[used.index[-1]] - 0.3 * cards.loc[used.index[-1], "balance_limit"],
        "subscription_count": lambda: len(reported),
        "subscription_monthly": lambda: monthly,
        "subscription_yearly": lambda: 12 * monthly,
        "balance_on": lambda: str(pd.to_datetime(book.accounts["balance_date"]).min().date()),
    }


def same(value: Any, other: Any) -> bool:
    """Whether two computations of a figure agree."""
    if isinstance(value, str) or isinstance(other, str):
        return str(value) == str(other)
    return abs(float(value) - float(other)) <= max(A_CENT, SLACK * abs(float(other)))


def drafted(tables: dict[str, pa.Table]) -> dict[str, pd.DataFrame]:
    """Drafts, insights and streams of the day, and the products offered, by the pipeline."""
    from spendsense_pipeline.features.signals import EPOCH, Customers, evidence_of, tables_of
    from spendsense_pipeline.frames import to_frame
    from spendsense_pipeline.insights.of_range import insights_of
    from spendsense_pipeline.personas.assignment import assign_personas
    from spendsense_pipeline.personas.trust import trusted
    from spendsense_pipeline.recommendations.drafts import draft_recommendations
    from spendsense_pipeline.recommendations.library import education_templates, load_library
    from spendsense_pipeline.recommendations.offers import product_matches
    from spendsense_pipeline.recommendations.situations import situations

    day = (AS_OF - EPOCH).days
    evidence = evidence_of(Customers(**tables), [day], [30, 180], population(tables, day))
    signals = tables_of(evidence)
    insights, features = to_frame(insights_of(evidence, signals)["insights"]), to_frame(signals.features)
    short, long = (features[features["window_days"] == days].reset_index(drop=True) for days in (30, 180))
    current, before = trusted(assign_personas(short), short, Settings().stale_days), assign_personas(long)
    streams = to_frame(signals.streams)
    where = situations(current, before, short, long, streams, to_frame(signals.cards), insights)
    judged = canonical.judge_products(canonical.catalogue(PROJECT_ROOT / "data/products.json", warehouse.connect()))
    products = to_frame(canonical.accepted(judged).to_pyarrow())
    matches = product_matches(current, before, short, long, products, insights)
    people = pd.DataFrame({"user_id": sorted(set(where["user_id"])), "consent_id": "c"})
    consents = people.merge(pd.DataFrame({"scope": ["education", "partner_offers"]}), how="cross")
    history = pd.DataFrame(
        columns=["user_id", "as_of", "content_type", "status", "consent_id", "decided_at", "released_at"]
    )
    drafts = draft_recommendations(
        where, education_templates(where, load_library(PROJECT_ROOT / "prompts"), AS_OF), matches, products, consents,
        history, AS_OF,
    )  # fmt: skip
    return {"drafts": drafts, "insights": insights, "streams": streams, "products": products}


def compared(made: Mapping[str, pd.DataFrame], books_: Mapping[str, Book]) -> tuple[Counter[str], list[str]]:
    """How many figures are the same, differ or have no rule, and each that differs in words."""
    rows = {row["insight_id"]: row for row in made["insights"].to_dict("records")}
    counts, differences = Counter[str](), []
    for draft in made["drafts"].to_dict("records"):
        book, insight = books_[draft["user_id"]], draft["insight"] if isinstance(draft["insight"], str) else None
        known: dict[str, Any] = dict(of_signals(book, int(draft["window_days"])))
        if insight in OF_INSIGHTS:
            row = rows[draft["insight_id"]]
            known |= OF_INSIGHTS[insight](book, json.loads(row["figures"]), json.loads(row["evidence"]))
        for name, slot in json.loads(draft["slots"]).items():
            if name in ("as_of", "window", "category_name", "purpose_name", "bill_kind"):
                continue
            counts["shown in the text"] += slot["shown"] in draft["title"] + draft["content"]
            if name not in known:
                counts[f"no rule: {name}"] += 1
                continue
            value = known[name]() if callable(known[name]) else known[name]
            outcome = "same" if same(value, slot["value"]) else "different"
            counts[outcome] += 1
            if outcome == "different":
                differences.append(
                    f"{draft['user_id']} {insight or draft['persona']} {name}: {slot['value']}, here {value}"
                )
    return counts, differences


@click.command()
@click.option("--users", default=100, show_default=True)
@click.option("--seed", default=11, show_default=True)
@click.option("--setting", "settings", type=click.Choice(["normal", "hard"]), multiple=True, help="default: both")
@click.option("--drafts", default=200, show_default=True)
def main(users: int, seed: int, settings: tuple[str, ...], drafts: int) -> None:
    """Print how many figures are the same, and each that is not."""
    cache = Settings().kernels_folder
    make_ready(cache, None)
    choose(Mode(cache))
    for setting in settings or ("normal", "hard"):
        tables = accepted(SETTINGS[setting](users, seed))
        made = drafted(tables)
        made["drafts"] = made["drafts"].query("content_type == 'education'").head(drafts)
        counts, differences = compared(
            made, books({name: table.to_pandas() for name, table in tables.items()}, made["streams"])
        )
        print(f"\n{setting}: {len(made['drafts'])} drafts, {dict(counts.most_common())}")
        print(*differences, sep="\n")


if __name__ == "__main__":
    main()
